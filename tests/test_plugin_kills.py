"""SIGKILL of a soak, of its supervisor and of both, in the middle of faults; proofs/ has the long version."""

from pathlib import Path

from interrupt_cases import Stage
from killed_runs import MOST_LOST_SECONDS, WAYS, KilledRun, Tally


def test_killed_runs_open_go_on_and_leave_nothing(tmp_path: Path) -> None:
    """One run, killed three times, each time in another way: intact, resumed, complete, nothing left."""
    tally = Tally()
    with Stage() as stage:
        run = KilledRun(stage, tmp_path / "run", tally)
        for way, delay in zip(WAYS, (3.5, 3.0, 2.5), strict=True):
            if run.strike(way, delay):
                break
        run.finish()
    assert tally.wrong == []
    assert tally.kills == len(WAYS)
    assert tally.under_faults > 0
    assert (tally.resumed, tally.completed) == (1, 1)
    assert tally.most_lost < MOST_LOST_SECONDS
