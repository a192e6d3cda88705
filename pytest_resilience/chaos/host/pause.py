"""A process that stands still for a while."""

import asyncio
import signal

from pytest_resilience.chaos.host.checks import Checks
from pytest_resilience.chaos.host.children import POLL_SECONDS, Child, stop_all
from pytest_resilience.chaos.host.specs import PauseSpec
from pytest_resilience.chaos.host.victims import Victim
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ScenarioError

STOP_SECONDS = 0.3


class PauseEffect:
    """Stops a process, not its children. A check fires when the kernel says that it is stopped.

    A child process lets it go on if this one dies without having done so.
    """

    def __init__(self, spec: PauseSpec, clock: Clock | None = None) -> None:
        self._spec = spec
        self._clock = clock or SystemClock()
        self._children: list[Child] = []
        self._stopped: Victim | None = None
        self._checks = Checks(self._holds, clock=self._clock)

    async def start(self) -> Info:
        victim = Victim(self._spec.pid)
        if victim.stopped:
            raise ScenarioError(f"Process {victim} is already stopped. Let it go on with SIGCONT first.")
        waker = Child("wake", str(victim.pid))
        self._children.append(waker)
        await waker.ready()
        self._stopped = victim
        victim.send(signal.SIGSTOP)
        deadline = self._clock.now() + STOP_SECONDS
        while not victim.stopped and self._clock.now() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        self._checks.start()
        return {"pid": victim.pid}

    async def stop(self) -> None:
        try:
            await self._checks.stop()
        finally:
            self._go_on()
            await stop_all(self._children)

    def touched(self) -> Touched:
        return self._checks.touched(f"process {self._spec.pid} stopped" if self._children else "")

    def _go_on(self) -> None:
        if self._stopped is None:
            return
        try:
            self._stopped.send(signal.SIGCONT)
        except ScenarioError:
            if not self._stopped.dead:
                raise
        self._stopped = None

    def _holds(self) -> bool:
        return self._stopped is not None and self._stopped.stopped
