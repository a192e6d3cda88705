"""A distributed run that is killed and resumed by other workers: on a manual clock, with real faults."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from crew_stage import CrewStage
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_runs import RUN, run_data, tally
from test_soak_crew import QUOTE, shop

from pytest_resilience.chaos.records import Seam
from pytest_resilience.errors import StoreError
from pytest_resilience.soak import messages
from pytest_resilience.soak.evidence import Finding, worker_crashes
from pytest_resilience.soak.histogram import Histogram
from pytest_resilience.soak.legacy import Estate, Legacy
from pytest_resilience.soak.link import decode, encode
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.resume import CUT, Past, carry_on, check_attempt
from pytest_resilience.store.records import Attempt, Worker
from pytest_resilience.store.run_data import RunData

SECONDS = 300.0
NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
BASELINE = PhaseName.BASELINE


def crew(past: Past | None = None, killed_at: float = float("inf"), workers: int = 2) -> CrewStage:
    """Return a soak of workers whose names are those of this attempt."""
    stage = CrewStage(SECONDS, past=past, killed_at=killed_at)
    prefix = f"a{past.attempt.number}-" if past else ""
    for number in range(workers):
        bodies, service = shop(stage, 0.5 + 0.2 * number)
        stage.worker(f"{prefix}gw{number}", bodies, [service])
    return stage


def killed(*instants: float) -> CrewStage:
    """Play a soak that is killed at these times of the run and resumed; return the last attempt."""
    past = None
    for number, instant in enumerate(instants):
        left = crew(past, instant, workers=2 + number % 2).play().left_behind()
        past = carry_on(left, NOW)
    return crew(past).play()


def injected(data: RunData) -> list[tuple[str, str]]:
    return [(one.event_id, one.service) for one in data.events]


@pytest.fixture(scope="module")
def whole() -> RunData:
    """The soak that nobody kills."""
    return crew().play().data


@given(st.lists(st.floats(1.0, SECONDS - 1), min_size=1, max_size=2))
@settings(max_examples=8, deadline=None)
def test_a_run_of_workers_goes_on_with_others(whole: RunData, instants: list[float]) -> None:
    """Whenever it is killed, with as many workers or not: phases end, faults go on, counts add up."""
    last = killed(*sorted(instants))
    data = last.left_behind()
    assert last.reason == ""
    loops = [one for one in data.phases if one.name not in ("FINAL_ANALYSIS", "CLEANUP")]
    assert {phase.status for phase in loops} <= {"done", "skipped"}
    ours, theirs = injected(data), injected(whole)
    assert ours[: len(theirs)] == theirs[: len(ours)], "ids and order are those of the run that nobody killed"
    assert len(set(ours)) == len(ours)
    assert SECONDS - 2 <= last.conductor.now() <= SECONDS + 5
    progress = last.conductor.state.progress
    assert progress.iterations == sum(one.iterations for one in data.tallies)
    assert progress.failures == sum(one.failures for one in data.tallies)
    assert progress.failures_outside == 0
    assert {one.attempt for one in data.workers} == set(range(1, len(instants) + 2))
    crashes = worker_crashes(data)
    assert isinstance(crashes, Finding)
    assert crashes.low == 0, "they ended with the process that led them"


def test_phases_that_are_done_stay_done_and_rounds_go_on() -> None:
    """Killed in the memory soak: no second baseline, nothing injected again, no round counted anew."""
    before = crew(killed_at=200.0).play().left_behind()
    last = crew(carry_on(before, NOW)).play()
    after = last.left_behind()
    for name in (PhaseName.INITIALIZATION, BASELINE, PhaseName.CHAOS):
        assert after.phase(name) == before.phase(name)
    assert injected(after) == injected(before)
    new = [one for one in after.tallies if one.worker.startswith("a2-")]
    assert {one.phase for one in new} == {PhaseName.MEMORY, PhaseName.RECOVERY}
    assert last.conductor.state.progress.rounds > before.attempts[-1].rounds


def test_recovery_in_a_new_worker_is_judged_by_the_baseline_of_all_before() -> None:
    """Also in one that takes the place of a crashed one within an attempt."""
    before = crew(killed_at=80.0).play().left_behind()
    steady = Histogram()
    for one in before.tallies:
        if one.phase == BASELINE:
            steady.merge(Histogram.from_text(one.latencies))
    limit = pytest.approx(max(2 * steady.quantile(0.95), steady.quantile(0.5) + 0.01))
    last = crew(carry_on(before, NOW))

    def lose() -> None:
        last.workers["a2-gw0"].kill()
        bodies, service = shop(last)
        last.worker("a2-gw2", bodies, [service])

    last.at(120.0, lose)
    last.play()
    for worker in last.workers.values():
        assert worker.runner is not None
        assert worker.runner._limits() == {QUOTE: limit}
    assert any(one.recovered_at is not None for one in last.data.events if not one.cut)


def test_a_resumed_run_whose_suite_fails_in_one_worker_counts_nothing() -> None:
    """It ends as it was, with the reason, also in the workers where the suite passes."""
    before = crew(killed_at=100.0).play().left_behind()
    last = CrewStage(SECONDS, past=carry_on(before, NOW))

    def broken() -> None:
        last.clock.pass_by(0.5)
        raise ConnectionError

    bodies, service = shop(last, 0.2)
    last.worker("a2-gw0", bodies, [service])
    last.worker("a2-gw1", {QUOTE: broken}, [service])
    last.at(110.0, lambda: last.crew.send(messages.Stop()))
    last.play()
    assert last.conductor.broken().startswith(
        f"{QUOTE} fails at once in the process that is to resume the run (ConnectionError): "
    )
    assert not last.conductor.opened
    assert last.left_behind().tallies == before.tallies


def test_a_worker_that_comes_while_a_resumed_run_goes_on_is_not_tried_out() -> None:
    """A fault may be active by then: its first iterations count like all others."""
    before = crew(killed_at=100.0).play().left_behind()
    last = crew(carry_on(before, NOW))

    def lose() -> None:
        last.workers["a2-gw0"].kill()
        bodies, service = shop(last)
        last.worker("a2-gw2", bodies, [service])

    last.at(150.0, lose)
    last.play()
    trials = {
        name: next(one.trial for one in worker.commands if isinstance(one, messages.Begin))
        for name, worker in last.workers.items()
    }
    assert trials == {"a2-gw0": True, "a2-gw1": True, "a2-gw2": False}
    assert last.reason == ""


# What is left to those who come later


def test_a_legacy_is_plain_enough_to_be_sent() -> None:
    """What a worker is told is what it takes over."""
    estate = Estate(run_data())
    estate.take(Seam("odds", "shop.fetch", 3, 0.25))
    estate.take(Seam("odds", "shop.silent", 0, None))
    legacy = estate.legacy(12, trial=True)
    begin = decode(encode(legacy.told_at(7.0)))
    assert isinstance(begin, messages.Begin)
    assert begin.at == 7.0
    assert Legacy.told_by(begin) == legacy
    assert (legacy.trial, legacy.rounds_drawn) == (True, 11)
    assert ("odds", "shop.fetch", 0.25) in legacy.normal_seconds
    assert "shop.silent" not in {target for _, target, _ in legacy.normal_seconds}
    assert dict(legacy.injected)["provider_timeout"] == 1


def test_the_newest_baseline_of_each_process_counts_once() -> None:
    """Tallies grow while they are sent; one's own is left out, as one has it."""
    half, full = Histogram(), Histogram()
    for seconds in (0.1, 0.1, 0.3):
        full.add(seconds)
    half.add(0.1)
    estate = Estate()
    for latency in (half, full):
        estate.take(replace(tally(QUOTE, BASELINE), worker="gw0", latencies=latency.to_text()))
    estate.take(replace(tally(QUOTE, BASELINE), worker="main", latencies=half.to_text()))
    estate.take(replace(tally(QUOTE, PhaseName.CHAOS), worker="gw0", latencies=full.to_text()))
    ((test, text),) = estate.legacy(0, trial=False).baseline
    assert (test, Histogram.from_text(text).count) == (QUOTE, 4)
    ((_, text),) = estate.legacy(0, trial=False, without="main").baseline
    assert text == full.to_text()


def test_workers_of_a_killed_run_have_ended_and_not_crashed() -> None:
    """Nobody saw them end, but without the process that leads it no worker goes on."""
    lost = Worker("gw0", "here", 1, "3.11", 0.1)
    crashed = Worker("gw1", "here", 2, "3.11", 0.1, status="crashed", ended_at=5.0, reason="SIGKILL")
    running = replace(RUN, status="running", ended=None)
    past = carry_on(run_data(running, Attempt(1, NOW.isoformat(), 0.0, 50.0), lost, crashed), NOW)
    assert past.data.workers == (
        replace(lost, status="ended", ended_at=past.elapsed, reason=CUT),
        crashed,
    )
    assert set(past.data.workers) <= set(past.records)


def test_two_processes_that_resume_a_run_do_not_both_get_it() -> None:
    """The one that comes second sees that the attempts are not those that it had read."""
    data = run_data(Attempt(1, NOW.isoformat(), 0.0, 50.0), Attempt(2, NOW.isoformat(), 50.0, 60.0))
    check_attempt(data, 3)
    with pytest.raises(StoreError) as told:
        check_attempt(data, 2)
    assert str(told.value) == f"{RUN.test_id} was resumed by another process just now. Resume it again."
