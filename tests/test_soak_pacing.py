"""When iterations start: at the rate that was asked for, without drift, with rests drawn from the seed."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak_stage import Stage

from pytest_resilience.rates import parse_rate, parse_think_time
from pytest_resilience.soak.pacing import (
    CATCH_UP_SECONDS,
    Load,
    Pacer,
    most_rounds,
    rounds_wanted,
    too_few_rounds,
)
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.store.records import SoakTest


def starts(load: Load, seconds: float, took: float, *, share: float = 1.0, seed: int = 7) -> list[float]:
    """Return when iterations that take `took` seconds start, if nothing else delays them."""
    pacer, now, found = Pacer(load, share=share, seed=seed), 0.0, []
    while now < seconds:
        now = max(now, pacer.due)
        found.append(now)
        pacer.started(now)
        now += took
        pacer.ended(now)
    return [start for start in found if start < seconds]


def test_a_constant_rate_starts_one_iteration_each_interval() -> None:
    """Whatever an iteration takes, as long as it is less than the interval."""
    found = starts(Load(parse_rate("20/s")), 100.0, took=0.03)
    assert len(found) == 2000
    assert found == [pytest.approx(number / 20) for number in range(2000)]


@given(st.lists(st.floats(0, 0.049), min_size=50, max_size=200))
def test_the_schedule_does_not_drift(late: list[float]) -> None:
    """Each iteration is as late as something made it, and none is late because of those before."""
    pacer = Pacer(Load(parse_rate("20/s")), share=1.0, seed=7)
    for number, lateness in enumerate(late):
        assert pacer.due == pytest.approx(number / 20, abs=1e-9)
        pacer.started(pacer.due + lateness)


@given(
    st.sampled_from(
        ["10/s", "0s: 1/s, 60s: 50/s", "0s: 0/s, 30s: 20/s, 90s: 2/s", "0s: 5/s, 9s: 5/s, 9s: 40/s"]
    ),
    st.floats(0.0, 0.2),
    st.sampled_from([1.0, 0.5, 0.25]),
)
@settings(deadline=None)
def test_never_more_is_started_than_is_asked_for(text: str, took: float, share: float) -> None:
    """At no time, by no runner; and one that is fast enough reaches it."""
    profile = parse_rate(text)
    found = starts(Load(profile), 100.0, took, share=share)
    for number, start in enumerate(found):
        assert number <= share * profile.iterations_by(start) + 1e-6
    if took < 0.02:
        assert len(found) >= share * profile.iterations_by(100.0) - 1


def test_runners_share_the_rate() -> None:
    """Four runners with a quarter each reach the whole."""
    load = Load(parse_rate("0s: 10/s, 50s: 100/s"))
    alone = len(starts(load, 60.0, 0.001))
    assert sum(len(starts(load, 60.0, 0.001, share=0.25)) for _ in range(4)) == pytest.approx(alone, abs=4)


def test_what_fell_due_in_a_pause_is_not_caught_up_with() -> None:
    """The next iteration starts when one is due; one that was started before its time counts."""
    pacer = Pacer(Load(parse_rate("10/s")), share=1.0, seed=7)
    for _ in range(5):
        pacer.started(pacer.due)
    pacer.resume(7.25)
    assert pacer.due == pytest.approx(7.25)
    pacer.started(7.25)
    assert pacer.due == pytest.approx(7.35)
    pacer.resume(7.3)
    assert pacer.due == pytest.approx(7.35)


def test_a_pause_changes_no_rests() -> None:
    """Without a rate there is nothing that falls due."""
    pacer = Pacer(Load(think_time=parse_think_time("1s")), share=1.0, seed=7)
    pacer.resume(2.0)
    assert pacer.due == 0.0


def test_a_suite_that_is_too_slow_runs_as_fast_as_it_can() -> None:
    """Without a rest, and without a debt that grows."""
    found = starts(Load(parse_rate("20/s")), 60.0, took=0.2)
    assert all(later - earlier == pytest.approx(0.2) for earlier, later in pairwise(found))


def test_after_a_long_iteration_only_a_second_is_caught_up_with() -> None:
    """A burst would be a load that nobody asked for."""
    pacer = Pacer(Load(parse_rate("20/s")), share=1.0, seed=7)
    pacer.started(0.0)
    now, at_once = 60.0, 0
    while pacer.due <= now:
        pacer.started(now)
        at_once += 1
    assert at_once == pytest.approx(20 * CATCH_UP_SECONDS, abs=1)
    assert pacer.due == pytest.approx(60.0, abs=0.051)


def test_a_slow_rate_is_kept_too() -> None:
    """One a minute, where a second is worth less than a token."""
    assert starts(Load(parse_rate("1/min")), 600.0, took=1.0) == [60.0 * number for number in range(10)]
    late = Pacer(Load(parse_rate("1/min")), share=1.0, seed=7)
    late.started(300.0)
    assert late.due >= 300.0


def test_think_times_lie_between_their_ends_and_come_from_the_seed() -> None:
    """The same run rests the same."""
    load = Load(None, parse_think_time("50ms..200ms"))
    found = starts(load, 100.0, took=0.5)
    rests = [later - earlier - 0.5 for earlier, later in pairwise(found)]
    assert 0.05 <= min(rests) < 0.07
    assert 0.18 < max(rests) <= 0.2 + 1e-9
    assert starts(load, 100.0, took=0.5) == found != starts(load, 100.0, took=0.5, seed=8)


def test_the_later_of_rate_and_think_time_decides() -> None:
    """A rest is a rest, and a rate is a limit."""
    slow = starts(Load(parse_rate("100/s"), parse_think_time("1s")), 60.0, took=0.5)
    assert all(later - earlier == pytest.approx(1.5) for earlier, later in pairwise(slow))
    limited = starts(Load(parse_rate("1/s"), parse_think_time("100ms")), 60.0, took=0.5)
    assert all(later - earlier == pytest.approx(1.0) for earlier, later in pairwise(limited))


def test_a_run_that_goes_on_later_owes_nothing() -> None:
    """What was asked for before it began anew is not caught up with."""
    pacer = Pacer(Load(parse_rate("50/s")), share=1.0, seed=7)
    pacer.started(7200.0)
    assert pacer.due >= 7200.0 - CATCH_UP_SECONDS
    resumed = Pacer(Load(parse_rate("50/s")), share=1.0, seed=7, began=7200.0)
    resumed.started(7200.1)
    assert resumed.due == pytest.approx(7200.02), "not even the second before it began"


# A whole soak


def paced(text: str = "", *, think: str = "", seconds: float = 0.01, wanted: int = 1) -> Stage:
    """Play a soak of ten minutes of two tests at this rate."""
    stage = Stage(600.0, load=Load.read(text, think), rounds_wanted=wanted)
    for name in ("test_a.py::test_1", "test_b.py::test_2"):
        stage.test(seconds, name=name)
    return stage.play()


def test_a_soak_keeps_its_rate() -> None:
    """In every phase, to the iteration."""
    stage = paced("4/s")
    assert len(stage.iterations) == pytest.approx(2400, abs=4)
    by_minute = [
        sum(minute <= began / 60 < minute + 1 for began, _ in stage.iterations) for minute in range(10)
    ]
    assert by_minute == [pytest.approx(240, abs=2)] * 10


def test_a_soak_follows_its_stages() -> None:
    """A ramp of five minutes from 1 to 9 a second, then constant."""
    stage = paced("0s: 1/s, 5m: 9/s")
    began = [at for at, _ in stage.iterations]
    assert sum(at < 300 for at in began) == pytest.approx(1500, abs=3)
    assert sum(at >= 300 for at in began) == pytest.approx(2700, abs=3)


def test_a_soak_that_rests_ends_in_time() -> None:
    """A stop does not wait for an iteration that is far away."""
    stage = paced("0s: 1/s, 5m: 1/s, 5m: 0/s, 30m: 0/s, 30m: 1/s")
    assert len(stage.iterations) == pytest.approx(300, abs=2)
    assert stage.ended <= 601.0


def test_conductor_and_console_go_on_while_the_runner_waits() -> None:
    """At one iteration in twenty seconds all phases still begin and end in time."""
    stage = paced("3/min")
    assert stage.phase(PhaseName.BASELINE).ended == pytest.approx(78.0, abs=22.0)
    assert stage.phase(PhaseName.RECOVERY).status == "done"
    assert len(stage.iterations) == pytest.approx(30, abs=2)


def test_think_times_slow_a_soak() -> None:
    """By as much as they are long."""
    assert len(paced(think="1s", seconds=0.5).iterations) == pytest.approx(400, abs=3)


def test_after_the_baseline_it_is_said_if_too_few_rounds_will_fit() -> None:
    """With how many do; a ramp is taken into account."""
    (said,) = [text for text in paced("4/s", wanted=5000).said if "looks impossible" in text]
    assert said.startswith(
        "fewest_iterations looks impossible: it needs 5,000 rounds, the run has room for 1,"
    )
    assert not [text for text in paced("4/s", wanted=1000).said if "impossible" in text]
    ramp = paced("0s: 1/s, 5m: 9/s", wanted=2000)
    assert not [text for text in ramp.said if "impossible" in text]


def test_the_plan_knows_how_many_rounds_the_load_leaves_room_for() -> None:
    """By rate or by think time; without a load nobody can know."""
    assert most_rounds(60.0, 3, Load(parse_rate("30/s"))) == pytest.approx(600)
    assert most_rounds(60.0, 3, Load(None, parse_think_time("1s..3s"))) == pytest.approx(10)
    assert most_rounds(60.0, 3, Load()) == float("inf")
    assert rounds_wanted(100, [SoakTest("a", 3), SoakTest("b", 2)]) == 50
    assert too_few_rounds(100, 12.3).endswith(
        "room for 12. Soak longer, or make soak_min_iterations smaller."
    )
