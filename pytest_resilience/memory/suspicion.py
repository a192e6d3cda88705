"""What looks like a leak while the run goes on: said as a suspicion, because only the end of a run can tell.

The samples are kept in arrays of a fixed size; when these are full, every second sample is dropped, and of
those to come too.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_resilience.memory.columns import COUNTS, Columns
from pytest_resilience.memory.detect import LeakVerdict, judge
from pytest_resilience.memory.paced import Paced
from pytest_resilience.memory.patterns import trait_of
from pytest_resilience.memory.records import ITSELF, OwnSlope, Sample
from pytest_resilience.memory.rises import SIGNAL, Rises

CAPACITY = 256
SHARE = 0.0003
"""Of one core."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A signal that looks like a leak before the end; `process` is the watched one, empty for this one.

    It `trips` if it would be a leak by now, and not growth that cannot be told from a cycle, or from chance.
    """

    signal: str
    process: str
    at: float
    trips: bool

    @property
    def line(self) -> str:
        """The suspicion for people."""
        whose = "" if self.process == ITSELF else f" of process {self.process}"
        return f"suspect: {self.signal}{whose} keeps growing; the verdict comes at the end"


class Thinned:
    """Samples of one process at an even distance: the longer the phase, the fewer of them are kept."""

    def __init__(self) -> None:
        self._columns = Columns(CAPACITY)
        self._stride, self._skipped = 1, 0

    def add(self, sample: Sample) -> None:
        self._skipped += 1
        if self._skipped < self._stride:
            return
        self._skipped = 0
        if self._columns.full:
            self._columns.halve()
            self._stride *= 2
        self._columns.append(
            sample.at,
            sample.phase,
            sample.iteration,
            {name: getattr(sample, name) for name in COUNTS},
            checkpoint=sample.checkpoint,
            process=sample.process,
            pid=sample.pid,
        )

    def samples(self) -> list[Sample]:
        """Return what is kept."""
        return self._columns.samples()


class Suspicion:
    """Judges what it has seen of the phase that is under way, now and then, on the sampler's thread.

    Args:
        is_judged: tells of a phase whether leaks are looked for in it.
        tell: is told of each signal that trips, or may soon, once of each in a phase. What rises from
            checkpoint to checkpoint may: seeing that costs nothing, and judging waits for its time.
        cpu: a clock of the seconds that judging costs.
    """

    def __init__(
        self,
        is_judged: Callable[[str], bool],
        tell: Callable[[Suspect], None],
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._is_judged, self._tell, self._cpu = is_judged, tell, cpu
        self._own: Mapping[str, float] = {}
        self._phase = ""
        self._seen: dict[str, Thinned] = {}
        self._paced: dict[str, Paced[LeakVerdict]] = {}
        self._rises = Rises(trait_of(SIGNAL).floor)
        self._told: set[tuple[str, str, bool]] = set()

    def subtract(self, slopes: Sequence[OwnSlope]) -> None:
        """Take what the loop itself leaves behind away from now on."""
        self._own = {one.signal: one.per_iteration for one in slopes}

    def take(self, samples: Sequence[Sample]) -> None:
        """Have the next samples; those of a new phase begin anew."""
        for sample in samples:
            if sample.phase != self._phase:
                self._phase, self._told = sample.phase, set()
                self._seen.clear()
                self._rises.clear()
            if self._is_judged(sample.phase):
                self._keep(sample)
                if self._rises.take(sample, self._own.get(SIGNAL, 0.0)):
                    self._suspect(SIGNAL, sample.process, sample.at, trips=False)
        for process in self._seen:
            self._look(process, samples[-1].at)

    def _keep(self, sample: Sample) -> None:
        if sample.process not in self._seen:
            self._seen[sample.process] = seen = Thinned()
            self._paced[sample.process] = Paced(lambda: self._judge(seen), SHARE, self._cpu)
        self._seen[sample.process].add(sample)

    def _judge(self, seen: Thinned) -> LeakVerdict:
        return judge(seen.samples(), own_slope=self._own, floors=False)

    def _look(self, process: str, at: float) -> None:
        verdict = self._paced[process].read(at)
        for leak in (*verdict.leaks, *verdict.suspects) if verdict else ():
            self._suspect(leak.signal, process, at, trips=leak.verdict == "leak")

    def _suspect(self, signal: str, process: str, at: float, *, trips: bool) -> None:
        if (key := (process, signal, trips)) not in self._told:
            self._told.add(key)
            self._tell(Suspect(signal, process, at, trips))
