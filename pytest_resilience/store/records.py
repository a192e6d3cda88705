"""What a run stores, and what the link carries: plain records.

Times are in seconds since the run began, sizes in bytes, shares from 0 to 1.
A record whose class has a KEY replaces the earlier one with the same key; without, it is appended.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from pytest_resilience.breakers.records import BreakerResult, Cascade, HazardResult, Transition
from pytest_resilience.chaos.records import ChaosEvent, EventMetrics, NotRun, Seam
from pytest_resilience.memory.records import Culprit, Leak, Observer, OwnSlope, Reading, Sample, Tracing
from pytest_resilience.workers import MAIN


@dataclass(frozen=True, slots=True)
class Run:
    """The run itself; `status` is running, complete, interrupted or aborted."""

    KEY: ClassVar[tuple[str, ...]] = ("test_id",)
    test_id: str
    started_utc: str
    seed: int
    intensity: str
    duration_seconds: float
    command: str
    settings: str
    environment: str
    status: str = "running"
    reason: str = ""
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class SoakTest:
    """A soak test as its marker declares it: how often a round runs it, and the scenarios that it survives.

    `survives` are their names, separated by spaces.
    """

    KEY: ClassVar[tuple[str, ...]] = ("test",)
    test: str
    weight: int = 1
    survives: str = ""

    @property
    def survived(self) -> frozenset[str]:
        """The names of the scenarios under which the test must pass."""
        return frozenset(self.survives.split())


@dataclass(frozen=True, slots=True)
class Hang:
    """An iteration that took longer than the limit.

    `seconds` is how long it had taken when its `stacks` (of all threads and tasks) were read, `event_id` the
    fault that it overlapped, or empty. `ending` says what became of it: see soak.watchdog.
    """

    KEY: ClassVar[tuple[str, ...]] = ("test", "started", "worker")
    test: str
    started: float
    phase: str
    seconds: float
    event_id: str
    ending: str
    stacks: str
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one process did of the run; a run that is resumed has several.

    `began` is the run's time at its start, `alive_at` at its last sign of life; from there to the next
    attempt the run's time stood still. `rounds` and `longest_round` (seconds) are of the run until then.
    """

    KEY: ClassVar[tuple[str, ...]] = ("number",)
    number: int
    started_utc: str
    began: float
    alive_at: float
    rounds: int = 0
    longest_round: float = 0.0


@dataclass(frozen=True, slots=True)
class Phase:
    """One of the nine phases; `status` is planned, running, done, skipped or cut."""

    KEY: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    position: int
    status: str
    budget_seconds: float
    started: float | None = None
    ended: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one soak test did in one phase; latencies of passes and the longest iteration in seconds.

    `latencies` is the histogram that `median` and `p95` are read from: see soak.histogram.
    """

    KEY: ClassVar[tuple[str, ...]] = ("test", "phase", "worker")
    test: str
    phase: str
    iterations: int
    failures: int
    failures_in_faults: int
    skipped: int
    seconds: float
    median: float
    p95: float
    longest: float
    latencies: str = ""
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure and its first full text; `event_id` is the fault it overlapped, or empty."""

    KEY: ClassVar[tuple[str, ...]] = ("test", "crash", "event_id", "worker")
    test: str
    crash: str
    event_id: str
    phase: str
    stage: str
    count: int
    first_at: float
    last_at: float
    text: str
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class Verdict:
    """One exit criterion judged; `verdict` is met, warning, unmet, inconclusive or not_applicable."""

    KEY: ClassVar[tuple[str, ...]] = ("criterion",)
    criterion: str
    verdict: str
    observed: float | None
    limit: str
    detail: str


@dataclass(frozen=True, slots=True)
class Worker:
    """One process that loops the tests of a distributed soak; `status` is running, ended or crashed.

    A crashed one died, stopped answering or hung: `reason` says which, `stacks` where it was, if that could
    be learned. `machine` is equal for workers on one machine, `replaces` the crashed one whose place it took,
    `attempt` the number of the one that it belongs to.
    """

    KEY: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    machine: str
    pid: int
    python: str
    joined_at: float
    status: str = "running"
    ended_at: float | None = None
    reason: str = ""
    stacks: str = ""
    replaces: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the run's log."""

    KEY: ClassVar[tuple[str, ...]] = ()
    at: float
    text: str


Record: TypeAlias = (
    Run
    | SoakTest
    | Hang
    | Attempt
    | Phase
    | Tally
    | Failure
    | Verdict
    | Worker
    | Note
    | Seam
    | ChaosEvent
    | EventMetrics
    | NotRun
    | BreakerResult
    | HazardResult
    | Transition
    | Cascade
    | Sample
    | Reading
    | OwnSlope
    | Observer
    | Tracing
    | Culprit
    | Leak
)
