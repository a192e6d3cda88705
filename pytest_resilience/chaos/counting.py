"""Exact counts across threads, without a lock."""

import itertools


class AtomicCounter:
    """Number calls 0, 1, 2 …; each number is handed out once, whichever thread asks.

    `next_index` is one call into C, which no other thread and no signal handler can split.
    """

    __slots__ = ("_numbers", "next_index")

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.next_index = self._numbers.__next__

    @property
    def value(self) -> int:
        """How many numbers were handed out; reading takes none."""
        return int(repr(self._numbers)[len("count(") : -1])
