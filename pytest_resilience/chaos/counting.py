"""Exact counts across threads, without a lock."""

import itertools


class AtomicCounter:
    """Number calls 0, 1, 2 …; each number is handed out once, whichever thread asks.

    `next(counter.numbers)` is one call into C, which no other thread and no signal handler can split.
    """

    __slots__ = ("numbers",)

    def __init__(self) -> None:
        self.numbers = itertools.count()

    @property
    def value(self) -> int:
        """How many numbers were handed out; reading takes none."""
        return int(repr(self.numbers)[len("count(") : -1])
