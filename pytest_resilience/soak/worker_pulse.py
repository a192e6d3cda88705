"""The worker's heartbeat: tells its leader that it lives, and ends it when it must."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from pytest_resilience.clock import Clock
from pytest_resilience.soak import messages
from pytest_resilience.soak.link import Link

BEAT_SECONDS = 1.0
GENTLE_SECONDS = 2.0
"""After this long an iteration that goes on is interrupted, as by Ctrl-C."""

LAST_SECONDS = 8.0
"""After this long the process ends, whatever goes on in it."""

GAVE_UP = 70
"""The exit code of a worker that had to be ended like that (EX_SOFTWARE)."""


class WorkerPulse:
    """Beats on a thread of its own; `main` is the identity of the tests' thread.

    `expire` ends the process: first `undo` removes the faults (on yet another thread, as that may hang), then
    the tests' thread is interrupted, and at last the process exits.
    """

    def __init__(self, link: Link, clock: Clock, undo: Callable[[], object]) -> None:
        self._link, self._clock, self._undo = link, clock, undo
        self._main = threading.main_thread().ident or 0
        self._expiring, self._finished = threading.Event(), threading.Event()
        self.interrupting = False
        threading.Thread(target=self._beat, name="resilience-heartbeat", daemon=True).start()

    def expire(self) -> None:
        """End the loop within GENTLE_SECONDS, else the process within LAST_SECONDS; on any thread."""
        self._expiring.set()

    def finish(self) -> None:
        """The tests' thread has come to its end: there is nothing to force any more."""
        self._finished.set()

    def _beat(self) -> None:
        while not self._clock.wait(self._expiring, BEAT_SECONDS):
            self._link.send(messages.Heartbeat())
        self._end()

    def _end(self) -> None:
        threading.Thread(target=self._undo, name="resilience-cleanup", daemon=True).start()
        if not self._clock.wait(self._finished, GENTLE_SECONDS):
            self._interrupt()
        if not self._clock.wait(self._finished, LAST_SECONDS - GENTLE_SECONDS):
            os._exit(GAVE_UP)
        while True:  # the others may still be listening
            self._link.send(messages.Heartbeat())
            self._clock.wait(threading.Event(), BEAT_SECONDS)

    def _interrupt(self) -> None:
        self.interrupting = True
        with suppress(OSError):
            signal.pthread_kill(self._main, signal.SIGINT)
