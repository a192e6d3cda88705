"""What processes leave to one that loops tests later: in another attempt, or in place of a crashed one."""

from collections import Counter
from dataclasses import dataclass, replace

from pytest_resilience.chaos.records import Seam
from pytest_resilience.soak import messages
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.tallies import merged
from pytest_resilience.store.records import Failure, Tally
from pytest_resilience.store.run_data import RunData


@dataclass(frozen=True, slots=True)
class Legacy:
    """What a process takes over.

    Args:
        trial: each test is run once before anything counts.
        rounds_drawn: how many orders of tests the run has had.
        baseline: by test, the latencies of other processes in the steady state: see soak.histogram.
        normal_seconds: by service and target, what a call takes without a fault.
        injected: by scenario, how often it was injected.
        rounds: how many the run has completed; `longest_round` (seconds) is one of them.
        tallies: what the run has counted; those of a process of this name are its own, and go on.
        failures: the same of kinds of failures.
    """

    trial: bool = False
    rounds_drawn: int = 0
    baseline: tuple[tuple[str, str], ...] = ()
    normal_seconds: tuple[tuple[str, str, float], ...] = ()
    injected: tuple[tuple[str, int], ...] = ()
    rounds: int = 0
    longest_round: float = 0.0
    tallies: tuple[Tally, ...] = ()
    failures: tuple[Failure, ...] = ()

    @classmethod
    def told_by(cls, begin: messages.Begin) -> "Legacy":
        """Return what a worker is told when it begins."""
        return cls(begin.trial, begin.rounds_drawn, begin.baseline, begin.normal_seconds, begin.injected)

    def told_at(self, at: float) -> messages.Begin:
        """Return the message for a worker that begins when the run is `at` seconds old."""
        return messages.Begin(
            at, self.trial, self.rounds_drawn, self.baseline, self.normal_seconds, self.injected
        )


NOTHING = Legacy()


class Estate:
    """Gathers what a run has measured; `data` is what was recorded before."""

    def __init__(self, data: RunData | None = None) -> None:
        self._baselines: dict[tuple[str, str], Tally] = {}
        self._normal_seconds: dict[tuple[str, str], float] = {}
        self._injected = Counter(event.scenario for event in data.events) if data else Counter()
        records: tuple[Tally | Seam, ...] = (*data.tallies, *data.seams) if data else ()
        for record in records:
            self.take(record)

    def take(self, record: Tally | Seam) -> None:
        """Have what was counted and seen so far."""
        match record:
            case Tally(phase=PhaseName.BASELINE):
                self._baselines[record.test, record.worker] = record
            case Seam(normal_seconds=float(seconds)):
                self._normal_seconds[record.service, record.target] = seconds

    def legacy(self, rounds: int, *, trial: bool, without: str = "") -> Legacy:
        """Return what a process begins with after so many rounds.

        One of the name `without` has its own baseline beside that of the others.
        """
        others = (one for one in self._baselines.values() if one.worker != without)
        return Legacy(
            trial=trial,
            rounds_drawn=max(0, rounds - 1),  # the run began with a round in the tests' own order
            baseline=tuple((one.test, one.latencies) for one in merged(others)),
            normal_seconds=tuple((*seam, seconds) for seam, seconds in self._normal_seconds.items()),
            injected=tuple(self._injected.items()),
        )


def legacy_of(data: RunData, rounds: int, longest_round: float, own: str) -> Legacy:
    """Return what a process of the name `own` has behind it that resumes a run by itself."""
    return replace(
        Estate(data).legacy(rounds, trial=True, without=own),
        rounds=rounds,
        longest_round=longest_round,
        tallies=data.tallies,
        failures=data.failures,
    )
