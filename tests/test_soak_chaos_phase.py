"""The chaos phase: real faults, one after the other, each followed until the suite is back."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak_stage import ODDS, ON_CALLS, ORIGIN, Stage, fetch

from pytest_resilience.chaos.faults import Mutate
from pytest_resilience.chaos.records import ChaosEvent, NotRun
from pytest_resilience.chaos.scenario import CustomScenario
from pytest_resilience.chaos.shares import Shares
from pytest_resilience.services import Service
from pytest_resilience.soak import messages
from pytest_resilience.soak.chaos_phase import MAX_WINDOW_SECONDS, MIN_WINDOW_ROUNDS, MIN_WINDOW_SECONDS
from pytest_resilience.soak.evidence import unreached_fix
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.recovery import LIMIT_ROUNDS, LIMIT_SECONDS, PATIENCE
from pytest_resilience.units import parse_duration

SCENARIOS = set(ON_CALLS)
SLOWING = {"latency_spike", "database_slowdown"}
"""The suite passes all the time while these are active."""
UNCONDITIONAL = {"latency_spike", "database_slowdown", "network_partition"}
"""They need nothing but calls."""
NAME = "test_shop.py::test_quote"


def calling(duration: float, seconds: float = 0.5, **fields: object) -> Stage:
    """Return a soak of one test that calls the dependency once per iteration."""
    stage = Stage(duration, services=[ODDS], **fields)  # type: ignore[arg-type]
    stage.test(seconds, calls=True)
    return stage


def ill_after(stage: Stage, seconds: float) -> None:
    """Let the test fail for `seconds` after each call that failed, as a stale connection does."""
    ill_until = [0.0]

    def body() -> None:
        stage.clock.pass_by(0.5)
        if stage.clock.now() < ill_until[0]:
            raise ConnectionError("the connection is stale")
        try:
            fetch("a")
        except Exception:
            ill_until[0] = stage.clock.now() + seconds
            raise

    stage.bodies[NAME] = body


def between(event: ChaosEvent) -> tuple[float, float]:
    """Return when an event was armed and when the suite was back."""
    assert event.recovered_at is not None
    return event.armed_at, event.recovered_at


def not_run(stage: Stage) -> dict[str, NotRun]:
    """Return the scenarios of this version that had no turn."""
    return {one.scenario: one for one in stage.data.not_run if one.service}


def test_a_slow_round_under_one_fault_leaves_room_for_the_others() -> None:
    """How long a round takes under a fault says nothing about the next fault: all have their turn."""
    stage = Stage(1200.0, services=[ODDS])

    def body() -> None:
        stage.clock.pass_by(0.5)
        try:
            fetch("a")
        except TimeoutError:
            stage.clock.pass_by(40.0)  # a client that tries again and again

    stage.bodies[NAME] = body
    stage.play()
    assert {event.scenario for event in stage.data.events} == SCENARIOS


def test_a_function_of_the_users_that_fails_ends_the_run_and_is_named() -> None:
    """Its errors would pass as those of the fault."""
    wrong = CustomScenario("cut_short", fault=Mutate(lambda body: body["price"]))
    stage = calling(600.0, custom=[wrong], chosen=["cut_short"]).play()
    assert re.fullmatch(
        r"cut_short-1 proves nothing: Mutate\(change\) <lambda> \(test_soak_chaos_phase.py:\d+\) raised "
        r"TypeError: string indices must be integers.* Let it take what the call hands out\.",
        stage.reason,
    )
    assert stage.phase(PhaseName.CHAOS).status == "cut"
    assert len(stage.data.events) == 1


def test_every_scenario_is_injected_really_and_recorded() -> None:
    """Each event was armed, reached, fired, removed and recovered, in that order."""
    stage = calling(1200.0).play()
    events = stage.data.events
    assert {event.scenario for event in events} == SCENARIOS
    assert {event.service for event in events} == {"odds"}
    for event in events:
        assert 0 < event.fired <= event.reached
        times = (
            event.armed_at,
            event.first_fired_at,
            event.last_fired_at,
            event.removed_at,
            event.recovered_at,
        )
        assert list(times) == sorted(time for time in times if time is not None)
        assert event.seed == stage.seed
    assert not not_run(stage)


def test_events_have_ids_of_their_own_and_lie_within_the_phase() -> None:
    """The next one begins only when the suite is back from the one before."""
    stage = calling(1200.0).play()
    phase = stage.phase(PhaseName.CHAOS)
    assert phase.started is not None
    assert phase.ended is not None
    spans = [between(event) for event in stage.data.events]
    assert len({event.event_id for event in stage.data.events}) == len(spans)
    assert phase.started <= spans[0][0]
    assert all(back <= armed for (_, back), (armed, _) in pairwise(spans))
    assert spans[-1][1] <= phase.ended


@pytest.mark.parametrize(
    ("duration", "seconds"), [(120.0, 0.5), (1200.0, 0.5), (1200.0, 10.0), (40_000.0, 20.0)]
)
def test_a_window_is_at_least_two_seconds_and_two_rounds(duration: float, seconds: float) -> None:
    """And no longer than is useful, however long the soak."""
    stage = calling(duration, seconds).play()
    assert stage.data.events
    for event in stage.data.events:
        assert event.removed_at is not None
        window = event.removed_at - event.armed_at
        assert MIN_WINDOW_SECONDS <= window <= MAX_WINDOW_SECONDS + 4 * seconds
        whole = [one for one in stage.iterations if event.armed_at <= one[0] and one[1] <= event.removed_at]
        assert len(whole) >= MIN_WINDOW_ROUNDS, "a round is one iteration here"


def test_the_round_that_is_under_way_does_not_count() -> None:
    """However many tests there are, each is run twice with the fault armed all the time."""
    stage = Stage(500.0, services=[Service("odds", calls=["soak_stage:fetch"])])
    tests = [f"test_shop.py::test_{number}" for number in range(5)]
    for name in tests:
        stage.test(4.0, calls=True, name=name)
    stage.play()
    assert stage.data.events
    for event in stage.data.events:
        assert event.removed_at is not None
        whole = [one for one in stage.iterations if event.armed_at <= one[0] and one[1] <= event.removed_at]
        assert len(whole) >= MIN_WINDOW_ROUNDS * len(tests)


def test_failures_that_overlap_an_event_belong_to_it() -> None:
    """The suite fails only while faults are armed, so no failure is outside; each names a real event."""
    stage = calling(1200.0).play()
    failures = stage.data.failures
    ids = {event.event_id for event in stage.data.events}
    assert {failure.event_id for failure in failures} <= ids
    assert {failure.crash for failure in failures} == {"ConnectionResetError", "TimeoutError"}
    for tally in stage.data.tallies:
        assert tally.failures == tally.failures_in_faults
    assert sum(tally.failures for tally in stage.data.tallies) == sum(failure.count for failure in failures)


def test_recovery_is_the_suite_passing_again() -> None:
    """A suite that is ill for 12 s after each error has recovered then, not when the fault is removed."""
    stage = calling(3000.0)
    ill_after(stage, 12.0)
    stage.play()
    raising = [event for event in stage.data.events if event.scenario not in SLOWING]
    assert len(raising) >= 3
    for event in raising:
        assert event.last_fired_at is not None
        assert event.removed_at is not None
        assert event.recovered_at is not None
        assert 11.0 <= event.recovered_at - event.last_fired_at <= 13.0, "the good round began then"
        assert event.waited_seconds == pytest.approx(event.recovered_at - event.removed_at)
        assert event.limit_seconds == LIMIT_SECONDS
    assert all(failure.event_id for failure in stage.data.failures)


def test_the_limit_of_recovery_grows_with_the_rounds() -> None:
    """A suite whose round takes 20 s has five rounds, not 30 s."""
    stage = calling(3000.0, 20.0).play()
    assert stage.data.events
    for event in stage.data.events:
        assert event.limit_seconds == pytest.approx(LIMIT_ROUNDS * 20.0, rel=0.05)


def test_a_failure_after_recovery_is_the_suites_own() -> None:
    """An event ends with the round that shows recovery: it excuses nothing that comes later."""
    stage = calling(1200.0)
    calm = stage.bodies[NAME]

    def ages() -> None:
        calm()
        assert stage.conductor.now() < 1000.0

    stage.bodies[NAME] = ages
    stage.play()
    (late,) = [failure for failure in stage.data.failures if failure.last_at > 999.0]
    assert (late.event_id, late.phase) == ("", PhaseName.MEMORY)
    assert stage.data.events[-1].recovered_at is not None


def broken_for_good(duration: float) -> Stage:
    """Return a soak, played, of a suite that never comes back from the first error."""
    stage = calling(duration, shares=Shares(1, 1, 1, 1))
    ill_after(stage, float("inf"))
    return stage.play()


def test_an_event_is_given_up_when_patience_ends() -> None:
    """After four times its limit; then its failures are its own no longer, and the verdict is not delayed."""
    stage = broken_for_good(1500.0)
    lost = stage.data.events[-1]
    assert lost.removed_at is not None
    assert lost.recovered_at is None
    assert lost.waited_seconds == pytest.approx(PATIENCE * LIMIT_SECONDS, abs=1.0)
    given_up = lost.removed_at + PATIENCE * LIMIT_SECONDS
    owned = {failure.event_id: failure for failure in stage.data.failures}
    assert owned[lost.event_id].last_at == pytest.approx(given_up, abs=1.0)
    assert owned[""].first_at == pytest.approx(given_up, abs=1.0)


@pytest.mark.parametrize("duration", [150.0, 1500.0])
def test_nothing_more_is_injected_into_a_suite_that_has_not_recovered(duration: float) -> None:
    """Not even after it was given up: what had no turn says why."""
    stage = broken_for_good(duration)
    lost = stage.data.events[-1]
    assert lost.recovered_at is None
    ran = {event.scenario for event in stage.data.events}
    assert ran < SCENARIOS
    reasons = {scenario: one.reason for scenario, one in not_run(stage).items()}
    assert reasons == dict.fromkeys(SCENARIOS - ran, f"the suite had not recovered from {lost.event_id}")


def test_an_event_is_still_watched_in_the_phases_after_chaos() -> None:
    """A suite that comes back in the memory soak has recovered then."""
    stage = calling(200.0, shares=Shares(1, 1, 1, 1))
    ill_after(stage, 90.0)
    stage.play()
    event = stage.data.events[-1]
    memory = stage.phase(PhaseName.MEMORY)
    assert memory.started is not None
    assert event.removed_at is not None
    assert event.recovered_at is not None
    assert event.removed_at < memory.started < event.recovered_at
    assert event.waited_seconds == pytest.approx(event.recovered_at - event.removed_at)
    assert all(failure.event_id for failure in stage.data.failures)


def test_what_has_no_room_is_listed_with_a_fix_that_helps() -> None:
    """The budget that it names is enough for all of them."""
    short = calling(1000.0)
    short.budgets = ["CHAOS_INJECTION = 5s"]
    short.play()
    ran = {event.scenario for event in short.data.events}
    assert len(ran) == 1
    left = not_run(short)
    assert set(left) == SCENARIOS - ran
    (reason, fix), *others = {(one.reason, one.fix) for one in left.values()}
    assert not others
    assert reason == "no room in the budget of CHAOS_INJECTION"
    advice = re.fullmatch(r"Use --soak-duration=(\S+), or (CHAOS_INJECTION = (\S+)) in soak_phases\.", fix)
    assert advice is not None
    enough = calling(1000.0)
    enough.budgets = [advice[2]]
    enough.play()
    assert {event.scenario for event in enough.data.events} == SCENARIOS
    assert parse_duration(advice[3]) < 60
    longer = calling(parse_duration(advice[1]))
    longer.budgets = ["CHAOS_INJECTION = 0.5%"]
    longer.play()
    assert {event.scenario for event in longer.data.events} == SCENARIOS


def test_without_any_time_nothing_is_injected() -> None:
    """And everything is listed."""
    stage = calling(1000.0)
    stage.budgets = ["CHAOS_INJECTION = 0%"]
    stage.play()
    assert not stage.data.events
    assert set(not_run(stage)) == SCENARIOS


def test_what_cannot_act_is_listed_with_its_fix_and_the_rest_runs() -> None:
    """A service without errors and time-out can still be slow and out of reach."""
    stage = Stage(600.0, services=[Service("odds", calls=["soak_stage:fetch"])])
    stage.test(0.5, calls=True)
    stage.play()
    assert {event.scenario for event in stage.data.events} == UNCONDITIONAL
    missing = not_run(stage)
    assert set(missing) == SCENARIOS - UNCONDITIONAL
    assert missing["valuation_exception"].reason == "service 'odds' declares no errors"
    assert "errors=[ConnectionError]" in missing["valuation_exception"].fix


def test_what_cannot_be_injected_is_not_tried_for_ever() -> None:
    """The engine's own words are kept, no failure belongs to what never was, and the run goes on."""
    stage = calling(600.0, max_concurrent=1)
    elsewhere = stage.chaos.inject("latency_spike", "odds", probability=1e-9)
    stage.play()
    assert not stage.data.events
    assert len(stage.sent(messages.Inject)) == len(SCENARIOS)
    assert set(not_run(stage)) == SCENARIOS
    full = "At most 1 scenarios may be active at once"
    assert all(one.reason.startswith(full) for one in not_run(stage).values())
    assert stage.phase(PhaseName.RECOVERY).status == "done"
    elsewhere.remove()


def test_what_the_baseline_never_reaches_is_not_tried() -> None:
    """A seam that is not reached gets no injection, and is named with what to do."""
    stage = Stage(300.0, services=[Service("odds", calls=["soak_stage:never_called"])])
    stage.test(0.5)
    stage.play()
    assert not stage.data.events
    left = not_run(stage)["latency_spike"]
    assert (left.reason, left.fix) == ("the suite never reaches the calls of odds", unreached_fix("calls"))
    assert any("the suite never reaches soak_stage:never_called of odds" in line for line in stage.said)


def test_a_fault_that_never_fires_is_waited_for_within_reason() -> None:
    """A seam that is no longer reached gets up to three windows; there is nothing to recover from, then."""
    stage = Stage(300.0, services=[Service("odds", calls=["soak_stage:fetch"])])

    def body() -> None:
        if stage.clock.now() - ORIGIN < 10.0:
            fetch("a")
        stage.clock.pass_by(0.5)

    stage.bodies["test_shop.py::test_quote"] = body
    stage.play()
    events = stage.data.events
    assert events
    assert all(event.fired == event.reached == 0 for event in events)
    lengths = [event.removed_at - event.armed_at for event in events if event.removed_at is not None]
    assert max(lengths) <= 3 * (300.0 * 0.35 / 6 + 1) + 1
    assert [event.waited_seconds for event in events] == [None] * len(events)
    assert len(events) > 1, "the next one is tried"


def test_the_same_seed_hits_the_same_calls() -> None:
    """Events, their times, and what they reached and fired are all repeated."""
    one, other = calling(900.0).play(), calling(900.0).play()
    assert one.data.events == other.data.events
    assert [failure.first_at for failure in one.data.failures] == [
        failure.first_at for failure in other.data.failures
    ]


@given(
    duration=st.floats(30, 3000),
    seconds=st.floats(0.2, 20),
    ill=st.sampled_from([0.0, 3.0, 40.0, float("inf")]),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=25, deadline=None)
def test_whatever_happens_every_fault_is_removed_and_every_pair_accounted_for(
    duration: float, seconds: float, ill: float, seed: int
) -> None:
    """Each scenario has an event or a reason; no fault outlives the phase; one event is open at most."""
    duration = min(duration, 1000 * seconds)
    stage = calling(duration, seconds, seed=seed)
    ill_after(stage, ill)
    stage.play()
    assert stage.chaos.sweep() == 0
    events = stage.data.events
    phase = stage.phase(PhaseName.CHAOS)
    if phase.status == "done":
        assert {event.scenario for event in events} | set(not_run(stage)) == SCENARIOS
        assert all(
            event.removed_at is not None and event.removed_at <= (phase.ended or 0) for event in events
        )
        assert all(event.recovered_at is not None for event in events[:-1])
