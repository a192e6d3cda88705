"""When a run must end early."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_runs import BET, RUN, failure, run_data, tally

from pytest_resilience.breakers.records import BreakerResult
from pytest_resilience.chaos.host.descriptors import Descriptors
from pytest_resilience.clock import ManualClock
from pytest_resilience.errors import SettingsError, StoreError
from pytest_resilience.settings import Settings
from pytest_resilience.soak.abort import CHECK_SECONDS, AbortWatch, loader
from pytest_resilience.soak.criteria import CRITERIA, DEFAULT_LIMITS, Subject, limits_of
from pytest_resilience.soak.criteria_lines import parse_line
from pytest_resilience.store.run_data import RunData
from pytest_resilience.store.run_store import RunStore

GOOD, BAD = run_data(), run_data(failure("test_shop.py::test_quote"))


class Watched:
    """A run under watch: its data, its machine's memory and its clock can be changed."""

    def __init__(self, *lines: str, off: frozenset[Subject] = frozenset(), fail_fast: bool = False) -> None:
        self.clock = ManualClock()
        self.data: RunData | None = GOOD
        self.percent, self.reads, self.cost = 0.0, 0, 0.0
        limits = limits_of(Settings(criteria_lines=lines, fail_fast=fail_fast))
        self.reason = AbortWatch(limits, off, self._load, lambda: self.percent, self.clock.now)

    def _load(self) -> RunData | None:
        self.reads += 1
        self.clock.advance(self.cost)
        return self.data

    def after(self, seconds: float) -> str:
        """Let time pass, looking every second as the conductor does; return the first reason."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)
            if reason := self.reason():
                return reason
        return ""


def cut_after(phase: str) -> RunData:
    """Return a bad run whose phases up to this one are over: no event recovered."""
    lost = [replace(one, recovered_at=None, waited_seconds=120.0) for one in GOOD.events]
    place = next(one.position for one in GOOD.phases if one.name == phase)
    phases = [replace(one, status="done" if one.position <= place else "planned") for one in GOOD.phases]
    return run_data(*lost, *phases)


def test_a_good_run_goes_on() -> None:
    """However long."""
    watched = Watched("failures_outside_faults == 0 abort after 3m")
    assert watched.after(600) == ""
    assert watched.reads > 500


def test_nothing_is_read_if_no_criterion_can_abort() -> None:
    """Judging a run costs time, so it is done at the end only."""
    watched = Watched()
    watched.data = BAD
    assert watched.after(600) == ""
    assert watched.reads == 0


def test_a_criterion_that_is_unmet_for_its_grace_ends_the_run() -> None:
    """The reason names criterion, grace and what was wrong."""
    watched = Watched("failures_outside_faults == 0 abort after 3m")
    watched.data = BAD
    assert watched.after(180) == ""
    reason = watched.after(2)
    assert reason.startswith("failures_outside_faults was unmet for 3m00s: 1 of ")
    assert (
        "iterations failed outside faults (1, limit == 0): test_shop.py::test_quote 1x in MEMORY_SOAK"
        in reason
    )


def test_grace_begins_anew_when_the_criterion_was_met_in_between() -> None:
    """Only an unbroken time counts."""
    watched = Watched("failures_outside_faults == 0 abort after 3m")
    watched.data = BAD
    assert watched.after(179) == ""
    watched.data = GOOD
    assert watched.after(5) == ""
    watched.data = BAD
    assert watched.after(179) == ""
    assert watched.after(5).startswith("failures_outside_faults was unmet for 3m00s")


def test_each_criterion_has_a_grace_of_its_own() -> None:
    """One without never aborts."""
    watched = Watched("failures_outside_faults == 0", "recovery_success_rate >= 0.8 abort after 10s")
    event = replace(GOOD.events[0], recovered_at=None, waited_seconds=120.0)
    watched.data = run_data(failure("test_shop.py::test_quote"), *(
        replace(event, event_id=one.event_id) for one in GOOD.events
    ))  # fmt: skip
    assert watched.after(30).startswith("recovery_success_rate was unmet for 10.0s: 0 of 3 fired events")


def test_what_is_switched_off_cannot_abort() -> None:
    """It is not judged."""
    watched = Watched("recovery_success_rate >= 1 abort after 10s", off=frozenset({Subject.CHAOS}))
    lost = replace(GOOD.events[0], recovered_at=None, waited_seconds=120.0)
    watched.data = run_data(lost)
    assert watched.after(60) == ""


@pytest.mark.parametrize(("percent", "ends"), [(0.0, False), (89.9, False), (90.0, True), (97.3, True)])
def test_memory_that_runs_out_ends_the_run_at_once(percent: float, ends: bool) -> None:
    """Before the machine starts to kill; zero means that nothing was read yet."""
    watched = Watched()
    watched.percent = percent
    said = f"{percent:.1f} % of the machine's memory is in use (limit < 90)"
    assert watched.after(2) == (said if ends else "")


def test_the_limit_of_memory_can_be_set() -> None:
    """By the criterion's line."""
    watched = Watched("system_memory_percent < 99")
    watched.percent = 97.3
    assert watched.after(2) == ""


def test_it_looks_at_most_once_a_second() -> None:
    """The conductor asks whenever it wakes up, which may be thousands of times a second."""
    watched = Watched("failures_outside_faults == 0 abort after 3m")
    for _ in range(1000):
        watched.reason()
        watched.clock.advance(CHECK_SECONDS / 100)
    assert 9 <= watched.reads <= 11


def test_a_fault_that_takes_all_descriptors_does_not_end_the_run(tmp_path: Path) -> None:
    """The record cannot be read for a while; then it is judged again."""
    database = tmp_path / "run.db"
    store = RunStore(database)
    store.put(RUN)
    store.close()
    load = loader(database)
    with Descriptors():
        unread = load()
    read = load()
    assert unread is None
    assert read is not None
    assert read.run == RUN


def test_a_record_that_is_broken_ends_the_run(tmp_path: Path) -> None:
    """Descriptors or not."""
    database = tmp_path / "run.db"
    database.write_text("no database")
    with pytest.raises(StoreError, match="cannot be read"):
        loader(database)()


def test_what_cannot_be_read_now_is_not_judged() -> None:
    """And the time that a criterion was unmet goes on."""
    watched = Watched("failures_outside_faults == 0 abort after 3m")
    watched.data = BAD
    assert watched.after(100) == ""
    watched.data = None
    assert watched.after(100) == ""
    watched.data = BAD
    assert watched.after(2).startswith("failures_outside_faults was unmet for 3m00s")


# As soon as a criterion cannot be met any more


def test_a_count_that_is_too_high_ends_the_run_at_once() -> None:
    """`abort` alone gives no grace: a failure outside faults is never undone."""
    watched = Watched("failures_outside_faults == 0 abort")
    assert watched.after(600) == ""
    watched.data = BAD
    reason = watched.after(2)
    assert reason.startswith("failures_outside_faults == 0 cannot be met any more: 1 of 1200 iterations")


def test_a_count_that_may_still_grow_into_its_limit_ends_nothing() -> None:
    """At most as many, or exactly as many, as were not there yet."""
    for line in ("failures_outside_faults <= 1 abort", "failures_outside_faults == 3 abort"):
        watched = Watched(line)
        watched.data = BAD
        assert watched.after(60) == ""
    watched = Watched("failures_outside_faults >= 3 abort")
    watched.data = BAD
    assert watched.after(60) == "", "it can still grow"


def test_what_chaos_decides_is_lost_when_chaos_is_over() -> None:
    """Until then more events may lift the share, and nobody knows how many will come."""
    watched = Watched("recovery_success_rate >= 0.8 abort")
    watched.data = cut_after("BASELINE_ESTABLISHMENT")
    assert watched.after(60) == ""
    watched.data = cut_after("CHAOS_INJECTION")
    assert watched.after(2).startswith("recovery_success_rate >= 0.8 cannot be met any more: 0 of 3 fired")


def test_an_event_that_may_still_recover_loses_nothing() -> None:
    """Also after chaos."""
    watched = Watched("recovery_success_rate >= 0.8 abort")
    done = cut_after("CHAOS_INJECTION")
    open_ones = [replace(one, removed_at=95.0, waited_seconds=None) for one in done.events]
    watched.data = replace(done, events=tuple(open_ones))
    assert watched.after(60) == ""


def test_a_scenario_of_a_breaker_that_failed_is_lost() -> None:
    """No other scenario makes it good."""
    watched = Watched("circuit_breakers == yes abort")
    watched.data = run_data(BreakerResult("test_circuit", "failure_threshold", "failed", "never opened"))
    assert watched.after(2).startswith("circuit_breakers == yes cannot be met any more: 0 of 1")


def test_failing_fast_ends_the_run_at_the_first_criterion_that_is_lost() -> None:
    """Without a line for it; what cannot be decided early ends nothing."""
    watched = Watched(fail_fast=True)
    assert watched.after(60) == ""
    watched.data = run_data(*(
        tally(test, "RECOVERY_VALIDATION", failures=100) for test in ("test_shop.py::test_quote", BET)
    ))  # fmt: skip
    assert watched.after(60) == "", "permanent_degradation is known only at the end"
    watched.data = BAD
    assert watched.after(2).startswith("failures_outside_faults == 0 cannot be met any more")


def test_a_grace_is_kept_when_failing_fast() -> None:
    """What the user wrote for one criterion wins."""
    watched = Watched("failures_outside_faults == 0 abort after 1m", fail_fast=True)
    watched.data = BAD
    assert watched.after(59) == ""
    assert watched.after(5).startswith("failures_outside_faults was unmet for 1m00s")


@pytest.mark.parametrize("name", ["memory_growth_percent", "memory_leak_detected", "permanent_degradation"])
def test_abort_alone_is_refused_where_only_the_end_decides(name: str) -> None:
    """With what to write instead."""
    bound = "< 5" if name == "memory_growth_percent" else "== no"
    with pytest.raises(SettingsError) as error:
        limits_of(Settings(criteria_lines=(f"{name} {bound} abort",)))
    assert str(error.value) == (
        f"resilience_criteria: {name} cannot have `abort` alone: whether it is met is known only at the end. "
        "Write `abort after 3m`, which ends a run in which it is unmet so long."
    )


def test_costly_records_are_read_rarely() -> None:
    """Two percent of the time at most goes into reading what a long run has recorded."""
    watched = Watched("failures_outside_faults == 0 abort")
    watched.cost = 0.5
    assert watched.after(600) == ""
    assert watched.reads * watched.cost <= 0.025 * 600


@given(
    st.lists(st.integers(0, 3), max_size=12),
    st.integers(0, 12),
    st.sampled_from(["<", "<=", "==", ">=", ">"]),
)
def test_what_is_lost_stays_unmet_whatever_comes(steps: list[int], value: int, comparison: str) -> None:
    """A count that only grows: once it is lost, no longer run can meet the criterion."""
    limit = parse_line(f"failures_outside_faults {comparison} {value} abort", DEFAULT_LIMITS)
    (row,) = [one for one in CRITERIA if one.default.criterion == "failures_outside_faults"]
    count, lost = 0, False
    for step in steps:
        count += step
        found = run_data(*([failure("test_shop.py::test_quote", count=count)] if count else []))
        assert not (lost and limit.holds(count))
        lost = lost or row.lost(limit, found)
