"""Frees the event loop from code that blocks it, so that at the end every effect has its turn."""

import asyncio
import signal
from types import FrameType

BEAT_SECONDS = 0.05
CHECK_SECONDS = 0.2
BLOCKED_CHECKS = 2
"""At as many checks in a row the loop must have stood still."""


class BlockedError(Exception):
    """Raised inside of code that blocks the event loop."""


class Watchdog:
    """Breaks into a task of `loop` that takes longer than 0.4 s without awaiting, from `start` on.

    The loop must be that of the main thread, which signals strike.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._beaten = True
        self._missed = 0
        self._started = False

    def start(self) -> None:
        """Begin to watch; also from a signal handler, and again without effect."""
        if not self._started:
            self._started = True
            self._loop.call_soon_threadsafe(self._beat)
            signal.signal(signal.SIGALRM, self._check)
            signal.setitimer(signal.ITIMER_REAL, CHECK_SECONDS, CHECK_SECONDS)

    def _beat(self) -> None:
        self._beaten = True
        self._loop.call_later(BEAT_SECONDS, self._beat)

    def _check(self, _signal: int, _frame: FrameType | None) -> None:
        self._missed = 0 if self._beaten else self._missed + 1
        self._beaten = False
        if self._missed >= BLOCKED_CHECKS and asyncio.current_task(self._loop) is not None:
            self._missed = 0
            raise BlockedError("It blocked the supervisor, which was to end.")
