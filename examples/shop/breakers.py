"""A circuit breaker as one writes it in an afternoon, and the same after its tests."""

import threading
import time
from collections.abc import Callable

FAILURES, OPEN_SECONDS = 3, 30.0


class RejectedError(Exception):
    """The breaker is open."""


class Breaker:
    """Opens after three failures in a row, for 30 s."""

    def __init__(self) -> None:
        self.failures, self.opened_at = 0, 0.0

    def call(self, function: Callable[[], object]) -> object:
        """Call `function`, unless the breaker is open."""
        if self.failures >= FAILURES and time.monotonic() - self.opened_at < OPEN_SECONDS:
            raise RejectedError
        try:
            answer = function()
        except Exception:
            self.failures, self.opened_at = self.failures + 1, time.monotonic()
            raise
        self.failures = 0
        return answer


class EraBreaker:
    """The same, with a lock and eras: what ends in another era than it began in says nothing about now."""

    def __init__(self) -> None:
        self.failures, self.opened_at, self.era = 0, 0.0, 0
        self.lock = threading.Lock()

    def call(self, function: Callable[[], object]) -> object:
        """Call `function`, unless the breaker is open."""
        era = self.admit()
        try:
            answer = function()
        except Exception:
            self.end(era, failed=True)
            raise
        self.end(era, failed=False)
        return answer

    def admit(self) -> int:
        """Return the era of a call; a probe begins a new one, and keeps others out for an open time."""
        with self.lock:
            if self.failures >= FAILURES:
                if time.monotonic() - self.opened_at < OPEN_SECONDS:
                    raise RejectedError
                self.opened_at, self.era = time.monotonic(), self.era + 1
            return self.era

    def end(self, era: int, *, failed: bool) -> None:
        """Count how a call ended; opening and closing each end an era."""
        with self.lock:
            if era != self.era:
                return
            probe, self.failures = self.failures >= FAILURES, self.failures + 1 if failed else 0
            if probe or self.failures >= FAILURES:
                self.opened_at, self.era = time.monotonic(), self.era + 1
