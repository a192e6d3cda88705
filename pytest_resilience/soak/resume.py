"""Resuming a run: what the processes before leave behind, closed honestly, and where the next one goes on."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pytest_resilience.chaos.records import ChaosEvent, NotRun, Seam
from pytest_resilience.errors import RunChangedError, StoreError
from pytest_resilience.memory.records import Leak
from pytest_resilience.soak import messages
from pytest_resilience.soak.chaos_phase import ChaosPast, chaos_past
from pytest_resilience.soak.legacy import Legacy, legacy_of
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.tallies import merged
from pytest_resilience.store.records import Attempt, Phase, Record, Run, SoakTest, Verdict, Worker
from pytest_resilience.store.run_data import RunData
from pytest_resilience.workers import MAIN

UNFINISHED = ("running", "interrupted")
CUT = "the process of the run ended"
LAST_PHASES = (PhaseName.ANALYSIS, PhaseName.CLEANUP)


@dataclass(frozen=True, slots=True)
class Past:
    """What a resumed run has behind it; `attempt` is the one that begins now.

    In `data` the run goes on, what was under way when its process ended is closed, and nothing is judged yet.
    """

    data: RunData
    attempt: Attempt

    @property
    def elapsed(self) -> float:
        """Return the run's time at which it goes on."""
        return self.attempt.began

    @property
    def legacy(self) -> Legacy:
        """Return what the one process takes over that resumes the run by itself."""
        return legacy_of(self.data, self.attempt.rounds, self.attempt.longest_round, MAIN)

    @property
    def progress(self) -> messages.Progress:
        """Return how far the processes before have come, all together."""
        tallies = self.data.tallies
        failures = sum(one.failures for one in tallies)
        return messages.Progress(
            at=self.elapsed,
            iterations=sum(one.iterations for one in tallies),
            rounds=self.attempt.rounds,
            failures=failures,
            failures_outside=failures - sum(one.failures_in_faults for one in tallies),
            longest_round=self.attempt.longest_round,
        )

    @property
    def records(self) -> Sequence[Record]:
        """Return what has to be in the file before the run goes on."""
        return (self.data.run, self.attempt, *self.data.phases, *self.data.events, *self.data.workers)

    @property
    def forgotten(self) -> Sequence[type[Record]]:
        """Return the kinds of records that will be made anew."""
        return (Verdict, Leak) if self._is_over(PhaseName.CHAOS) else (Verdict, Leak, NotRun)

    @property
    def unreached(self) -> list[Seam]:
        """Return the seams that the baseline never reached; none if it was short or is not over."""
        tallies = merged(one for one in self.data.tallies if one.phase == PhaseName.BASELINE)
        rounds = [one.iterations for one in tallies]
        if not self._is_over(PhaseName.BASELINE) or min(rounds, default=0) < 2:
            return []
        return [seam for seam in self.data.seams if not seam.reached]

    @property
    def chaos(self) -> ChaosPast | None:
        """Return what the chaos phase did; None if it has not begun."""
        phase = self.data.phase(PhaseName.CHAOS)
        if phase is None or phase.started is None:
            return None
        return chaos_past(phase.started, self.data.events, self.data.not_run)

    def added_up(self, seam: Seam) -> Seam:
        """Return what was seen of a seam, with what was seen of it before."""
        for before in self.data.seams:
            if (before.service, before.target) == (seam.service, seam.target):
                normal = before.normal_seconds if seam.normal_seconds is None else seam.normal_seconds
                return replace(seam, reached=seam.reached + before.reached, normal_seconds=normal)
        return seam

    def _is_over(self, name: PhaseName) -> bool:
        phase = self.data.phase(name)
        return phase is not None and phase.status in ("done", "skipped")


def carry_on(data: RunData, now: datetime) -> Past:
    """Close what was under way when the last process ended, at its last sign of life."""
    at = max(data.elapsed, data.last_sign)
    last = max(data.attempts, key=lambda attempt: attempt.number)
    attempt = Attempt(next_attempt(data), stamp(now), at, at, last.rounds, last.longest_round)
    closed = replace(
        data,
        run=replace(data.run, status="running", reason="", ended=None),
        phases=tuple(_reopened(phase, at) for phase in data.phases),
        events=tuple(_closed(event, at) for event in data.events),
        workers=tuple(_left(worker, at) for worker in data.workers),
        verdicts=(),
        leaks=(),
    )
    return Past(closed, attempt)


def begin(run: Run, tests: Iterable[SoakTest], now: datetime) -> Sequence[Record]:
    """Return the first records of a new run."""
    return (run, Attempt(1, stamp(now), 0.0, 0.0), *tests)


def stamp(now: datetime) -> str:
    return now.isoformat(timespec="milliseconds")


def check_unfinished(run: Run) -> None:
    """Raise StoreError if there is nothing left to do in a run."""
    if run.status in UNFINISHED:
        return
    why = f" ({run.reason})" if run.reason else ""
    report = f"pytest --soak-report={run.test_id} shows its report."
    raise StoreError(f"{run.test_id} cannot be resumed: it is {run.status}{why}. Begin a new run; {report}")


def next_attempt(data: RunData) -> int:
    """Return the number of the attempt that would resume a run."""
    return max(attempt.number for attempt in data.attempts) + 1


def check_attempt(data: RunData, number: int) -> None:
    """Raise StoreError if another process has resumed the run meanwhile."""
    if next_attempt(data) != number:
        raise StoreError(f"{data.run.test_id} was resumed by another process just now. Resume it again.")


def check_tests(data: RunData, tests: Collection[str]) -> None:
    """Raise RunChangedError if the soak tests are not those that the run was begun with."""
    before, now = {one.test for one in data.soak_tests}, set(tests)
    if before == now:
        return
    changes = [f"{name} is new" for name in sorted(now - before)]
    changes += [f"{name} is missing" for name in sorted(before - now)]
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    raise RunChangedError(
        f"{data.run.test_id} cannot be resumed: its soak tests have changed "
        f"({'; '.join(changes[:3])}{more}).",
        "Select the same tests, or begin a new run.",
    )


def _reopened(phase: Phase, at: float) -> Phase:
    if phase.name in LAST_PHASES:
        return replace(phase, status="planned", started=None, ended=None, reason="")
    if phase.status != "running":
        return phase
    return replace(phase, status="cut", ended=at, reason=CUT)


def _left(worker: Worker, at: float) -> Worker:
    """Let a worker be over that nobody saw end: without the process that leads it, it ends by itself."""
    return replace(worker, status="ended", ended_at=at, reason=CUT) if worker.status == "running" else worker


def _closed(event: ChaosEvent, at: float) -> ChaosEvent:
    """Close an event whose fault ended with its process, or whose recovery nobody was there to see."""
    if event.recovered_at is not None or event.waited_seconds is not None:
        return event
    removed_at = at if event.removed_at is None else event.removed_at
    return replace(event, removed_at=removed_at, waited_seconds=at - removed_at, cut=True)
