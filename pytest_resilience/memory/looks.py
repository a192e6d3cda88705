"""A few looks that span a run of any length: all at first, then every second, every fourth, and so on."""

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_LOOKS = 6


class Looks(Generic[T]):
    """What was seen, in order; from MOST_LOOKS on every other one is dropped, and of those to come too.

    So what a cache did while it filled is forgotten in time, and what grows to the end stays.
    """

    def __init__(self) -> None:
        self._kept: list[T] = []
        self._thinned = 0

    @property
    def kept(self) -> Sequence[T]:
        """At most MOST_LOOKS, the last one always among them."""
        return self._kept

    @property
    def stride(self) -> int:
        """How many times the first distance the next look should be away."""
        return 1 << self._thinned + (len(self._kept) == MOST_LOOKS)

    def add(self, seen: T) -> None:
        """Keep what was seen last."""
        if len(self._kept) == MOST_LOOKS:
            del self._kept[::2]
            self._thinned += 1
        self._kept.append(seen)

    def replace(self, kept: Sequence[T]) -> None:
        """Keep something else of the same looks."""
        self._kept[:] = kept
