"""betting_service: quotes prices and takes bets, and goes on when what it needs is ill."""

import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field

from pybreaker import CircuitBreaker, CircuitBreakerError
from redis import RedisError

from shop.analysis import ValuationError, value_prop
from shop.cache import Quote, QuoteCache
from shop.database import BetStore
from shop.odds import Odds, OddsClient
from shop.retries import with_retries

SHOP_MARGIN = 0.05
ILL_PROVIDER = (ConnectionError, TimeoutError)


class QuoteUnavailableError(Exception):
    """The shop can offer no price for this game now."""


class BetRefusedError(Exception):
    """The bet could not be written down, so it does not exist."""


@dataclass(frozen=True, slots=True)
class Bet:
    """A bet that the shop has taken; the stake in cents."""

    bet_id: int
    price: float
    stake: int


def provider_breaker() -> CircuitBreaker:
    """Return a breaker for calls to the provider; an unknown game is no illness."""
    return CircuitBreaker(fail_max=5, reset_timeout=0.5, exclude=[LookupError], name="test_circuit")


@dataclass
class Shop:
    """Betting on home teams, at the provider's odds less the shop's margin."""

    odds: OddsClient
    cache: QuoteCache
    store: BetStore
    breaker: CircuitBreaker = field(default_factory=provider_breaker)

    def quote(self, game_id: str) -> Quote:
        """Return a fresh price, or the last one if there is no fresh one; raise QuoteUnavailableError."""
        try:
            quote = self.price(self.fetch_odds(game_id))
        except (*ILL_PROVIDER, CircuitBreakerError, ValuationError) as reason:
            return self._last_quote_or_raise(game_id, reason)
        with suppress(RedisError):
            self.cache.put(quote)
        return quote

    def fetch_odds(self, game_id: str) -> Odds:
        """Ask the provider through the breaker, again if it fails once."""
        return with_retries(lambda: self.breaker.call(self.odds.fetch, game_id), *ILL_PROVIDER)

    def price(self, odds: Odds) -> Quote:
        """Value the home team and take the shop's margin."""
        value = value_prop(odds)
        return Quote(odds.game_id, max(1.01, value.fair_odds * (1 - SHOP_MARGIN)), value.probability)

    def place_bet(self, customer: str, game_id: str, stake: int) -> Bet:
        """Take a bet at the price last quoted; raise QuoteUnavailableError or BetRefusedError."""
        price = (self._last_quote(game_id) or self.quote(game_id)).price
        try:
            bet_id = with_retries(
                lambda: self.store.save(customer, game_id, price, stake), sqlite3.OperationalError
            )
        except sqlite3.OperationalError as reason:
            raise BetRefusedError(f"The bet on {game_id} could not be saved.") from reason
        return Bet(bet_id, price, stake)

    def settle(self, bet: Bet, *, won: bool) -> int:
        """Close a bet and return what it pays, in cents; raise sqlite3.OperationalError if it stays open."""
        return with_retries(lambda: self.store.settle(bet.bet_id, won), sqlite3.OperationalError)

    def _last_quote(self, game_id: str) -> Quote | None:
        with suppress(RedisError):
            return self.cache.get(game_id)
        return None

    def _last_quote_or_raise(self, game_id: str, reason: Exception) -> Quote:
        quote = self._last_quote(game_id)
        if quote is None:
            raise QuoteUnavailableError(f"There is no price for {game_id}.") from reason
        return quote
