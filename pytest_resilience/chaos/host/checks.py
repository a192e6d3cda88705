"""Checks whether an effect holds: the evidence of faults of the host."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock, SystemClock

CHECK_SECONDS = 0.1


class Checks:
    """Asks `holds` again and again, and counts: reached is how often, fired how often it was so.

    `holds` returns None when it cannot tell yet; that is not counted.
    """

    def __init__(
        self,
        holds: Callable[[], bool | None],
        *,
        every: float = CHECK_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._holds = holds
        self._every = every
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None
        self._reached = 0
        self._fired = 0
        self._first: float | None = None
        self._last: float | None = None

    def start(self) -> None:
        """Check now, and from now on."""
        self.check()
        self._task = asyncio.create_task(self._repeat())

    async def stop(self) -> None:
        """Check once more and end; doing it again changes nothing. Raises what a check raised."""
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            task.cancel()
            self.check()
        with suppress(asyncio.CancelledError):
            await task

    def check(self) -> None:
        """Ask once and count."""
        held = self._holds()
        self._reached += held is not None
        if held:
            self._fired += 1
            self._last = self._clock.now()
            self._first = self._last if self._first is None else self._first

    def touched(self, detail: str = "") -> Touched:
        """Return the evidence so far."""
        return Touched(self._reached, self._fired, self._first, self._last, detail)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self.check()
