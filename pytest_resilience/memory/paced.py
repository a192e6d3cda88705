"""Read a signal less often the more it costs."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Paced(Generic[T]):
    """A reader that waits after each reading until its share of one core holds.

    Args:
        read: reads the signal.
        share: of one core that reading may use, from 0 to 1.
        cpu: a clock of the seconds that reading costs; by default the CPU time of the calling thread.
    """

    def __init__(
        self, read: Callable[[], T | None], share: float, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        self._read = read
        self._share = share
        self._cpu = cpu
        self._due = float("-inf")

    def read(self, now: float) -> T | None:
        """Return a fresh reading, or None if it is not due yet; `now` in seconds."""
        if now < self._due:
            return None
        began = self._cpu()
        value = self._read()
        self._due = now + (self._cpu() - began) / self._share
        return value
