"""SIGKILL of a soak, of its supervisor and of both, in the middle of faults; proofs/ has the long version."""

from pathlib import Path

from interrupt_cases import Stage
from killed_runs import MOST_LOST_SECONDS, WAYS, KilledRun, Tally, kill_a_worker, kill_all_tests, kill_tests


def test_killed_runs_open_go_on_and_leave_nothing(tmp_path: Path) -> None:
    """One run, killed three times, each time in another way: intact, resumed, complete, nothing left."""
    tally = Tally()
    with Stage() as stage:
        run = KilledRun(stage, tmp_path / "run", tally)
        for way, delay in zip(WAYS, (2.0, 1.5, 1.0), strict=True):
            if run.strike(way, delay):
                break
        run.finish()
    assert tally.wrong == []
    assert tally.kills == len(WAYS)
    assert tally.under_faults > 0
    assert (tally.resumed, tally.completed) == (1, 1)
    assert tally.most_lost < MOST_LOST_SECONDS


def test_killed_runs_of_workers_go_on_too(tmp_path: Path) -> None:
    """All at once, the controller alone, a worker and then the controller; then two others end the run."""
    tally = Tally()
    with Stage() as stage:
        run = KilledRun(stage, tmp_path / "run", tally)
        for way, delay in ((kill_all_tests, 2.0), (kill_tests, 1.0), (kill_a_worker, 1.0)):
            if run.strike(way, delay, workers=2):
                break
        run.finish(workers=2)
    assert tally.wrong == []
    assert (tally.kills, tally.of_workers) == (3, 3)
    assert tally.under_faults > 0
    assert (tally.resumed, tally.completed) == (1, 1)
    assert tally.most_lost < MOST_LOST_SECONDS
