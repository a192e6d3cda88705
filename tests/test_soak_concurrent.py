"""Several faults at once: in a chaos phase, in one that leaves them, and how the suite comes back."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak_stage import CACHE, MAIL, ODDS, ON_CALLS, Stage, fetch, post, recall

from pytest_resilience.chaos.records import ChaosEvent, NotRun
from pytest_resilience.chaos.shares import Shares
from pytest_resilience.soak import messages
from pytest_resilience.soak.phases import PhaseName

THREE = (ODDS, CACHE, MAIL)
TOGETHER = Shares(0.5, 0.5, 0.5, 0.5, at_once=3)
CRITICAL = "network_partition"
CALLS: Mapping[str, Callable[[], object]] = {
    "test_odds": lambda: fetch("a"),
    "test_cache": lambda: recall("a"),
    "test_mail": lambda: post("a"),
}
STAY = "no room beside the faults that stay until the end of CHAOS_INJECTION (at most {})"


def soak(duration: float = 1500.0, *, shares: Shares = TOGETHER, **fields: object) -> Stage:
    """Return a soak of three services with one test each."""
    stage = Stage(duration, services=THREE, shares=shares, **fields)  # type: ignore[arg-type]
    for name, call in CALLS.items():
        stage.bodies[name] = partial(call_after, stage, call)
    return stage


def call_after(stage: Stage, call: Callable[[], object]) -> None:
    """Work a little, then use a service."""
    stage.clock.pass_by(0.2)
    call()


def overlap(one: ChaosEvent, other: ChaosEvent) -> bool:
    """Tell whether two events were armed at the same time."""
    assert one.removed_at is not None
    assert other.removed_at is not None
    return one.armed_at < other.removed_at and other.armed_at < one.removed_at


def most_at_once(events: Sequence[ChaosEvent]) -> int:
    """Return how many events were armed together at most."""
    return max(sum(overlap(one, other) for other in events) for one in events)


def left(stage: Stage) -> dict[tuple[str, str], NotRun]:
    """Return what had no turn."""
    return {(one.scenario, one.service): one for one in stage.data.not_run}


def test_as_many_are_active_together_as_the_intensity_says() -> None:
    """Three here, never two on one service, and a partition alone."""
    stage = soak().play()
    events = stage.data.events
    assert most_at_once(events) == 3
    for one, other in combinations(events, 2):
        if overlap(one, other):
            assert one.service != other.service
            assert CRITICAL not in (one.scenario, other.scenario)
    assert {(event.scenario, event.service) for event in events} == {
        (scenario, service.name) for scenario in ON_CALLS for service in THREE
    }
    assert not left(stage)


def test_the_budget_of_active_faults_is_never_passed() -> None:
    """Where fewer may be active than the intensity asks for, fewer are; nothing is refused."""
    stage = soak(max_concurrent=2).play()
    assert most_at_once(stage.data.events) == 2
    assert stage.conductor.state.troubles == []
    assert not left(stage)


def test_each_of_several_events_recovers_by_itself() -> None:
    """Each has its limit, its recovery and its count; no failure is outside of them."""
    stage = soak().play()
    for event in stage.data.events:
        assert 0 < event.fired <= event.reached
        assert event.removed_at is not None
        assert event.recovered_at is not None
        assert event.recovered_at >= event.removed_at
        assert event.limit_seconds == 30.0
    assert all(failure.event_id for failure in stage.data.failures)


def test_one_that_cannot_be_injected_costs_the_others_nothing() -> None:
    """What the engine refuses has its words, and those drawn with it run."""
    stage = soak(max_concurrent=3)
    elsewhere = [stage.chaos.inject("latency_spike", name, probability=1e-9) for name in ("odds", "cache")]
    stage.play()
    for injection in elsewhere:
        injection.remove()
    refused = left(stage)
    assert refused
    words = "At most 3 scenarios may be active at once; these are: latency_spike-1, latency_spike-2, "
    assert all(one.reason.startswith(words) for one in refused.values())
    assert {one.seam for one in refused.values()} == {"calls"}
    assert most_at_once(stage.data.events) == 1
    assert all(event.recovered_at is not None for event in stage.data.events)
    assert stage.phase(PhaseName.RECOVERY).status == "done"


def test_what_has_no_room_is_listed_with_its_seam() -> None:
    """Each of a service's faults, so that the list says where nothing was broken."""
    stage = soak()
    stage.budgets = ["CHAOS_INJECTION = 6s"]
    stage.play()
    ran = {(event.scenario, event.service) for event in stage.data.events}
    assert ran
    listed = left(stage)
    assert set(listed) == {(scenario, one.name) for scenario in ON_CALLS for one in THREE} - ran
    assert all(one.possible and one.seam == "calls" for one in listed.values())
    assert {one.reason for one in listed.values()} == {"no room in the budget of CHAOS_INJECTION"}


def test_order_and_times_come_from_the_seed() -> None:
    """Several at once too: the same seed gives the same events, another seed others."""
    same = [soak(600.0).play().data.events for _ in range(2)]
    assert same[0] == same[1]
    others = [[event.scenario for event in soak(600.0, seed=seed).play().data.events] for seed in range(3)]
    assert others[0] != others[1] != others[2]


def test_a_suite_that_is_ill_after_several_faults_gets_no_more() -> None:
    """All that fired are awaited; the pairs that had no turn name one that is not over."""
    every = Shares(1, 1, 1, 1, at_once=3)
    stage = soak(shares=every, chosen=["valuation_exception", CRITICAL])
    ill: list[bool] = []

    def break_for_good(calm: Callable[[], object]) -> None:
        if ill:
            stage.clock.pass_by(0.2)
            raise RuntimeError("stale for ever")
        try:
            calm()
        except Exception:
            ill.append(True)
            raise

    for name, calm in list(stage.bodies.items()):
        stage.bodies[name] = partial(break_for_good, calm)
    stage.play()
    events = stage.data.events
    assert all(event.recovered_at is None for event in events)
    fired = [event for event in events if event.fired]
    assert fired
    assert all(event.waited_seconds is not None and event.waited_seconds >= 119 for event in fired)
    for one in left(stage).values():
        assert one.reason in {f"the suite had not recovered from {event.event_id}" for event in fired}


# Faults that stay


def staying(most: int = 2, *, seed: int = 7, chosen: Sequence[str] = ON_CALLS) -> Stage:
    """Return a soak whose faults stay until the end of the phase."""
    return soak(600.0, auto_recovery=False, max_concurrent=most, seed=seed, chosen=chosen)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_without_auto_recovery_faults_stay_until_the_end_of_the_phase(most: int) -> None:
    """As many as may be active, all from the beginning to the end of it."""
    stage = staying(most).play()
    phase = stage.phase(PhaseName.CHAOS)
    events = stage.data.events
    assert len(events) == most
    for event in events:
        assert event.armed_at == phase.started
        assert event.removed_at == pytest.approx(phase.ended)
        assert event.fired > 0
    assert len({event.service for event in events}) == most


def test_what_had_no_room_beside_them_is_listed_with_the_option() -> None:
    """Every other pair, in one reason."""
    stage = staying(2).play()
    ran = {(event.scenario, event.service) for event in stage.data.events}
    listed = left(stage)
    assert set(listed) == {(scenario, one.name) for scenario in ON_CALLS for one in THREE} - ran
    assert {(one.reason, one.fix) for one in listed.values()} == {
        (STAY.format(2), "Set resilience_auto_recovery = true.")
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_critical_one_stays_only_where_there_is_nothing_else(seed: int) -> None:
    """It would have to be the only one."""
    mixed = staying(3, seed=seed).play().data.events
    assert CRITICAL not in {event.scenario for event in mixed}
    alone = staying(3, seed=seed, chosen=[CRITICAL]).play().data.events
    assert [event.scenario for event in alone] == [CRITICAL]


def test_the_suite_recovers_from_faults_that_stayed() -> None:
    """In the phases after chaos; each has its limit."""
    stage = staying(3).play()
    for event in stage.data.events:
        assert event.removed_at is not None
        assert event.recovered_at is not None
        assert event.recovered_at >= event.removed_at
        assert event.limit_seconds == 30.0
    assert stage.reason == ""
    assert stage.phase(PhaseName.RECOVERY).status == "done"


def test_one_that_cannot_be_injected_leaves_its_place_to_the_next() -> None:
    """The room that there is, is used."""
    stage = staying(2)
    elsewhere = stage.chaos.inject("latency_spike", "odds", probability=1e-9)
    stage.play()
    elsewhere.remove()
    assert len(stage.data.events) == 1
    (kept,) = {event.service for event in stage.data.events}
    for (_, service), one in left(stage).items():
        if service != kept and one.scenario != CRITICAL:
            assert one.reason.startswith(
                "At most 2 scenarios may be active at once; these are: latency_spike-1,"
            )
        else:
            assert one.reason == STAY.format(2)


def test_without_time_nothing_stays_and_the_reason_is_the_time() -> None:
    """Not the option."""
    stage = staying(2)
    stage.budgets = ["CHAOS_INJECTION = 0%"]
    stage.play()
    assert not stage.data.events
    assert {one.reason for one in left(stage).values()} == {"no room in the budget of CHAOS_INJECTION"}


def test_an_interrupt_removes_what_would_have_stayed() -> None:
    """At any moment of the phase."""
    stage = staying(3)
    calm = stage.bodies["test_mail"]

    def interrupted() -> None:
        calm()
        if len(stage.chaos.active()) == 3 and stage.conductor.now() > 100:
            stage.interrupt()

    stage.bodies["test_mail"] = interrupted
    stage.play()
    assert len(stage.data.events) == 3
    assert all(event.removed_at is not None for event in stage.data.events)
    assert stage.chaos.sweep() == 0
    assert stage.phase(PhaseName.CHAOS).status == "cut"


@given(
    seed=st.integers(0, 2**32),
    most=st.integers(1, 4),
    at_once=st.integers(1, 4),
    auto_recovery=st.booleans(),
    duration=st.floats(20, 400),
)
@settings(max_examples=25, deadline=None)
def test_every_pair_is_accounted_for_however_many_are_active(
    seed: int, most: int, at_once: int, auto_recovery: bool, duration: float
) -> None:
    """Each has an event or a reason, nothing outlives the phase, and no bound is ever passed."""
    shares = Shares(0.5, 0.5, 0.5, 0.5, at_once=at_once)
    stage = soak(duration, seed=seed, max_concurrent=most, shares=shares, auto_recovery=auto_recovery).play()
    events, phase = stage.data.events, stage.phase(PhaseName.CHAOS)
    pairs = {(event.scenario, event.service) for event in events}
    assert pairs | set(left(stage)) == {(scenario, one.name) for scenario in ON_CALLS for one in THREE}
    assert not pairs & set(left(stage))
    assert stage.chaos.sweep() == 0
    assert all(event.removed_at is not None and event.removed_at <= (phase.ended or 0) for event in events)
    bound = most if not auto_recovery else min(most, at_once)
    assert not events or most_at_once(events) <= bound
    assert len(stage.sent(messages.Remove)) == len(events)
