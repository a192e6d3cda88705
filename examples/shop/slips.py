"""Betting slips as text; the newest are remembered, since customers look at them again and again."""

from functools import lru_cache

REMEMBERED = 1000
"""Slips: a cache that fills up, and then grows no more."""

_TERMS = "Stakes are not returned once the game has begun. " * 20


@lru_cache(maxsize=REMEMBERED)
def slip(game_id: str, price: float, stake: int) -> str:
    """Return the slip of a bet; the stake in cents."""
    return f"{game_id}: {stake / 100:.2f} at {price:.2f}, pays {stake * price / 100:.2f}\n{_TERMS}"
