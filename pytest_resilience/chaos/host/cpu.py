"""Busy cores: child processes that really use the processor, and how much of it they got."""

import sys
import time

import psutil

from pytest_resilience.chaos.host.checks import Checks
from pytest_resilience.chaos.host.children import Child, stop_all
from pytest_resilience.chaos.host.cores import usable_cores
from pytest_resilience.chaos.host.specs import CpuSpec
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ScenarioError, requirement

SHORTEST_CHECK = 0.04
"""Seconds; two periods of a child, for its share to be seen."""


class CpuEffect:
    """Keeps cores busy. A check fires when the children got at least half of the time asked for."""

    def __init__(self, spec: CpuSpec, clock: Clock | None = None) -> None:
        self._spec = spec
        self._clock = clock or SystemClock()
        self._children: list[Child] = []
        self._checks = Checks(self._busy, clock=self._clock)
        self._began = self._checked = self._clock.now()
        self._base = self._used = 0.0

    async def start(self) -> Info:
        _require(self._spec)
        for _ in range(self._spec.cores):
            self._children.append(Child("burn", str(self._spec.load)))
        for child in self._children:
            await child.ready()
        self._began = self._checked = self._clock.now()
        self._base = self._used = self._seconds()
        self._checks.start()
        return {"cores": self._spec.cores, "load": self._spec.load}

    async def stop(self) -> None:
        try:
            await self._checks.stop()
        finally:
            await stop_all(self._children)

    def touched(self) -> Touched:
        return self._checks.touched(self._detail())

    def _busy(self) -> bool | None:
        now = self._clock.now()
        passed = now - self._checked
        if passed < SHORTEST_CHECK:
            return None
        used = self._seconds()
        got, self._checked, self._used = used - self._used, now, used
        return got >= 0.5 * passed * self._spec.cores * self._spec.load

    def _seconds(self) -> float:
        return sum(cpu_seconds(child.pid) for child in self._children)

    def _detail(self) -> str:
        passed = self._checked - self._began
        if passed <= 0:
            return ""
        busy = (self._used - self._base) / passed
        asked = "" if self._spec.load == 1 else f", {self._spec.cores * self._spec.load:.2f} asked"
        return f"{busy:.2f} of {self._spec.cores} cores busy{asked}"


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds; 0 when it is gone."""
    try:
        return _clock_seconds(pid) if sys.platform == "linux" else sum(psutil.Process(pid).cpu_times()[:2])
    except (OSError, psutil.Error):
        return 0.0


def _clock_seconds(pid: int) -> float:
    """Read the clock that clock_getcpuclockid(3) names: nanoseconds, where /proc has ticks of 10 ms."""
    return time.clock_gettime(~pid << 3 | 2)


def _require(spec: CpuSpec) -> None:
    most = usable_cores()
    if not 1 <= spec.cores <= most:
        raise ScenarioError(requirement("cores", f"from 1 to the {most} of this machine", spec.cores))
    if not 0 < spec.load <= 1:
        raise ScenarioError(requirement("load", "a share above 0 and up to 1", spec.load))
