"""What failing calls leave behind: descriptors and threads that the faults on a service add, and nobody ends.

A leak on the path of an error does not show while all is well, and the memory soak has no faults. So the
events are asked. Several of a service must have left something, the later ones about as much per hit as the
first ones (a pool that grows does not), and it must still be there in the second half of the memory soak.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.memory.attribute import LEAST_HANDLES as LEAST
from pytest_resilience.memory.attribute import LISTED
from pytest_resilience.memory.patterns import name_severity, trait_of
from pytest_resilience.memory.records import ITSELF, Leak
from pytest_resilience.memory.series import HOUR, Window, within
from pytest_resilience.soak.stretches import Stretch, memory_stretch
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import counted

SEAMS = ("calls", "endpoint", "process")
FEWEST_EVENTS = 3
LASTING = 0.35
"""What the later half of the events leaves per hit, as a share of what the first half does."""

STILL_THERE = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """By how much a signal rose over one event."""

    hits: int
    rose: int


@dataclass(frozen=True, slots=True)
class FailureLeak:
    """What the faults on a service left of one signal in one process.

    Args:
        left: descriptors or threads that are still there.
        before: how many there were in the baseline.
        seconds: from the baseline to the end of the memory soak.
        culprits: what is left, one name per line, as far as it is known.
    """

    worker: str
    signal: str
    service: str
    steps: Sequence[Step]
    left: int
    before: float
    seconds: float
    culprits: str = ""

    @property
    def line(self) -> str:
        """The leak for people."""
        hits = sum(one.hits for one in self.steps)
        what = self.culprits.partition("\n")[0]
        left = trait_of(self.signal).counted(f"{self.left:,}") + (f" ({what})" if what else "")
        events = f"{_growing(self.steps)} of {counted(len(self.steps), 'event')}"
        return f"leak: failures of {self.service} leave {left} behind, after {hits:,} hits in {events}"

    @property
    def leak(self) -> Leak:
        """The same as a record; its rate is that of the run, its confidence the share of events."""
        trait, per_hour = trait_of(self.signal), self.left * HOUR / self.seconds
        current = self.before + self.left
        return Leak(
            signal=self.signal,
            verdict="leak",
            pattern="stepwise",
            kind=trait.kind,
            severity=name_severity(self.signal, per_hour),
            unit=trait.unit,
            per_iteration=None,
            per_hour=per_hour,
            confidence=round(_growing(self.steps) / len(self.steps), 2),
            samples=len(self.steps),
            baseline=self.before,
            current=current,
            projection_24h=current + 24 * per_hour,
            recommendation=(
                f"Look at what is opened or started before a call of {self.service} fails, and end it in "
                "`finally` or `with`."
            ),
            culprits=self.culprits or f"failures of {self.service}",
            worker=self.worker,
        )


def failure_leaks(data: RunData) -> list[FailureLeak]:
    """Return what leaks where calls fail, the most first; nothing of a run that was resumed."""
    stretch = memory_stretch(data)
    workers = sorted({one.worker for one in data.event_metrics})
    found = (_leaks_of(data, worker, signal, stretch) for worker in workers for signal in LISTED)
    return sorted((leak for some in found for leak in some), key=lambda one: -one.left)


def _leaks_of(data: RunData, worker: str, signal: str, stretch: Stretch) -> Iterator[FailureLeak]:
    if stretch.baseline is None or stretch.memory is None or len(data.attempts) > 1:
        return
    begins, (_, ends) = stretch.baseline, stretch.memory
    before = list(_readings(data, worker, signal, begins))
    after = list(_readings(data, worker, signal, (sum(stretch.memory) / 2, ends)))
    if not (before and after):
        return
    held = min(after) - median(before)
    for service, steps in _steps(data, worker, signal).items():
        left = _rise(steps)
        if _grows(steps) and held >= max(LEAST, STILL_THERE * left):
            names = _culprits(data, worker, signal)
            kept = int(min(left, held))
            yield FailureLeak(worker, signal, service, steps, kept, median(before), ends - begins[0], names)


def _grows(steps: Sequence[Step]) -> bool:
    """Tell whether several events left something, and the later ones about as much per hit."""
    half = len(steps) // 2
    lasts = _per_hit(steps[half:]) >= LASTING * _per_hit(steps[:half])
    return lasts and _growing(steps) >= FEWEST_EVENTS and _rise(steps) >= LEAST


def _growing(steps: Sequence[Step]) -> int:
    """Count the events that left something."""
    return sum(one.rose > 0 for one in steps)


def _rise(steps: Sequence[Step]) -> int:
    return sum(one.rose for one in steps)


def _per_hit(steps: Sequence[Step]) -> float:
    return _rise(steps) / max(1, sum(one.hits for one in steps))


def _steps(data: RunData, worker: str, signal: str) -> dict[str, list[Step]]:
    """Return, by service, how much the signal rose over each event that hit it, in the order of time."""
    read = {
        (one.event_id, one.moment): getattr(one, signal) for one in data.event_metrics if one.worker == worker
    }
    steps: dict[str, list[Step]] = {}
    for event in sorted(data.events, key=_armed_at):
        before, after = read.get((event.event_id, "before")), read.get((event.event_id, "after"))
        if event.fired and event.seam in SEAMS and before is not None and after is not None:
            steps.setdefault(event.service, []).append(Step(event.fired, after - before))
    return steps


def _armed_at(event: ChaosEvent) -> float:
    return event.armed_at


def _readings(data: RunData, worker: str, signal: str, window: Window) -> Iterator[float]:
    rows = [one for one in data.samples if (one.worker, one.process) == (worker, ITSELF)]
    values = (getattr(one, signal) for one in within(rows, window))
    return (value for value in values if value is not None)


def _culprits(data: RunData, worker: str, signal: str) -> str:
    """Name what there was more of at the end than in the baseline, if nothing else leaks of the signal."""
    named = [
        one for one in data.culprits if (one.worker, one.process, one.signal) == (worker, ITSELF, signal)
    ]
    return "\n".join(one.noun for one in sorted(named, key=lambda one: one.rank))
