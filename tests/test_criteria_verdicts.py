"""The exit criteria, each judged from the records of a run."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_runs import (
    BET,
    PHASE_RECORDS,
    QUOTE,
    RUN,
    SEAM,
    WORKER,
    event,
    failure,
    good_records,
    run_data,
    samples,
    tally,
)

from pytest_resilience.breakers.records import BreakerResult, Cascade, HazardResult, Transition
from pytest_resilience.chaos.records import ChaosEvent, NotRun, Seam
from pytest_resilience.errors import SettingsError
from pytest_resilience.memory.records import Observer, Sample
from pytest_resilience.settings import Settings
from pytest_resilience.soak.criteria import (
    CRITERIA,
    DEFAULT_LIMITS,
    Subject,
    judge,
    limits_of,
    overall,
    switched_off,
)
from pytest_resilience.soak.criteria_lines import Limit, parse_line
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Failure, Phase, SoakTest, Tally, Verdict
from pytest_resilience.store.run_data import RunData, gather
from pytest_resilience.store.run_store import RunStore

SKIPPED = {phase.name: replace(phase, status="skipped", reason=f"no {phase.name}") for phase in PHASE_RECORDS}


def verdict(data: RunData, criterion: str, line: str = "", off: Iterable[Subject] = ()) -> Verdict:
    """Judge one criterion, by a user's line if there is one."""
    limits = {criterion: parse_line(line, DEFAULT_LIMITS)} if line else {}
    return next(one for one in judge(data, limits, tuple(off)) if one.criterion == criterion)


def grade(data: RunData, criterion: str, line: str = "") -> tuple[object, ...]:
    """Return verdict, observed value and detail of one criterion."""
    one = verdict(data, criterion, line)
    return one.verdict, one.observed, one.detail


def test_the_table_has_all_criteria() -> None:
    """Names and default limits are the documented ones."""
    assert [f"{row.default.criterion} {row.default.bound}" for row in CRITERIA] == [
        "failures_outside_faults == 0",
        "survives == 0",
        "fewest_iterations >= 1",
        "recovery_success_rate >= 0.8",
        "mean_recovery_seconds < 30",
        "memory_growth_percent < 10",
        "memory_leak_detected == no",
        "system_memory_percent < 90",
        "circuit_breakers == yes",
        "cascade_recovery == yes",
        "permanent_degradation == no",
        "injection_seconds < 0.5",
        "breaker_transition_seconds < 0.1",
        "monitoring_overhead_percent < 5",
        "worker_crashes == 0",
    ]
    assert list(DEFAULT_LIMITS) == [row.default.criterion for row in CRITERIA]


def test_a_good_run_meets_all() -> None:
    """Where all is well each criterion is met, with its numbers."""
    verdicts = judge(run_data(WORKER))
    assert {one.verdict for one in verdicts} == {"met"}
    assert overall(verdicts, RUN) == "PASSED"
    assert {one.criterion: one.detail for one in verdicts} == {
        "failures_outside_faults": "0 of 1200 iterations failed outside faults",
        "survives": "0 iterations failed under faults that the test must survive",
        "fewest_iterations": "600 iterations of test_shop.py::test_quote",
        "recovery_success_rate": "3 of 3 fired events recovered",
        "mean_recovery_seconds": "mean of 3 fired events, slowest 1.5s after "
        "provider_timeout-1 on odds_provider",
        "memory_growth_percent": "resident memory went from 100.0 MiB to 100.0 MiB",
        "memory_leak_detected": verdict(run_data(), "memory_leak_detected").detail,
        "system_memory_percent": "at most 41.0 % in use, at 1m30s in MEMORY_SOAK_TESTING",
        "circuit_breakers": (
            "1 of 1 applicable scenarios passed on test_circuit, 0 wrong and 1 strict of 2 hazards failed"
        ),
        "cascade_recovery": "1 of 1 cascades recovered, at most 2 services down",
        "permanent_degradation": "0 of 2 tests are worse after chaos than before",
        "injection_seconds": "slowest of 3 injections: provider_timeout-1 on odds_provider in 1ms",
        "breaker_transition_seconds": "p99 of 1 state changes (p50 0.02 ms), "
        "longest closed>open of test_circuit in 0.02 ms",
        "monitoring_overhead_percent": "CPU time in 1m40s: sampler 400ms, conductor 100ms",
        "worker_crashes": "0 of 1 worker crashed",
    }
    assert verdict(run_data(), "memory_leak_detected").detail.startswith("clean: ")


def test_the_verdict_is_the_same_from_the_file(tmp_path: Path) -> None:
    """Judging what was read back gives what judging the records gave."""
    store = RunStore(tmp_path / "run.db")
    for record in good_records():
        store.put(record)
    store.close()
    assert judge(read(tmp_path / "run.db")) == judge(run_data())


# Recovery


def test_an_event_that_does_not_recover_is_named() -> None:
    """The rate counts fired events, and says which one did not come back."""
    stuck = event(2, "intermittent_errors", recovered_at=None, waited_seconds=120.0)
    assert grade(run_data(stuck), "recovery_success_rate") == (
        "unmet",
        pytest.approx(2 / 3),
        (
            "2 of 3 fired events recovered (0.6667, limit >= 0.8): intermittent_errors-2 on odds_provider "
            "did not recover within 30.0s (waited 2m00s)"
        ),
    )
    assert grade(run_data(stuck), "mean_recovery_seconds") == (
        "unmet",
        pytest.approx(41.0),
        (
            "mean of 3 fired events, slowest 2m00s after intermittent_errors-2 on odds_provider "
            "(41, limit < 30)"
        ),
    )


def test_a_late_recovery_is_none_within_the_limit() -> None:
    """An event that recovers after its limit counts as not recovered, with the time it took."""
    late = event(2, "intermittent_errors", recovered_at=75.0)
    found = verdict(run_data(late), "recovery_success_rate")
    assert found.verdict == "unmet"
    assert found.detail.endswith("intermittent_errors-2 on odds_provider recovered after 50.0s (limit 30.0s)")


def test_an_event_that_never_fired_does_not_count() -> None:
    """An injection without effect is neither a success nor a failure."""
    idle = event(2, "intermittent_errors", fired=0, recovered_at=None, waited_seconds=120.0)
    assert grade(run_data(idle), "recovery_success_rate") == ("met", 1.0, "2 of 2 fired events recovered")


def test_an_event_cut_off_by_the_end_is_undecided() -> None:
    """A run that ends before an event's limit cannot tell, unless the others decide."""
    cut = event(9, "latency_spike", removed_at=95.0, recovered_at=None, waited_seconds=None)
    found = verdict(run_data(cut), "recovery_success_rate")
    assert (found.verdict, found.observed) == ("inconclusive", 0.75)
    assert found.detail == (
        "3 of 4 fired events recovered: "
        "latency_spike-9 on odds_provider had 5.0s of 30.0s to recover when the run ended"
    )
    assert verdict(run_data(cut), "mean_recovery_seconds").verdict == "inconclusive"
    assert verdict(run_data(cut), "recovery_success_rate", "recovery_success_rate >= 0.7").verdict == "met"
    assert verdict(run_data(cut), "mean_recovery_seconds", "mean_recovery_seconds < 2").verdict == "unmet"


def test_an_active_fault_at_the_end_is_undecided() -> None:
    """An event whose fault was still armed when the run was interrupted decides nothing."""
    active = event(9, "latency_spike", removed_at=None, recovered_at=None, waited_seconds=None)
    assert verdict(run_data(active), "recovery_success_rate").verdict == "inconclusive"


EVENTS = st.lists(
    st.builds(
        lambda fired, recovered, waited: (fired, recovered, waited),
        st.sampled_from([0, 3]),
        st.none() | st.floats(0, 60),
        st.none() | st.floats(0, 60),
    ),
    min_size=1,
    max_size=6,
)


@given(EVENTS)
def test_time_never_overturns_a_decided_rate(drawn: list[tuple[int, float | None, float | None]]) -> None:
    """Met or unmet stays so, whatever the undecided events turn out to be."""
    events = [
        event(
            number,
            "latency_spike",
            fired=fired,
            removed_at=0.0,
            recovered_at=recovered,
            waited_seconds=waited if recovered is None else recovered,
        )
        for number, (fired, recovered, waited) in enumerate(drawn)
    ]
    data = gather([replace(RUN, ended=10.0), *events])
    before = verdict(data, "recovery_success_rate")
    for settled in (
        [replace(one, recovered_at=1.0) for one in events if _undecided(one)],
        [replace(one, waited_seconds=31.0) for one in events if _undecided(one)],
    ):
        after = verdict(gather([data.run, *events, *settled]), "recovery_success_rate")
        if before.verdict in ("met", "unmet"):
            assert after.verdict == before.verdict
        elif before.observed is not None:
            assert after.verdict in ("met", "unmet")


def _undecided(one: ChaosEvent) -> bool:
    waited = 10.0 if one.waited_seconds is None else one.waited_seconds
    return one.fired > 0 and one.recovered_at is None and waited < 30


def test_no_fault_fired_names_the_seam() -> None:
    """Chaos without effect is inconclusive and says what the suite does not reach, and what to do."""
    idle = [event(number, "latency_spike", reached=0, fired=0) for number in (1, 2)]
    data = run_data(*idle, replace(SEAM, reached=0), without=(ChaosEvent,))
    expected = (
        "no fault fired: the suite never reaches shop.odds:OddsClient.fetch of odds_provider. "
        "Call it in a soak test, or take it out of Service(calls=[…])."
    )
    assert grade(data, "recovery_success_rate") == ("inconclusive", None, expected)
    assert grade(data, "mean_recovery_seconds") == ("inconclusive", None, expected)
    assert overall(judge(data), RUN) == "PARTIAL"


def test_a_reached_seam_without_a_fault() -> None:
    """Events that reached calls but never fired say how many calls there were."""
    data = run_data(event(1, "latency_spike", reached=3, fired=0), without=(ChaosEvent,))
    assert verdict(data, "recovery_success_rate").detail == (
        "no fault fired: latency_spike-1 on odds_provider reached 3 times. Give CHAOS_INJECTION more time."
    )


def test_no_event_at_all_says_why() -> None:
    """Without an event the plan's own reason is told."""
    data = run_data(NotRun("x", "s", "no room", "A longer soak."), without=(ChaosEvent, NotRun))
    assert grade(data, "injection_seconds") == (
        "inconclusive",
        None,
        "no fault was injected: no room. A longer soak.",
    )


def test_a_slow_injection_is_named() -> None:
    """The slowest injection decides."""
    slow = event(2, "intermittent_errors", injection_seconds=0.7)
    assert grade(run_data(slow), "injection_seconds") == (
        "unmet",
        0.7,
        "slowest of 3 injections: intermittent_errors-2 on odds_provider in 700ms (0.7, limit < 0.5)",
    )


# The suite


def test_failures_outside_faults_are_counted_and_named() -> None:
    """Failures that overlap an event are its own; the others count, from every phase."""
    data = run_data(failure(BET, count=3), failure(QUOTE, "latency_spike-3", count=9))
    assert grade(data, "failures_outside_faults") == (
        "unmet",
        3.0,
        (
            "3 of 1200 iterations failed outside faults (3, limit == 0): "
            "test_shop.py::test_bet 3x in MEMORY_SOAK_TESTING (test_shop.py:12: AssertionError)"
        ),
    )


def test_a_run_without_iterations_proves_nothing() -> None:
    """No iteration, no evidence."""
    data = run_data(without=(Tally, Failure))
    assert verdict(data, "failures_outside_faults").verdict == "inconclusive"
    assert verdict(data, "permanent_degradation").verdict == "inconclusive"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        (
            {"failures": 5},
            (
                "1 of 2 tests are worse after chaos than before: "
                "test_shop.py::test_bet passes 95.0%, before 100.0%"
            ),
        ),
        (
            {"failures": 5, "failures_in_faults": 5},
            (
                "1 of 2 tests are worse after chaos than before: "
                "test_shop.py::test_bet passes 95.0%, before 100.0%"
            ),
        ),
        (
            {"median": 0.02},
            (
                "1 of 2 tests are worse after chaos than before: "
                "test_shop.py::test_bet takes 20ms, before 2ms (limit 12ms)"
            ),
        ),
    ],
)
def test_a_degraded_test_is_named(changes: dict[str, float], detail: str) -> None:
    """A test that passes less often or takes longer at the end than in the baseline is told by name."""
    data = run_data(tally(BET, "RECOVERY_VALIDATION", **changes))
    assert grade(data, "permanent_degradation") == ("unmet", 1.0, detail)


def test_what_is_no_degradation() -> None:
    """Latency within the limit is no degradation."""
    data = run_data(tally(BET, "RECOVERY_VALIDATION", median=0.012))
    assert verdict(data, "permanent_degradation").verdict == "met"


def test_a_test_without_a_second_measurement() -> None:
    """A test that did not run at the end leaves the question open."""
    data = run_data(tally(BET, "RECOVERY_VALIDATION", iterations=3, skipped=3))
    assert grade(data, "permanent_degradation") == (
        "inconclusive",
        None,
        (
            "0 of the 5 iterations that are needed in BASELINE_ESTABLISHMENT and in RECOVERY_VALIDATION for "
            "test_shop.py::test_bet. Use --soak-duration=8m20s or more"
        ),
    )


def test_a_run_that_is_too_short_says_how_long_it_would_have_to_be() -> None:
    """By the test that ran least: two iterations of five ask for three times the run."""
    data = run_data(tally(BET, "RECOVERY_VALIDATION", iterations=2, skipped=0))
    assert verdict(data, "permanent_degradation").detail.startswith("2 of the 5 iterations")
    assert verdict(data, "permanent_degradation").detail.endswith("Use --soak-duration=5m00s or more")


# Memory


@pytest.mark.parametrize(("grown", "expected"), [(5, "met"), (12, "warning"), (30, "unmet")])
def test_memory_growth_has_a_warning_band(grown: float, expected: str) -> None:
    """Growth below 10 % is met, up to 15 % a warning, above it unmet."""
    data = run_data(*samples(grown), without=(Sample,))
    assert verdict(data, "memory_growth_percent").verdict == expected


def test_a_users_limit_has_no_warning_band() -> None:
    """A line of the user replaces the default and its band."""
    data = run_data(*samples(12), without=(Sample,))
    found = verdict(data, "memory_growth_percent", "memory_growth_percent < 11")
    assert (found.verdict, found.limit) == ("unmet", "< 11")
    assert found.detail.startswith("resident memory went from 100.0 MiB to 111.")
    assert found.detail.endswith(", limit < 11)")


def test_growth_that_fades_is_a_warning_at_most() -> None:
    """Memory that grew by half and then stood still is a cache that filled."""
    early = [
        replace(one, rss=one.rss + (min(50, int(one.at - 48)) << 20 if one.at > 48 else 0))
        for one in (replace(sample, at=sample.at) for sample in samples())
    ]
    filled = [replace(one, rss=min(one.rss, 120 << 20)) for one in early]
    found = verdict(run_data(*filled, without=(Sample,)), "memory_growth_percent")
    assert found.verdict == "warning"
    assert found.detail == (
        "resident memory went from 100.0 MiB to 120.0 MiB (20, limit < 10, only a warning where it fades): "
        "the growth fades, as a cache does that fills"
    )


def test_a_leak_is_named_with_what_to_do() -> None:
    """The detector's verdict and advice are the detail."""
    data = run_data(*samples(30), without=(Sample,))
    found = verdict(data, "memory_leak_detected")
    assert (found.verdict, found.observed, found.limit) == ("unmet", 1.0, "== no")
    assert found.detail.startswith("leak: ")


def test_too_few_samples_prove_nothing() -> None:
    """Without samples both questions about memory stay open."""
    data = run_data(without=(Sample,))
    for criterion in ("memory_growth_percent", "memory_leak_detected", "system_memory_percent"):
        assert verdict(data, criterion).verdict == "inconclusive"


def test_a_full_machine_is_unmet() -> None:
    """The highest reading of the machine's memory decides."""
    full = Sample(77.0, "MEMORY_SOAK_TESTING", checkpoint=False, iteration=1, rss=1, system_percent=93.0)
    assert grade(run_data(full), "system_memory_percent") == (
        "unmet",
        93.0,
        "at most 93.0 % in use, at 1m17s in MEMORY_SOAK_TESTING (93, limit < 90)",
    )


# Breakers and cost


def test_a_failed_breaker_scenario_is_named() -> None:
    """One failed scenario of one breaker is enough, and its own detail is told."""
    failed = BreakerResult("test_circuit", "half_open_recovery", "failed", "let 2 probes in")
    assert grade(run_data(failed), "circuit_breakers") == (
        "unmet",
        0.0,
        (
            "1 of 2 applicable scenarios passed on test_circuit, 0 wrong and 1 strict of 2 hazards failed: "
            "half_open_recovery on test_circuit: let 2 probes in"
        ),
    )


@pytest.mark.parametrize("level", ["wrong", "strict"])
def test_a_hazard_decides_only_where_it_counts(level: str) -> None:
    """What breakers of a library fall for is told in any case, and fails the run where that was asked for."""
    fell = HazardResult("test_circuit", "late_success_while_open", level, "failed", "it entered")
    assert verdict(run_data(fell), "circuit_breakers").verdict == "met"
    found = verdict(run_data(replace(fell, counts=True)), "circuit_breakers")
    assert found.verdict == "unmet"
    assert found.detail.endswith("hazards failed: late_success_while_open on test_circuit: it entered")


def test_a_breaker_without_results_is_inconclusive() -> None:
    """A registered breaker that was never put to the test proves nothing."""
    data = run_data(Phase("CIRCUIT_BREAKER_TESTING", 3, "planned", 5.0), without=(BreakerResult, Transition))
    expected = "was run on a breaker: CIRCUIT_BREAKER_TESTING was not reached"
    assert expected in verdict(data, "circuit_breakers").detail
    assert verdict(data, "breaker_transition_seconds").verdict == "inconclusive"


def test_the_99th_percentile_forgives_one_in_a_hundred() -> None:
    """One slow state change among a hundred is forgiven, two are not."""
    one = [Transition("test_circuit", "closed>open", 0.2)]
    fast = [Transition("test_circuit", "closed>open", 0.001)] * 99
    assert verdict(run_data(*fast, *one), "breaker_transition_seconds").verdict == "met"
    assert verdict(run_data(*fast, *one, *one), "breaker_transition_seconds").verdict == "unmet"


@pytest.mark.parametrize(
    ("cascade", "because"),
    [
        (
            Cascade("circular", "failed", 3, 0, 2, None, "edge a>b stayed open"),
            "circular, outage: edge a>b stayed open",
        ),
        (
            Cascade("random", "failed", 6, 2, 2, None, "more services down than 5", mode="slow"),
            "random, slow: more services down than 5",
        ),
    ],
)
def test_a_cascade_that_does_not_recover(cascade: Cascade, because: str) -> None:
    """A cascade that stays, or that takes too many services down, is unmet."""
    found = verdict(run_data(cascade), "cascade_recovery")
    assert found.verdict == "unmet"
    assert found.detail.endswith(because)


def test_an_expensive_observer_is_unmet() -> None:
    """The observers' CPU time is related to the time of the run."""
    assert grade(run_data(Observer("sampler", 100.0, 6.0)), "monitoring_overhead_percent") == (
        "unmet",
        pytest.approx(6.1),
        "CPU time in 1m40s: sampler 6.0s, conductor 100ms (6.1, limit < 5)",
    )


# Subjects


@pytest.mark.parametrize(
    ("phase", "criteria"),
    [
        (
            "CHAOS_INJECTION",
            {"survives", "recovery_success_rate", "mean_recovery_seconds", "injection_seconds"},
        ),
        ("CIRCUIT_BREAKER_TESTING", {"circuit_breakers", "breaker_transition_seconds"}),
        ("CASCADING_FAILURE_TESTING", {"cascade_recovery"}),
        ("MEMORY_SOAK_TESTING", {"memory_growth_percent", "memory_leak_detected"}),
        ("RECOVERY_VALIDATION", {"permanent_degradation"}),
    ],
)
def test_a_skipped_phase_makes_its_criteria_neutral(phase: str, criteria: set[str]) -> None:
    """Without a subject a criterion is not applicable, says why, and the run passes."""
    verdicts = judge(run_data(WORKER, SKIPPED[phase]))
    assert {one.criterion for one in verdicts if one.verdict == "not_applicable"} == criteria
    assert {one.detail for one in verdicts if one.verdict == "not_applicable"} == {f"no {phase}"}
    assert overall(verdicts, RUN) == "PASSED"


def test_what_is_switched_off_is_neutral() -> None:
    """The settings' switches make the criteria of their subjects not applicable."""
    settings = Settings(
        enable_chaos_testing=False,
        enable_circuit_breaker_testing=False,
        enable_cascading_failure_testing=False,
        enable_memory_monitoring=False,
    )
    verdicts = judge(run_data(), off=switched_off(settings))
    assert {one.criterion for one in verdicts if one.verdict != "not_applicable"} == {
        "failures_outside_faults",
        "fewest_iterations",
        "permanent_degradation",
        "monitoring_overhead_percent",
    }
    assert switched_off(Settings()) == frozenset()


# Settings


def test_options_and_lines_set_the_limits() -> None:
    """An option moves its criterion's limit, a line of resilience_criteria wins over it."""
    options = Settings(
        memory_growth_threshold_percent=5.0,
        max_memory_growth_percent=8.0,
        max_system_memory_percent=70.0,
        min_recovery_success_rate=0.9,
        criteria_lines=("recovery_success_rate >= 0.5", "mean_recovery_seconds < 3 abort after 1m"),
    )
    limits = limits_of(options)
    assert limits["memory_growth_percent"] == Limit("memory_growth_percent", "<", 5.0, warning_to=8.0)
    assert limits["system_memory_percent"] == Limit("system_memory_percent", "<", 70.0)
    assert limits["recovery_success_rate"] == Limit("recovery_success_rate", ">=", 0.5)
    assert limits["mean_recovery_seconds"].abort_after == 60.0
    assert limits_of(Settings()) == DEFAULT_LIMITS


def test_a_wrong_line_in_the_settings() -> None:
    """An unknown criterion is refused with the nearest name."""
    with pytest.raises(SettingsError, match=r"Did you mean 'memory_growth_percent'\?$"):
        limits_of(Settings(criteria_lines=("memory_grow_percent < 3",)))


# The result


@pytest.mark.parametrize(
    ("verdicts", "status", "expected"),
    [
        (["met", "warning", "not_applicable"], "complete", "PASSED"),
        (["met", "inconclusive"], "complete", "PARTIAL"),
        (["inconclusive", "unmet"], "complete", "FAILED"),
        (["met"], "interrupted", "PARTIAL"),
        (["unmet"], "interrupted", "FAILED"),
        (["met"], "aborted", "PARTIAL"),
        (["met"], "running", "PARTIAL"),
        ([], "complete", "PARTIAL"),
    ],
)
def test_the_overall_result(verdicts: list[str], status: str, expected: str) -> None:
    """One unmet criterion fails the run; without one, anything open makes it partial."""
    judged = [Verdict(f"c{number}", one, None, "", "") for number, one in enumerate(verdicts)]
    assert overall(judged, replace(RUN, status=status)) == expected


def test_an_own_criterion_is_one_more_row() -> None:
    """The table may be extended, and is judged by the same rules."""
    mine = replace(CRITERIA[0], default=Limit("my_failures", "<", 1))
    verdicts = judge(run_data(), criteria=(*CRITERIA, mine))
    assert (verdicts[-1].criterion, verdicts[-1].verdict) == ("my_failures", "met")


def test_a_run_that_recorded_nothing_is_partial() -> None:
    """A run that was killed at once is judged without a crash."""
    data = gather([replace(RUN, status="running", ended=None)])
    assert overall(judge(data), data.run) == "PARTIAL"
    verdicts = {one.criterion: one.verdict for one in judge(data)}
    assert verdicts.pop("survives") == "not_applicable"
    assert verdicts.pop("worker_crashes") == "not_applicable"
    assert set(verdicts.values()) == {"inconclusive"}


def test_seams_of_other_services_do_not_matter_once_a_fault_fired() -> None:
    """A seam that is never reached does not undo the evidence of the others."""
    assert verdict(run_data(Seam("cache", "shop:get", 0)), "recovery_success_rate").verdict == "met"


# What a test must survive, and how often it must run


def test_failures_under_a_survived_fault_are_counted_and_named() -> None:
    """They belong to the fault, and are no failures outside faults."""
    data = run_data(failure(QUOTE, "latency_spike-3", count=5), failure(BET, "latency_spike-3", count=2))
    assert grade(data, "survives") == (
        "unmet",
        5.0,
        (
            "5 iterations failed under faults that the test must survive (5, limit == 0): "
            "test_shop.py::test_quote 5x under latency_spike-3 (test_shop.py:12: AssertionError)"
        ),
    )
    assert verdict(data, "failures_outside_faults").verdict == "met"


def test_nothing_to_survive_is_neutral() -> None:
    """As long as no marker says so."""
    data = run_data(without=(SoakTest,))
    assert grade(data, "survives") == (
        "not_applicable",
        None,
        "no soak test declares with survives=[…] what it survives",
    )


def test_a_fault_that_never_fired_shows_no_survival() -> None:
    """Of several only those are named; a failure under another one is unmet all the same."""
    declared = SoakTest(QUOTE, 1, "latency_spike cpu_saturation")
    assert grade(run_data(declared), "survives") == (
        "inconclusive",
        None,
        (
            "cpu_saturation never fired, so nothing shows that it is survived by test_shop.py::test_quote. "
            "Give CHAOS_INJECTION more time, or take it out of survives=[…]."
        ),
    )
    assert verdict(run_data(declared, failure(QUOTE, "latency_spike-3")), "survives").verdict == "unmet"


def test_the_test_with_the_fewest_iterations_decides() -> None:
    """Skipped ones are none, and a test that is always skipped is not counted."""
    line = "fewest_iterations >= 550"
    assert grade(run_data(), "fewest_iterations", line)[0] == "met"
    few = run_data(tally(BET, "BASELINE_ESTABLISHMENT", skipped=60))
    assert grade(few, "fewest_iterations", line) == (
        "unmet",
        540.0,
        "540 iterations of test_shop.py::test_bet (540, limit >= 550)",
    )
    skipped = run_data(tally("test_shop.py::test_never", "BASELINE_ESTABLISHMENT", skipped=100))
    assert grade(skipped, "fewest_iterations", line)[0] == "met"


def test_a_run_that_was_cut_short_has_not_decided_how_often_tests_run() -> None:
    """It would have gone on."""
    cut = run_data(replace(RUN, status="aborted"))
    assert grade(cut, "fewest_iterations", "fewest_iterations >= 1000") == (
        "inconclusive",
        600.0,
        "600 iterations of test_shop.py::test_quote: the run did not come to its end",
    )


def test_the_option_sets_how_often_tests_run() -> None:
    """As a line of resilience_criteria does, which wins."""
    assert limits_of(Settings(min_iterations=50))["fewest_iterations"].bound == ">= 50"
    both = Settings(min_iterations=50, criteria_lines=("fewest_iterations >= 70",))
    assert limits_of(both)["fewest_iterations"].bound == ">= 70"
