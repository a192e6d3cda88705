"""quote_cache: the last quote of each game, in Redis."""

import json
from dataclasses import asdict, dataclass

from redis import Redis

QUOTE_LIFETIME = 5
"""Seconds for which a quote may be offered again."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The decimal odds at which the shop takes a bet on the home team."""

    game_id: str
    price: float
    probability: float


class QuoteCache:
    """Quotes by game; raises redis.ConnectionError and redis.TimeoutError when Redis is ill."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def put(self, quote: Quote) -> None:
        self._client.set(_key(quote.game_id), json.dumps(asdict(quote)), ex=QUOTE_LIFETIME)

    def get(self, game_id: str) -> Quote | None:
        text = self._client.get(_key(game_id))
        return None if text is None else Quote(**json.loads(text))


def _key(game_id: str) -> str:
    return f"quote:{game_id}"
