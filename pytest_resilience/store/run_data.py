"""Everything that a run recorded, by kind."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pytest_resilience.breakers.records import BreakerResult, Cascade, HazardResult, Transition
from pytest_resilience.chaos.records import ChaosEvent, EventMetrics, NotRun, Seam
from pytest_resilience.errors import StoreError
from pytest_resilience.memory.records import Culprit, Leak, Observer, OwnSlope, Reading, Sample, Tracing
from pytest_resilience.store.records import (
    Attempt,
    Failure,
    Hang,
    Note,
    Phase,
    Record,
    Run,
    SoakTest,
    Tally,
    Verdict,
    Worker,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunData:
    """The records of one run; each tuple in the order in which they were first put."""

    run: Run
    soak_tests: tuple[SoakTest, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    phases: tuple[Phase, ...] = ()
    tallies: tuple[Tally, ...] = ()
    failures: tuple[Failure, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[Note, ...] = ()
    seams: tuple[Seam, ...] = ()
    events: tuple[ChaosEvent, ...] = ()
    event_metrics: tuple[EventMetrics, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    breaker_results: tuple[BreakerResult, ...] = ()
    hazards: tuple[HazardResult, ...] = ()
    transitions: tuple[Transition, ...] = ()
    cascades: tuple[Cascade, ...] = ()
    samples: tuple[Sample, ...] = ()
    readings: tuple[Reading, ...] = ()
    own_slopes: tuple[OwnSlope, ...] = ()
    observers: tuple[Observer, ...] = ()
    tracings: tuple[Tracing, ...] = ()
    culprits: tuple[Culprit, ...] = ()
    leaks: tuple[Leak, ...] = ()
    hangs: tuple[Hang, ...] = ()
    workers: tuple[Worker, ...] = ()

    def phase(self, name: str) -> Phase | None:
        """Return the phase of that name, if the run got as far as planning it."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def window(self, name: str) -> tuple[float, float] | None:
        """Return start and end of a phase, up to now if it is running; None if it never began."""
        phase = self.phase(name)
        if phase is None or phase.started is None:
            return None
        return phase.started, self.elapsed if phase.ended is None else phase.ended

    @property
    def elapsed(self) -> float:
        """Return the seconds from the start of the run to its end, or to the last thing that it recorded."""
        return self.run.ended if self.run.ended is not None else self.last_sign

    @property
    def last_sign(self) -> float:
        """Return the run's time at the last thing that it recorded."""
        attempts = (attempt.alive_at for attempt in self.attempts)
        phases = (phase.ended or phase.started or 0.0 for phase in self.phases)
        samples = (sample.at for sample in self.samples)
        return max((*attempts, *phases, *samples, *(note.at for note in self.notes)), default=0.0)


def gather(records: Iterable[Record]) -> RunData:
    """Sort records by kind, the last one with a key replacing the earlier; raise StoreError without a Run."""
    kept: dict[object, Record] = {}
    for position, record in enumerate(records):
        kept[_identity(record, position)] = record
    everything = tuple(kept.values())
    runs = _of(Run, everything)
    if not runs:
        raise StoreError("There is no run in it yet: the run was stopped before it began.")
    return RunData(
        run=runs[-1],
        soak_tests=_of(SoakTest, everything),
        attempts=_of(Attempt, everything),
        phases=_of(Phase, everything),
        tallies=_of(Tally, everything),
        failures=_of(Failure, everything),
        verdicts=_of(Verdict, everything),
        notes=_of(Note, everything),
        seams=_of(Seam, everything),
        events=_of(ChaosEvent, everything),
        event_metrics=_of(EventMetrics, everything),
        not_run=_of(NotRun, everything),
        breaker_results=_of(BreakerResult, everything),
        hazards=_of(HazardResult, everything),
        transitions=_of(Transition, everything),
        cascades=_of(Cascade, everything),
        samples=_of(Sample, everything),
        readings=_of(Reading, everything),
        own_slopes=_of(OwnSlope, everything),
        observers=_of(Observer, everything),
        tracings=_of(Tracing, everything),
        culprits=tuple(one for one in _of(Culprit, everything) if one.name),
        leaks=_of(Leak, everything),
        hangs=_of(Hang, everything),
        workers=_of(Worker, everything),
    )


def _identity(record: Record, position: int) -> object:
    if not record.KEY:
        return position
    return type(record), tuple(getattr(record, name) for name in record.KEY)


def _of(kind: type[T], records: Iterable[object]) -> tuple[T, ...]:
    return tuple(record for record in records if isinstance(record, kind))
