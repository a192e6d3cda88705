"""A countdown: ends an injection after its duration, without a `with` block around it."""

import _thread
from collections.abc import Callable

from pytest_resilience.chaos.release import Release
from pytest_resilience.clock import Clock

_FINISH_SECONDS = 5.0


class Countdown:
    """Calls `action` once `seconds` have passed or `release` is set, in a thread of its own.

    The thread is a bare one: `Thread.start` waits on an Event, which an interrupt can break.
    """

    def __init__(self, seconds: float, action: Callable[[], None], release: Release, clock: Clock) -> None:
        self._seconds = seconds
        self._action = action
        self._release = release
        self._clock = clock
        self._thread: int | None = None
        self._done = Release()

    def start(self) -> None:
        _thread.start_new_thread(self._run, ())

    def finish(self) -> None:
        """Wait for the thread to end, which it does once `release` is set; from the thread itself, return."""
        if self._thread not in (None, _thread.get_ident()):
            self._done.wait(_FINISH_SECONDS)

    def _run(self) -> None:
        self._thread = _thread.get_ident()
        try:
            self._clock.wait(self._release, self._seconds)
            self._action()
        finally:
            self._done.set()
