"""What "the shop works" means."""

import socket
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest
from shop.betting import Shop
from shop.cache import QuoteCache
from shop.database import BetStore
from shop.odds import OddsClient
from shop.slips import slip

STAKES = count(100)

if TYPE_CHECKING:
    from pytest_resilience import BreakerTester


@pytest.mark.soak
def test_quote(shop: Shop) -> None:
    """A game has a price."""
    assert shop.quote("game-1").price > 0


@pytest.mark.soak
def test_quote_leaves_the_shop_its_margin(shop: Shop) -> None:
    """On average the shop pays out less than it takes."""
    quote = shop.quote("game-2")
    assert quote.price * quote.probability < 1


@pytest.mark.soak
def test_won_bet_pays_its_price(shop: Shop, customer: str) -> None:
    """A won bet pays stake times price, and is then closed."""
    bet = shop.place_bet(customer, "game-3", stake=1000)
    assert shop.settle(bet, won=True) == round(bet.stake * bet.price)
    assert shop.store.open_bets(customer) == 0


@pytest.mark.soak
def test_lost_bet_pays_nothing(shop: Shop, customer: str) -> None:
    """A lost bet pays nothing, and only it is closed."""
    lost, other = (shop.place_bet(customer, game, stake=500) for game in ("game-4", "game-5"))
    assert shop.settle(lost, won=False) == 0
    assert shop.store.open_bets(customer) == 1
    assert other.bet_id != lost.bet_id


@pytest.mark.soak
def test_slip_says_what_a_bet_pays() -> None:
    """Each time another bet: the cache of slips fills up."""
    stake = next(STAKES)
    assert f"pays {stake * 2 / 100:.2f}" in slip("game-7", 2.0, stake)


def test_unknown_game_is_refused(shop: Shop) -> None:
    """A game that the provider does not know has no price."""
    with pytest.raises(LookupError, match="game-99"):
        shop.quote("game-99")


def test_last_price_is_offered_while_the_provider_is_down(
    shop: Shop, quote_cache: QuoteCache, bet_store: BetStore
) -> None:
    """A shop that cannot reach its provider offers the last price, and its breaker opens."""
    last = shop.quote("game-6")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with closing(OddsClient(address)) as dead:
        cut_off = Shop(dead, quote_cache, bet_store)
        assert [cut_off.quote("game-6") for _ in range(3)] == [last] * 3
    assert cut_off.breaker.current_state == "open"


def test_its_breaker_does_what_it_should(breaker_tester: "BreakerTester") -> None:
    """The breaker that the shop uses passes all scenarios that apply to it."""
    breaker_tester.verify("test_circuit").must_pass()


def test_its_breaker_contains_cascades(breaker_tester: "BreakerTester") -> None:
    """With such breakers between the services, whatever is lost is contained, and all of them close again."""
    breaker_tester.cascade("test_circuit").must_pass()
