"""Taken memory: a child process holds what the ceiling leaves, and lets go before the machine starves."""

import asyncio

import psutil

from pytest_resilience.chaos.host.checks import Checks
from pytest_resilience.chaos.host.children import Child, stop_all
from pytest_resilience.chaos.host.specs import MemorySpec
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ScenarioError, requirement
from pytest_resilience.host_memory import SystemMemory, room_below, tightest_limit
from pytest_resilience.units import MIB, format_bytes

STEP = 128 * MIB
"""The most bytes that are taken between two looks at how full memory is."""

LEAST_STEP = 8 * MIB
"""Less room than this below the ceiling is left alone: readings of the machine's use are that coarse."""

ENOUGH = 64 * MIB
"""Bytes that count as pressure while more is still being taken, which may take seconds."""

CHECK_SECONDS = 0.05
START_SECONDS = 0.15


class MemoryEffect:
    """Holds memory. A check fires when ENOUGH, or half of what can be taken, is resident in the child."""

    def __init__(self, spec: MemorySpec, clock: Clock | None = None) -> None:
        self._spec = spec
        self._clock = clock or SystemClock()
        self._memory = SystemMemory()
        self._limit = tightest_limit()
        self._children: list[Child] = []
        self._checks = Checks(self._regulate, every=CHECK_SECONDS, clock=self._clock)
        self._own = self._told = self._most = 0
        self._let_go_at: float | None = None

    async def start(self) -> Info:
        _require(self._spec)
        self._require_room(self._memory.percent())
        child = Child("hold")
        self._children.append(child)
        await child.ready()
        self._own = resident_bytes(child.pid)
        deadline = self._clock.now() + START_SECONDS
        while not self._regulate() and self._clock.now() < deadline:
            await asyncio.sleep(CHECK_SECONDS / 5)
        self._checks.start()
        return {"pid": child.pid}

    async def stop(self) -> None:
        try:
            await self._checks.stop()
        finally:
            await stop_all(self._children)

    def touched(self) -> Touched:
        if not self._children:
            return self._checks.touched()
        held = f"up to {format_bytes(self._most)} of {format_bytes(self._spec.size)} held"
        end = "" if self._let_go_at is None else f", let go at {self._let_go_at:.1f} % of memory"
        return self._checks.touched(held + end)

    def _regulate(self) -> bool:
        """Take more, give back or let go; tell whether there is pressure."""
        resident, percent = self._resident(), self._memory.percent()
        if percent > self._spec.critical and self._let_go_at is None:
            self._let_go_at = percent
            self._children[0].kill()
        if self._let_go_at is not None:
            return False
        self._most = max(self._most, resident)
        room = room_below(self._spec.ceiling, percent, self._limit)
        wanted = next_size(self._spec.size, self._told, resident, room)
        if wanted != self._told:
            self._told = wanted
            self._children[0].tell(str(wanted))
        possible = min(self._spec.size, resident + room)
        return resident > 0 and (resident >= ENOUGH or 2 * resident >= possible)

    def _resident(self) -> int:
        return max(0, resident_bytes(self._children[0].pid) - self._own)

    def _require_room(self, percent: float) -> None:
        room = room_below(self._spec.ceiling, percent, self._limit)
        if room < min(self._spec.size, LEAST_STEP):
            raise ScenarioError(
                f"memory is {percent:.1f} % full and the ceiling is {self._spec.ceiling:g} %: nothing can be "
                "taken. Raise the ceiling or free memory."
            )


def next_size(size: int, told: int, resident: int, room: int) -> int:
    """Return the bytes that the child should hold next.

    `told` is what it should hold now, `resident` what it does hold, `room` what is free below the ceiling.
    """
    pending = max(0, told - resident)
    left = room - pending
    if left < 0:
        return max(0, told + left)
    step = min(size - told, max(0, STEP - pending))
    if left >= step:
        return told + step
    return told + left if left >= LEAST_STEP else told


def resident_bytes(pid: int) -> int:
    """Return the bytes that a process has in memory; 0 when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _require(spec: MemorySpec) -> None:
    if spec.size <= 0:
        raise ScenarioError(requirement("size", "above 0 bytes", spec.size))
    if not 0 < spec.ceiling <= 100:
        raise ScenarioError(requirement("ceiling", "above 0 and up to 100 percent", spec.ceiling))
    if not spec.ceiling <= spec.critical <= 100:
        constraint = f"from the ceiling, {spec.ceiling:g}, to 100 percent"
        raise ScenarioError(requirement("critical", constraint, spec.critical))
