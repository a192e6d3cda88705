"""A countdown: acts after some time, unless somebody else was faster."""

import _thread
from collections.abc import Callable

from pytest_resilience.chaos.release import Release
from pytest_resilience.clock import Clock

_FINISH_SECONDS = 5.0


class Countdown:
    """Calls `action` once `seconds` have passed, in a thread of its own; not if `release` is set before.

    The thread is a bare one: `Thread.start` waits on an Event, which an interrupt can break. Nor is there a
    lock, which an interrupt could leave held: whoever is first to write its name down acts.
    """

    def __init__(self, seconds: float, action: Callable[[], None], release: Release, clock: Clock) -> None:
        self._seconds = seconds
        self._action = action
        self._release = release
        self._clock = clock
        self._thread: int | None = None
        self._actor: dict[str, str] = {}
        self._done = Release()

    def start(self) -> None:
        _thread.start_new_thread(self._run, ())

    def cancel(self) -> None:
        """Keep it from acting; if it acts already, wait until it has. In its own thread, return."""
        if self._actor.setdefault("is", "caller") == "countdown":
            self.finish()

    def finish(self) -> None:
        """Wait for the thread to end, which it does once `release` is set; from the thread itself, return."""
        if self._thread not in (None, _thread.get_ident()):
            self._done.wait(_FINISH_SECONDS)

    def _run(self) -> None:
        self._thread = _thread.get_ident()
        try:
            released = self._clock.wait(self._release, self._seconds)
            if not released and self._actor.setdefault("is", "countdown") == "countdown":
                self._action()
        finally:
            self._done.set()
