"""What the seed decides: which connections and exchanges a toxic hits, and what is drawn for them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pytest_resilience.chaos.network.toxics import Toxic
from pytest_resilience.chaos.triggers import Schedule, draw, share

Draw: TypeAlias = Callable[[], float]
"""Gives the next number of a series, from 0 up to 1."""


@dataclass(slots=True)
class Hits:
    """Decides one toxic's next connection or exchange; a toxicity of 0 hits nothing."""

    seed: str
    _schedule: Schedule | None
    _index: int = 0

    @classmethod
    def of(cls, toxic: Toxic, seed: str) -> "Hits":
        if not toxic.toxicity:
            return cls(seed, None)
        return cls(seed, (toxic.trigger or share(toxic.toxicity)).schedule(seed))

    def next(self) -> bool:
        index = self._index
        self._index += 1
        return self._schedule is not None and self._schedule.fires(index)

    def draws(self) -> Draw:
        """Begin a series of its own, for the connection that `next` decided last."""
        return _series(f"{self.seed}/{self._index}")


def _series(seed: str) -> Draw:
    index = -1

    def following() -> float:
        nonlocal index
        index += 1
        return draw(seed, index)

    return following
