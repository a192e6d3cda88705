"""Time, passed in: a real clock for runs, a manual one for tests."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock; all values in seconds."""

    def now(self) -> float:
        """Return the seconds since an arbitrary, fixed instant."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` have passed; tell whether it was set."""


class SystemClock:
    """The machine's monotonic clock.

    The class keeps the function: a fault on `time.monotonic`, and what freezes the time of tests (freezegun
    replaces it in all modules), must not reach the clock itself.
    """

    now = staticmethod(time.monotonic)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told to; waiting moves it by the whole wait."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self._now += max(0.0, seconds)
        return event.is_set()
