"""What the chaos room reports: plain records that can be stored and sent.

Times are in seconds since the run began, sizes in bytes, shares from 0 to 1.
A record whose class has a KEY replaces the earlier one with the same key; without, it is appended.
"""

from dataclasses import dataclass
from typing import ClassVar

from pytest_resilience.workers import MAIN


@dataclass(frozen=True, slots=True)
class Seam:
    """One seam of a service, and how often the suite reached it while no fault was active.

    `target` is a call or an endpoint, as `kind` says; `normal_seconds` is the measured median latency of a
    call or an exchange, None if it was never reached.
    """

    KEY: ClassVar[tuple[str, ...]] = ("service", "target")
    service: str
    target: str
    reached: int
    normal_seconds: float | None = None
    kind: str = "calls"


@dataclass(frozen=True, slots=True)
class ChaosEvent:
    """One injection: what was armed, what it really touched, and whether the suite came back.

    `service` is the target: a service, "host" or "topology". `reached` and `fired` count what the `seam`
    says: calls, exchanges with an endpoint, checks of the host or a process, or services; `detail` says in
    words what was done. `observed` is where the injected error was caught, if that is known. Of an event
    that is `cut` the process ended before the suite was back: whether it would have been is unknown.
    """

    KEY: ClassVar[tuple[str, ...]] = ("event_id",)
    event_id: str
    scenario: str
    service: str
    impact: str
    seed: int
    parameters: str
    armed_at: float
    injection_seconds: float
    reached: int = 0
    fired: int = 0
    first_fired_at: float | None = None
    last_fired_at: float | None = None
    removed_at: float | None = None
    recovered_at: float | None = None
    waited_seconds: float | None = None
    limit_seconds: float | None = None
    seam: str = "calls"
    detail: str = ""
    observed: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class EventMetrics:
    """The test process before, during or after an event, as `moment` says; `cpu_percent` is of one core."""

    KEY: ClassVar[tuple[str, ...]] = ("event_id", "moment", "worker")
    event_id: str
    moment: str
    cpu_percent: float
    rss: int
    threads: int
    fds: int
    connections: int
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class NotRun:
    """A scenario that the plan wanted and the run did not inject, with why and what to do.

    `possible` is true where it could have acted, had the run come to it.
    """

    KEY: ClassVar[tuple[str, ...]] = ("scenario", "service", "seam")
    scenario: str
    service: str
    reason: str
    fix: str = ""
    possible: bool = False
    seam: str = ""
