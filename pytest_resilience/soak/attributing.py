"""The sampler's checkpoints, and behind them a look at who grows, once a signal has tripped."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from pytest_resilience.memory.attribute import Attribution, Views
from pytest_resilience.memory.handles import child_processes, open_descriptors, threads_of
from pytest_resilience.memory.leak_limit import COUNTS
from pytest_resilience.memory.processes import WatchedProcess
from pytest_resilience.memory.records import ATTRIBUTION, ITSELF, Culprit, Observer, OwnSlope, Tracing
from pytest_resilience.memory.suspicion import Suspect
from pytest_resilience.soak.calibration import Memory
from pytest_resilience.soak.checkpoints import Checkpoints

SPACING_SHARE = 1 / 60
FIRST_LOOK_SECONDS = 0.2
LATEST_TRACING = 0.7
"""Of the run: what is suspect only then is not traced, so that growth can be judged at the end."""

ROOMY = 1.5
"""A look may take longer than any before, by so much."""


@dataclass(frozen=True)
class Surroundings:
    """What the search for culprits tells, and to whom.

    Args:
        keep: takes the culprits, what looking has cost so far, and when allocations were traced.
        complain: is told once if looking fails; the soak goes on without it.
        now: the run's time in seconds.
        held: keeps the sampler from taking the looks themselves for what the tests do.
        judged: tells whether growth is judged now; elsewhere only what has tripped is looked for.
        round_seconds: how long the last round of the tests took: what one of them leaks comes once in it.
    """

    keep: Callable[[Culprit | Observer | Tracing], None]
    complain: Callable[[str], None]
    now: Callable[[], float]
    held: Callable[[], AbstractContextManager[None]] = nullcontext
    judged: Callable[[], bool] = lambda: True
    round_seconds: Callable[[], float] = lambda: 0.0


class Attributing:
    """Stands in for the sampler where the runner reads memory between two iterations.

    `suspect` may be called on any thread. While somebody is sought checkpoints come at least as often as the
    looks, which get rarer and rarer.

    Args:
        memory: the sampler.
        processes: those that are watched; of them only what is open and running can be named.
        around: whom it tells what.
        checkpoints: when the runner takes them.
        duration: seconds of the run; the first looks are a sixtieth of it and at least a round apart, so that
            something can grow.
        own: looks at this process.
    """

    def __init__(
        self,
        memory: Memory,
        processes: Iterable[WatchedProcess],
        around: Surroundings,
        checkpoints: Checkpoints,
        duration: float,
        own: Attribution,
    ) -> None:
        self._memory, self._around = memory, around
        self._checkpoints, self._duration = checkpoints, duration
        self._due: dict[str, float] = {}
        self._longest = FIRST_LOOK_SECONDS
        self._attributions: dict[str, Attribution] = {
            ITSELF: own,
            **{one.name: Attribution(Views(census=None, handles=_handles_of(one))) for one in processes},
        }
        self._kept: dict[str, tuple[Culprit, ...]] = {}
        self._traced_since = 0.0
        self._first: Mapping[str, Mapping[str, int]] | None = None

    def suspect(self, found: Suspect) -> None:
        """Look who holds what a signal counts, from the next checkpoint on.

        What is open and running is listed anyway: that is cheap, and its signals may trip later.
        """
        attribution = self._attributions.get(found.process)
        in_time = self._around.now() < LATEST_TRACING * self._duration
        if attribution is not None:
            for signal in (found.signal, *COUNTS):
                attribution.suspect(signal, trips=found.trips, traces=in_time)
            self._due.pop(found.process, None)
            self._checkpoints.ask(self._around.now())

    def checkpoint(self) -> float:
        """Let the sampler read everything, then look; return what the reading may cost the next one."""
        cost, now = self._memory.checkpoint(), self._around.now()
        if self._first is None:
            self._first = {}
            with self._guarded(ITSELF) as attribution:
                self._first = attribution.inventory()
        due = [name for name in self._active if now >= self._due.get(name, 0.0)]
        if due and self._checkpoints.room(now) > ROOMY * self._longest:
            with self._around.held():
                for process in due:
                    with self._guarded(process) as attribution:
                        self._look(process, attribution)
            self._longest = max(self._longest, self._around.now() - now)
        return min([cost, *(self._checkpoints.cost_of(self._gap(one)) for one in self._active.values())])

    def _gap(self, attribution: Attribution) -> float:
        """Return the seconds until its next look; after the first few they must last until the end."""
        gap = max(SPACING_SHARE * self._duration, self._around.round_seconds()) * attribution.stride
        if attribution.stride == 1:
            return gap
        return max(gap, (self._duration - self._around.now()) * attribution.share_of_rest)

    @property
    def _active(self) -> Mapping[str, Attribution]:
        judged = self._around.judged()
        return {name: one for name, one in self._attributions.items() if one.active and (judged or one.trips)}

    def close(self) -> None:
        """Name what was added since the first checkpoint, and let go of everything; on the tests' thread."""
        if self._first and ITSELF in self._attributions:
            with self._guarded(ITSELF) as attribution:
                for culprit in attribution.added_since(self._first):
                    self._around.keep(replace(culprit, at=self._around.now()))
            self._first = {}
        for process in tuple(self._attributions):
            with self._guarded(process) as attribution:
                attribution.close()

    def calibrate(self, run_empty: Callable[[], None]) -> Sequence[OwnSlope]:
        """Let the sampler measure what an empty iteration leaves."""
        return self._memory.calibrate(run_empty)

    @contextmanager
    def _guarded(self, process: str) -> Iterator[Attribution]:
        """Give up on a process if the block fails: objects of the user's may raise; the soak goes on."""
        attribution = self._attributions[process]
        was_tracing = attribution.tracing
        try:
            yield attribution
        except Exception as error:
            attribution.close()
            self._attributions.pop(process)
            self._around.complain(f"who holds what leaks cannot be told: {type(error).__name__}: {error}")
        self._note_tracing(was_tracing, attribution.tracing)

    def _look(self, process: str, attribution: Attribution) -> None:
        culprits, kept = attribution.look(), self._kept.get(process, ())
        self._due[process] = self._around.now() + self._gap(attribution)
        if culprits != kept:
            self._kept[process] = culprits
            for culprit in (*culprits, *acquitted(kept, culprits)):
                self._around.keep(replace(culprit, process=process, at=self._around.now()))
        seconds = sum(one.seconds for one in self._attributions.values())
        self._around.keep(Observer(ATTRIBUTION, self._around.now(), seconds))

    def _note_tracing(self, before: bool, after: bool) -> None:
        """Tell from when to when allocations were traced."""
        if after and not before:
            self._traced_since = self._around.now()
        elif before and not after:
            self._around.keep(Tracing(self._traced_since, self._around.now()))


def acquitted(before: Iterable[Culprit], now: Iterable[Culprit]) -> Iterator[Culprit]:
    """Yield who takes the places, in the record, of those that are no culprits any more: nobody."""
    taken = {(one.signal, one.rank) for one in now}
    for one in before:
        if (one.signal, one.rank) not in taken:
            yield Culprit(one.signal, kind="", name="", grew=0.0, unit=one.unit, rank=one.rank)


def _handles_of(process: WatchedProcess) -> Mapping[str, Callable[[], Mapping[str, int]]]:
    """Return what lists the handles of a process from outside; nothing while it does not run."""
    listings = {"fds": open_descriptors, "threads": threads_of, "children": child_processes}
    return {name: partial(_listed, process, listing) for name, listing in listings.items()}


def _listed(process: WatchedProcess, listing: Callable[[int], Mapping[str, int]]) -> Mapping[str, int]:
    pid = process.find()
    return listing(pid) if pid else {}
