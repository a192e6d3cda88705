"""Weights, and tests that must pass even under faults, in whole soaks on a manual clock."""

from collections import Counter

from soak_stage import ODDS, Stage, fetch

from pytest_resilience.soak.criteria import judge
from pytest_resilience.store.records import SoakTest

FETCHES, CALM = "test_a.py::test_fetches", "test_b.py::test_calm"
EXCEPTION = ("valuation_exception",)


def soak(*marks: SoakTest, chosen: tuple[str, ...] = EXCEPTION, recovers: bool = True) -> Stage:
    """Play ten minutes of two tests, one of which fails under faults."""
    stage = Stage(600.0, services=[ODDS], chosen=chosen, marks={mark.test: mark for mark in marks})
    broken = False

    def fetches() -> None:
        nonlocal broken
        stage.clock.pass_by(0.2)
        try:
            fetch("a")
        except ConnectionResetError:
            broken = not recovers
            raise
        assert not broken

    stage.bodies[FETCHES] = fetches
    stage.test(0.2, name=CALM)
    return stage.play()


def verdicts(stage: Stage) -> dict[str, str]:
    """Return the verdict of each criterion."""
    return {one.criterion: one.verdict for one in judge(stage.data)}


def test_a_test_that_fails_under_what_it_must_survive_fails_the_run() -> None:
    """And nothing else does: its failures belong to the fault, from which the suite recovers."""
    found = verdicts(soak(SoakTest(FETCHES, 1, "valuation_exception")))
    assert found["survives"] == "unmet"
    assert found["failures_outside_faults"] == found["recovery_success_rate"] == "met"


def test_a_test_that_passes_under_what_it_must_survive_has_met_it() -> None:
    """Others may fail."""
    found = verdicts(soak(SoakTest(CALM, 1, "valuation_exception")))
    assert found["survives"] == found["failures_outside_faults"] == "met"


def test_failures_after_the_fault_and_before_recovery_count_too() -> None:
    """The event lasts until the suite is back, which here it never is."""
    stage = soak(SoakTest(FETCHES, 1, "valuation_exception"), recovers=False)
    assert verdicts(stage)["survives"] == "unmet"
    (event, *_) = stage.data.events
    assert event.removed_at is not None
    assert any(failure.last_at > event.removed_at for failure in stage.data.failures if failure.event_id)


def test_a_failure_under_two_faults_belongs_to_the_one_that_is_not_survived() -> None:
    """It proves nothing against the other."""
    both = ("valuation_exception", "latency_spike")
    stage = soak(SoakTest(FETCHES, 1, "latency_spike"), chosen=both)
    assert {one.event_id.rpartition("-")[0] for one in stage.data.failures} == {"valuation_exception"}
    assert verdicts(stage)["survives"] == "met"


def test_rounds_and_recovery_are_those_of_the_whole_suite_whatever_it_weighs() -> None:
    """A round has three iterations more, and each of them must pass for a recovery."""
    stage = soak(SoakTest(CALM, 4))
    counts: Counter[str] = Counter()
    for tally in stage.data.tallies:
        counts[tally.test] += tally.iterations
    assert abs(counts[CALM] - 4 * counts[FETCHES]) <= 8
    assert stage.data.events
    assert all(event.recovered_at is not None for event in stage.data.events if event.fired)
    assert stage.conductor.state.progress.longest_round >= 5 * 0.2
