"""The conductor, with a real runner, real faults and a manual clock: nine phases of hours in seconds."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from soak_stage import ODDS, Stage

from pytest_resilience.breakers.records import BreakerResult
from pytest_resilience.services import Service
from pytest_resilience.soak import messages
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.phases import PHASES, TIMED, PhaseName
from pytest_resilience.soak.world import Task, World

FOUR_HOURS = 4 * 3600.0
LOOPED = [kind.name for kind in PHASES[:7]]
RESULT = BreakerResult("test_circuit", "failure_threshold", "passed", "opened at 5")


def taking(stage: Stage, seconds: float) -> dict[str, Task]:
    """Return tasks for breakers and cascades that take their time."""

    def task(world: World) -> Iterator[Message]:
        stage.clock.pass_by(seconds)
        yield RESULT

    return {"VerifyBreakers": task, "RunCascades": task}


def full_stage(seconds: float = 0.0, duration: float = FOUR_HOURS) -> Stage:
    """Return a soak in which every phase has a subject; a task takes `seconds`."""
    services = [Service("shop", needs=["odds"]), ODDS]
    stage = Stage(duration, services=services, breakers=["test_circuit"])
    stage.tasks = taking(stage, seconds)
    stage.test(2.0, calls=True)
    return stage


def test_phases_follow_each_other_in_the_order_of_the_table() -> None:
    """Each begins when the one before it ends, and all that loop are done."""
    stage = full_stage().play()
    phases = [stage.phase(name) for name in LOOPED]
    assert [phase.status for phase in phases] == ["done"] * 7
    assert [(one.ended, one.name) for one in phases[:-1]] == [
        (other.started, one.name) for one, other in pairwise(phases)
    ]
    assert phases[0].started == 0.0
    assert [phase.position for phase in phases] == list(range(7))


def test_the_last_two_phases_are_not_the_scripts() -> None:
    """Analysis and clean-up come when the loop is over; until then they are planned."""
    stage = full_stage(duration=60.0).play()
    assert stage.phase(PhaseName.ANALYSIS).status == stage.phase(PhaseName.CLEANUP).status == "planned"


def test_times_are_the_budgets_of_what_the_first_round_left() -> None:
    """Baseline, chaos and recovery end at their shares of the run, the first round taken off evenly."""
    stage = full_stage().play()
    first_round = stage.phase(PhaseName.INITIALIZATION).ended or 0.0
    assert first_round == pytest.approx(2.0, abs=0.3)
    rest = FOUR_HOURS - first_round
    ends = {name: stage.phase(name).ended for name in LOOPED}
    assert ends[PhaseName.BASELINE] == pytest.approx(first_round + 0.10 * rest, abs=0.3)
    assert ends[PhaseName.MEMORY] == pytest.approx(first_round + 0.90 * rest, abs=0.3)
    assert ends[PhaseName.RECOVERY] == pytest.approx(FOUR_HOURS, abs=0.3)
    assert {kind.name: stage.phase(kind.name).budget_seconds for kind in TIMED} == {
        kind.name: pytest.approx(kind.share * FOUR_HOURS) for kind in TIMED
    }


@pytest.mark.parametrize("seconds", [1.0, 300.0, 1500.0])
def test_what_breakers_and_cascades_leave_goes_to_the_memory_soak(seconds: float) -> None:
    """They take what they take, and the memory soak ends when it was planned to end."""
    stage = full_stage(seconds).play()
    chaos_ended = stage.phase(PhaseName.CHAOS).ended
    memory = stage.phase(PhaseName.MEMORY)
    assert chaos_ended is not None
    assert memory.started == pytest.approx(chaos_ended + 2 * seconds, abs=5)
    assert memory.ended == pytest.approx(2 + 0.9 * (FOUR_HOURS - 2), abs=0.3)
    assert stage.data.breaker_results == (RESULT,)


def test_budgets_can_be_set() -> None:
    """A phase with a budget of its own takes that, the others share the rest."""
    stage = full_stage(duration=1000.0)
    stage.budgets = ["BASELINE_ESTABLISHMENT = 300s", "CHAOS_INJECTION = 0%"]
    stage.play()
    baseline = stage.phase(PhaseName.BASELINE)
    assert baseline.ended == pytest.approx(2 + 300 * 0.998, abs=0.6)
    chaos = stage.phase(PhaseName.CHAOS)
    assert chaos.ended == chaos.started
    assert not stage.data.events


def test_a_phase_without_a_subject_is_skipped_with_the_reason() -> None:
    """And its time goes to the memory soak."""
    stage = Stage(100.0)
    stage.test(0.5)
    stage.play()
    reasons = {phase.name: phase.reason for phase in stage.data.phases if phase.status == "skipped"}
    assert reasons == {
        "CHAOS_INJECTION": "no declared service has a seam that a scenario can use: see resilience_services",
        "CIRCUIT_BREAKER_TESTING": "no circuit breaker is registered: see resilience_breakers",
        "CASCADING_FAILURE_TESTING": "no circuit breaker is registered: see resilience_breakers",
    }
    assert stage.phase(PhaseName.MEMORY).started == stage.phase(PhaseName.BASELINE).ended


def test_a_phase_that_is_switched_off_says_by_what() -> None:
    """Switched off comes before any other reason, and nothing of it is done."""
    stage = full_stage(duration=100.0)
    stage.disabled = {PhaseName.CHAOS: "resilience_enable_chaos_testing = false"}
    stage.play()
    assert stage.phase(PhaseName.CHAOS).reason == "switched off by resilience_enable_chaos_testing = false"
    assert stage.phase(PhaseName.CHAOS).started is None
    assert not stage.sent(messages.Inject)


def test_a_test_that_fails_at_once_ends_the_run() -> None:
    """Nothing can be said about the resilience of a broken suite."""
    stage = Stage(FOUR_HOURS)
    stage.bodies["test_shop.py::test_broken"] = lambda: 1 / 0
    stage.play()
    assert stage.reason == (
        "test_shop.py::test_broken fails at once: nothing can be said about the resilience of a broken suite"
    )
    phase = stage.phase(PhaseName.INITIALIZATION)
    assert (phase.status, phase.reason) == ("cut", stage.reason)
    assert stage.phase(PhaseName.BASELINE).status == "planned"
    assert stage.runner.iterations == 1


def test_a_test_that_fails_when_repeated_ends_the_run_in_the_baseline() -> None:
    """It passes once: the message tells it from one that never did."""
    stage = Stage(FOUR_HOURS, services=[ODDS])
    seen: list[int] = []

    def leaves_something_behind() -> None:
        stage.clock.pass_by(1.0)
        assert not seen
        seen.append(1)

    stage.bodies["test_shop.py::test_once"] = leaves_something_behind
    stage.play()
    assert stage.reason.startswith("test_shop.py::test_once passes once, fails when repeated: nothing ")
    assert stage.phase(PhaseName.BASELINE).status == "cut"
    assert stage.ended < 5
    assert stage.chaos.sweep() == 0, "the seams are no longer watched"


def test_a_first_round_that_is_longer_than_the_run_is_an_abort() -> None:
    """It says how long the run was asked to be."""
    stage = Stage(60.0)
    stage.test(100.0)
    stage.play()
    assert stage.reason == "the first round of the soak tests took longer than the whole run of 1m00s"
    assert stage.ended == pytest.approx(100.0)


def test_seams_that_the_suite_never_reaches_are_named_after_the_baseline() -> None:
    """In the first minutes, not in hour 4; what is reached has its normal latency."""
    stage = Stage(100.0, services=[ODDS, Service("mail", calls=["soak_stage:never_called"])])
    stage.test(0.5, calls=True)
    stage.play()
    text = "the suite never reaches soak_stage:never_called of mail: no fault can fire there"
    assert stage.said == [text]
    (note,) = stage.data.notes
    assert (note.text, note.at) == (text, stage.phase(PhaseName.BASELINE).ended)
    reached = {seam.service: seam.reached for seam in stage.data.seams}
    assert reached["mail"] == 0
    assert reached["odds"] > 10


def test_a_task_that_never_ends_is_cut_at_the_end_of_the_run() -> None:
    """The run does not wait for it for ever."""
    stage = full_stage(seconds=200.0, duration=100.0)
    stage.play()
    assert stage.reason == "VerifyBreakers did not end within the run"
    assert stage.phase(PhaseName.BREAKERS).status == "cut"


def test_an_interrupt_cuts_the_phase_and_removes_the_fault() -> None:
    """Whatever was armed is gone when the script is closed."""
    stage = Stage(600.0, services=[ODDS])
    stage.test(0.5, calls=True)
    calm = stage.bodies["test_shop.py::test_quote"]

    def interrupted() -> None:
        calm()
        if stage.chaos.active():
            stage.interrupt()

    stage.bodies["test_shop.py::test_quote"] = interrupted
    stage.play()
    chaos = stage.phase(PhaseName.CHAOS)
    assert (chaos.status, chaos.reason) == ("cut", "interrupted")
    assert stage.chaos.active() == ()
    assert stage.chaos.sweep() == 0
    assert stage.ended < 120


def test_the_same_seed_gives_the_same_run() -> None:
    """Every record is the same, second by second; another seed gives another order of faults."""

    def events(seed: int) -> list[object]:
        stage = Stage(1200.0, services=[ODDS], seed=seed)
        stage.test(0.5, calls=True)
        return list(stage.play().data.events)

    assert events(7) == events(7)
    orders = {tuple(event.scenario for event in events(seed)) for seed in range(4)}  # type: ignore[attr-defined]
    assert len(orders) > 1


@given(
    duration=st.floats(20, 20_000),
    lengths=st.lists(st.floats(0.01, 100), min_size=1, max_size=4),
    needs_odds=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_run_lasts_as_long_as_it_was_asked_to(
    duration: float, lengths: list[float], needs_odds: bool
) -> None:
    """Within 2 % or 3 s, plus the longest iteration; faults on the way change nothing about that."""
    assume(duration / sum(lengths) < 500)
    stage = Stage(duration, services=[ODDS] if needs_odds else [])
    for number, seconds in enumerate(lengths):
        stage.test(seconds, calls=needs_odds, name=f"test_shop.py::test_{number}")
    stage.play()
    assert stage.ended <= duration + max(0.02 * duration, 3.0) + stage.longest_iteration
    if sum(lengths) < duration:
        assert stage.reason == ""
        assert stage.ended >= duration - 1e-6
    elif sum(lengths) > duration + 1:
        assert stage.reason.startswith("the first round of the soak tests took longer")
