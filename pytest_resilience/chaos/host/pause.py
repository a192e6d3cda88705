"""A process that stands still for a while, with all that it has started."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import ExitStack

from pytest_resilience.chaos.host.checks import Checks
from pytest_resilience.chaos.host.children import POLL_SECONDS, Child, stop_all
from pytest_resilience.chaos.host.specs import PauseSpec
from pytest_resilience.chaos.host.victims import Victim, family_of, named
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ScenarioError

STOP_SECONDS = 0.3
GENERATIONS = 3
"""Looks for descendants: the first stops those that are there, the next those that came meanwhile."""


class PauseEffect:
    """Stops a process and its descendants. A check fires when the kernel says that all are stopped.

    Child processes let them go on if this one dies without having done so.
    """

    def __init__(self, spec: PauseSpec, clock: Clock | None = None) -> None:
        self._spec = spec
        self._clock = clock or SystemClock()
        self._children: list[Child] = []
        self._stopped: dict[int, Victim] = {}
        self._checks = Checks(self._holds, clock=self._clock)
        self._detail = ""

    async def start(self) -> Info:
        victim = Victim(self._spec.pid)
        if victim.stopped:
            raise ScenarioError(f"Process {victim} is already stopped. Let it go on with SIGCONT first.")
        for _ in range(GENERATIONS):  # one that is stopped has no more children
            running = [one for one in family_of(victim.pid) if one.pid not in self._stopped]
            if not running:
                break
            await self._stop(running)
        self._checks.start()
        return {"pid": victim.pid}

    async def stop(self) -> None:
        try:
            await self._checks.stop()
        finally:
            self._go_on()
            await stop_all(self._children)

    def touched(self) -> Touched:
        return self._checks.touched(self._detail)

    async def _stop(self, victims: Sequence[Victim]) -> None:
        """Stop them, parents first; one that somebody else has stopped is left as it is."""
        ours = [victim for victim in victims if not victim.stopped]
        wakers = [Child("wake", str(victim.pid)) for victim in ours]
        self._children += wakers
        for waker in wakers:
            await waker.ready()
        for victim in ours:
            self._stopped[victim.pid] = victim
            victim.send_unless_dead(signal.SIGSTOP)
        self._detail = f"{named(tuple(self._stopped.values()))} stopped"
        deadline = self._clock.now() + STOP_SECONDS
        while not self._holds() and self._clock.now() < deadline:
            await asyncio.sleep(POLL_SECONDS)

    def _go_on(self) -> None:
        """Let them go on, children first: a parent finds its children as it left them."""
        with ExitStack() as undo:
            for victim in self._stopped.values():
                undo.callback(victim.send_unless_dead, signal.SIGCONT)
        self._stopped.clear()

    def _holds(self) -> bool:
        alive = [victim for victim in self._stopped.values() if not victim.dead]
        return bool(alive) and all(victim.stopped for victim in alive)
