"""A run that is killed and resumed: whole soaks on a manual clock, with real faults on real functions."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_runs import RUN, event, run_data
from soak_stage import CACHE, MAIL, ODDS, Stage, fetch, post, recall

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.records import NotRun, Seam
from pytest_resilience.errors import StoreError
from pytest_resilience.report.attempts import attempt_rows, total_gap
from pytest_resilience.soak.criteria import judge
from pytest_resilience.soak.evidence import Finding, Missing, mean_recovery_seconds, recovery_success_rate
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.resume import CUT, carry_on, check_tests, check_unfinished
from pytest_resilience.soak.rounds import BLOCK, Rounds
from pytest_resilience.store.records import Attempt, Phase, SoakTest
from pytest_resilience.store.run_data import RunData

NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
SECONDS = 200.0
BOTH = "test_shop.py::test_all"


def stage(**changes: object) -> Stage:
    """Return a soak of three services by one test."""
    made = Stage(SECONDS, services=(ODDS, CACHE, MAIL), seed=11, **changes)  # type: ignore[arg-type]

    def body() -> None:
        made.clock.pass_by(0.3)
        fetch("a"), recall("b"), post("c")

    made.bodies[BOTH] = body
    return made


def killed(*instants: float) -> Stage:
    """Play a soak that is killed at these times of the run and resumed; return the last process."""
    past = None
    for instant in instants:
        dead = stage(past=past, killed_at=instant).play()
        past = carry_on(dead.left_behind(), NOW)
    return stage(past=past).play()


def injected(data: RunData) -> list[tuple[str, str]]:
    return [(one.event_id, one.service) for one in data.events]


@pytest.fixture(scope="module")
def whole() -> RunData:
    """The soak that nobody kills."""
    return stage().play().data


@given(st.lists(st.floats(0.4, SECONDS - 1), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_a_resumed_run_is_the_same_run(whole: RunData, instants: list[float]) -> None:
    """Whenever it is killed: all phases end, the order of faults goes on, counts add up, no time is lost."""
    last = killed(*sorted(instants))
    data = last.left_behind()
    assert {phase.status for phase in data.phases if phase.name not in ("FINAL_ANALYSIS", "CLEANUP")} <= {
        "done",
        "skipped",
    }
    ours, theirs = injected(data), injected(whole)
    assert ours[: len(theirs)] == theirs[: len(ours)], "ids and order are those of the run that nobody killed"
    assert len(set(ours)) == len(ours)
    assert SECONDS - 2 <= last.ended <= SECONDS + 5
    assert all(one.removed_at is not None for one in data.events)
    assert all(one.recovered_at is None for one in data.events if one.cut)
    begins = [one.began for one in data.attempts]
    assert begins == sorted(begins)
    assert [one.number for one in data.attempts] == list(range(1, len(instants) + 2))
    progress = last.conductor.state.progress
    assert sum(one.iterations for one in data.tallies) == progress.iterations
    assert sum(one.failures for one in data.tallies) == progress.failures
    assert sum(one.count for one in data.failures) == progress.failures


def test_phases_that_are_done_stay_done_and_the_one_under_way_goes_on() -> None:
    """A run killed in the memory soak measures no second baseline, injects nothing again and ends in time."""
    dead = stage(killed_at=120.0).play()
    before = dead.left_behind()
    last = stage(past=carry_on(before, NOW)).play()
    after = last.left_behind()
    for name in (PhaseName.INITIALIZATION, PhaseName.BASELINE, PhaseName.CHAOS):
        assert after.phase(name) == before.phase(name)
    memory = after.phase(PhaseName.MEMORY)
    assert memory is not None
    assert (memory.started, memory.status) == (before.phase(PhaseName.MEMORY).started, "done")  # type: ignore[union-attr]
    assert injected(after) == injected(before)
    assert last.ended == pytest.approx(SECONDS, abs=2)


def test_recovery_is_judged_by_the_baseline_of_the_first_process() -> None:
    """The latencies that were measured before the kill are the limits after it."""
    before = stage(killed_at=40.0).play().left_behind()
    last = stage(past=carry_on(before, NOW)).play()
    limits = last.runner._limits()
    (measured,) = (one for one in before.tallies if one.phase == PhaseName.BASELINE)
    assert limits[BOTH] == pytest.approx(max(2 * measured.p95, measured.median + 0.01), rel=0.03)
    assert any(one.recovered_at is not None for one in last.data.events)


def test_a_resumed_process_that_cannot_run_the_suite_counts_nothing() -> None:
    """The run ends as it was, with the reason, and can be resumed again."""
    before = stage(killed_at=60.0).play().left_behind()
    last = stage(past=carry_on(before, NOW))

    def broken() -> None:
        raise ConnectionError

    last.bodies[BOTH] = broken
    last.play()
    assert last.reason.startswith(
        f"{BOTH} fails at once in the process that is to resume the run (ConnectionError): "
    )
    assert not last.conductor.opened
    assert last.left_behind().tallies == before.tallies


def test_faults_that_could_not_be_injected_keep_their_place_in_the_order() -> None:
    """A number without an event was a refusal: it is not tried again, the others follow as they would."""
    dead = stage(killed_at=60.0).play().left_behind()
    dropped = dead.events[1]
    holed = replace(dead, events=tuple(one for one in dead.events if one is not dropped))
    after = stage(past=carry_on(holed, NOW)).play().data
    again = [(one.scenario, one.service) for one in after.events[len(holed.events) :]]
    assert (dropped.scenario, dropped.service) not in again
    refusals = {(one.scenario, one.service): one.reason for one in after.not_run}
    reason = "it could not be injected before the run was resumed"
    assert refusals[dropped.scenario, dropped.service] == reason


def test_rounds_go_on_where_they_were() -> None:
    """The order of tests after so many rounds is the one that would have come, without drawing all before."""
    tests = [f"test_{module}.py::test_{number}" for module in "ab" for number in range(4)]
    whole = Rounds(tests, 7)
    orders = [whole.next() for _ in range(2 * BLOCK + 20)]
    for begin in (0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 10):
        later = Rounds(tests, 7, begin=begin)
        assert [later.next() for _ in range(5)] == orders[begin : begin + 5]


# What a process leaves behind

ATTEMPTS = (
    Attempt(1, "2026-01-02T03:00:00.000+00:00", 0.0, 60.0, 30, 1.5),
    Attempt(2, "2026-01-02T03:10:00.000+00:00", 60.0, 100.0, 50, 2.5),
)


def test_what_was_under_way_is_closed_at_the_last_sign_of_life() -> None:
    """A fault that was active, or whose recovery was awaited, ends with the process: what came is unknown."""
    active = event(8, "latency_spike", removed_at=None, recovered_at=None, waited_seconds=None)
    awaited = event(9, "network_partition", recovered_at=None, waited_seconds=None)
    given_up = event(7, "cpu_saturation", recovered_at=None, waited_seconds=40.0)
    running = replace(RUN, status="running", ended=None)
    phase = Phase("CHAOS_INJECTION", 2, "running", 35.0, 10.0)
    past = carry_on(run_data(running, *ATTEMPTS, active, awaited, given_up, phase), NOW)
    events = {one.event_id: one for one in past.data.events}
    assert past.elapsed == past.attempt.began == 100.0
    closed = events["latency_spike-8"]
    assert (closed.removed_at, closed.recovered_at, closed.waited_seconds, closed.cut) == (
        100.0,
        None,
        0.0,
        True,
    )
    closed = events["network_partition-9"]
    assert (closed.removed_at, closed.waited_seconds, closed.cut) == (95.0, 5.0, True)
    assert events["cpu_saturation-7"] == given_up
    assert not events["provider_timeout-1"].cut
    assert past.data.phase("CHAOS_INJECTION") == replace(phase, status="cut", ended=100.0, reason=CUT)
    assert past.data.phase("FINAL_ANALYSIS") == Phase("FINAL_ANALYSIS", 7, "planned", 0.0)
    assert (past.attempt.number, past.attempt.rounds, past.attempt.longest_round) == (3, 50, 2.5)
    assert carry_on(past.data, NOW).data.events == past.data.events, "closed once and for all"


def test_what_the_chaos_phase_lists_at_its_end_is_listed_anew_unless_it_is_over() -> None:
    """Else a fault that the resumed run injects would stand among those that were not run, too."""
    done = carry_on(run_data(*ATTEMPTS), NOW)
    assert NotRun not in done.forgotten
    cut = carry_on(run_data(*ATTEMPTS, Phase("CHAOS_INJECTION", 2, "cut", 35.0, 10.0, 20.0)), NOW)
    assert NotRun in cut.forgotten


def test_seams_add_up_over_the_processes_of_a_baseline() -> None:
    """A seam that was reached before the kill was reached; the newest latency counts, if there is one."""
    past = carry_on(run_data(*ATTEMPTS), NOW)
    seam = past.data.seams[0]
    assert past.added_up(replace(seam, reached=0, normal_seconds=None)) == seam
    assert past.added_up(replace(seam, reached=5, normal_seconds=0.5)) == replace(
        seam, reached=seam.reached + 5, normal_seconds=0.5
    )
    assert past.added_up(Seam("db", "new", 1)) == Seam("db", "new", 1)
    assert past.unreached == []


# What the criteria make of it

LOST = event(4, "network_partition", recovered_at=None, waited_seconds=0.0)
LOST = replace(LOST, cut=True)
UNKNOWN = (
    "network_partition-4 on odds_provider was cut off by the end of its process: "
    "whether the suite came back is unknown"
)


def test_an_event_that_was_cut_off_never_counts_as_recovered() -> None:
    """It may have gone either way, so that the rate lies between both; the mean leaves it out and says so."""
    rate = recovery_success_rate(run_data(LOST))
    assert isinstance(rate, Finding)
    assert (rate.low, rate.high, rate.fact) == (0.75, 1.0, "3 of 4 fired events recovered")
    assert rate.because == UNKNOWN
    verdicts = {one.criterion: one for one in judge(run_data(LOST))}
    assert verdicts["recovery_success_rate"].verdict == "inconclusive"
    mean = mean_recovery_seconds(run_data(LOST))
    assert isinstance(mean, Finding)
    assert (mean.low, mean.high) == (1.5, 1.5)
    assert mean.fact.endswith("; 1 event cut off by the end of a process left out")


def test_a_run_that_knows_only_of_cut_events_says_what_is_missing() -> None:
    """There is no mean of nothing."""
    only = replace(run_data(LOST), events=(LOST,))
    assert mean_recovery_seconds(only) == Missing(UNKNOWN)


def test_gaps_are_those_of_the_machines_clock() -> None:
    """From the last sign of life of one process to the start of the next; never negative."""
    rows = attempt_rows(run_data(*ATTEMPTS))
    assert [(row.number, row.began, row.seconds, row.gap_seconds) for row in rows] == [
        (1, 0.0, 60.0, 0.0),
        (2, 60.0, 40.0, 540.0),
    ]
    assert total_gap(rows) == 540.0
    earlier = replace(ATTEMPTS[1], started_utc="2026-01-02T02:00:00.000+00:00")
    assert total_gap(attempt_rows(run_data(ATTEMPTS[0], earlier))) == 0.0


# What cannot be resumed


@pytest.mark.parametrize(
    ("status", "reason", "shown"), [("complete", "", ""), ("aborted", "enough", " (enough)")]
)
def test_a_run_that_is_over_cannot_be_resumed(status: str, reason: str, shown: str) -> None:
    """The message says why, and what else can be done."""
    with pytest.raises(StoreError) as told:
        check_unfinished(replace(RUN, status=status, reason=reason))
    assert str(told.value) == (
        f"{RUN.test_id} cannot be resumed: it is {status}{shown}. "
        f"Begin a new run; pytest --soak-report={RUN.test_id} shows its report."
    )


def test_the_soak_tests_must_be_those_of_the_run() -> None:
    """What is new and what is missing is named; the order does not matter."""
    data = replace(run_data(), soak_tests=(SoakTest("a"), SoakTest("b")))
    check_tests(data, ("b", "a"))
    with pytest.raises(StoreError) as told:
        check_tests(data, ("b", "c", "d", "e", "f"))
    assert str(told.value) == (
        f"{RUN.test_id} cannot be resumed: its soak tests have changed "
        "(c is new; d is new; e is new and 2 more). Select the same tests, or begin a new run."
    )


def test_the_engine_goes_on_from_what_another_process_measured() -> None:
    """Latencies that were measured before are the normal ones, and no event has the id of an earlier one."""
    (seam,) = Chaos([ODDS], seed=7).watch().stop()
    engine = Chaos([ODDS], seed=7)
    injected = [("latency_spike", 2), ("network_partition", 1)]
    engine.carry_on([(seam.service, seam.target, 0.05)], injected)
    with engine.inject("latency_spike", "odds", probability=1) as injection:
        began = time.perf_counter()
        fetch("a")
        assert time.perf_counter() - began > 0.05
    assert injection.event_id == "latency_spike-3"
