"""The report: one model, shown as lines, as JSON and as JUnit properties."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_runs import (
    BET,
    COMMAND,
    PHASE_RECORDS,
    QUOTE,
    RUN,
    SEAM,
    event,
    failure,
    run_data,
    samples,
    tally,
)

from pytest_resilience.breakers.records import Cascade
from pytest_resilience.chaos.records import ChaosEvent, NotRun
from pytest_resilience.errors import StoreError
from pytest_resilience.memory.records import Sample
from pytest_resilience.report import json_report, junit
from pytest_resilience.report.model import Coverage, Report, build
from pytest_resilience.report.table import WIDTH, table
from pytest_resilience.report.terminal import lines
from pytest_resilience.soak.criteria import judge
from pytest_resilience.store.records import Failure, Note, Tally, Verdict
from pytest_resilience.store.run_data import RunData, gather

KEYS = [
    "test_id",
    "overall_result",
    "exit_criteria_met",
    "test_duration_hours",
    "memory_leak_detected",
    "phases_completed",
    "chaos_events_triggered",
    "successful_recoveries",
    "recovery_success_rate",
    "memory_growth_percent",
    "max_memory_usage_mb",
    "circuit_breaker_tests_passed",
    "cascading_failure_recovery",
]


def judged(data: RunData) -> Report:
    """Build the report as a run does: from records and stored verdicts."""
    return build(replace(data, verdicts=judge(data)))


def bad_run() -> RunData:
    """Return a run with everything that a report can complain of."""
    text = "\n".join([*(f"    line {number}" for number in range(12)), "E   assert None", "x" * 200])
    skipped = replace(
        PHASE_RECORDS[4], status="skipped", reason="no breaker is registered", started=None, ended=None
    )
    return run_data(
        skipped,
        event(2, "intermittent_errors", recovered_at=None, waited_seconds=120.0),
        event(4, "latency_spike", reached=0, fired=0),
        failure(BET, count=3, text=text),
        failure(QUOTE, "intermittent_errors-2", count=7),
        replace(SEAM, target="shop.cache:Cache.get", reached=0),
        *samples(12),
        without=(Sample, Cascade),
    )


GOLDEN = """\
resilience_test_20250102T030405Z_ab12: 1m40s of 1m40s, 1,200 iterations of 2 tests, seed 7, intensity medium

phase                      status   planned   took  iterations  reason
INITIALIZATION             done                0ms
BASELINE_ESTABLISHMENT     done       10.0s  10.0s         200
CHAOS_INJECTION            done       35.0s  35.0s         200
CIRCUIT_BREAKER_TESTING    done        5.0s   2.0s         200
CASCADING_FAILURE_TESTING  skipped     5.0s                200  no breaker is registered
MEMORY_SOAK_TESTING        done       35.0s  42.0s         200
RECOVERY_VALIDATION        done       10.0s  10.0s         200
FINAL_ANALYSIS             done                0ms
CLEANUP                    done                0ms

verdict  criterion                    observed  limit   detail
unmet    failures_outside_faults             3  == 0    3 of 1200 iterations failed outside faults (3, limit
                                                        == 0): test_shop.py::test_bet 3x in
                                                        MEMORY_SOAK_TESTING (test_shop.py:12: AssertionError)
unmet    recovery_success_rate           0.667  >= 0.8  2 of 3 fired events recovered (0.6667, limit >= 0.8):
                                                        intermittent_errors-2 on odds_provider did not recover
                                                        within 30.0s (waited 2m00s)
unmet    mean_recovery_seconds              41  < 30    mean of 3 fired events, slowest 2m00s after
                                                        intermittent_errors-2 on odds_provider (41, limit <
                                                        30)
unmet    memory_leak_detected              yes  == no   leak: 29.3 KiB/iteration (1.0 GiB/h) of resident
                                                        memory, linear, confidence 1.00: Neither malloc nor
                                                        Python uses it: look for mmap, fragmentation and
                                                        native allocators.
warning  memory_growth_percent            11.4  < 10    resident memory went from 100.0 MiB to 111.4 MiB
                                                        (11.4, limit < 10, only a warning up to 15)
met      survives                            0  == 0    0 iterations failed under faults that the test must
                                                        survive
met      fewest_iterations                 600  >= 1    600 iterations of test_shop.py::test_quote
met      system_memory_percent              41  < 90    at most 41.0 % in use, at 1m30s in MEMORY_SOAK_TESTING
met      circuit_breakers                  yes  == yes  1 of 1 applicable scenarios passed on test_circuit, 0
                                                        wrong and 1 strict of 2 hazards failed
met      permanent_degradation              no  == no   0 of 2 tests are worse after chaos than before
met      injection_seconds               0.001  < 0.5   slowest of 4 injections: provider_timeout-1 on
                                                        odds_provider in 1ms
met      breaker_transition_seconds     <0.001  < 0.1   p99 of 1 state changes (p50 0.02 ms), longest
                                                        closed>open of test_circuit in 0.02 ms
met      monitoring_overhead_percent       0.5  < 5     CPU time in 1m40s: sampler 400ms, conductor 100ms
not applicable:
  - cascade_recovery: no breaker is registered
  - worker_crashes: the soak runs in one process

event                  target         seam   reached  fired  recovered in
provider_timeout-1     odds_provider  calls       40      4  1.5s
intermittent_errors-2  odds_provider  calls       40      4  not recovered (waited 2m00s)
latency_spike-3        odds_provider  calls       40      4  1.5s
latency_spike-4        odds_provider  calls        0      0  never fired

hazard             breaker       level   detail
herd_in_half_open  test_circuit  strict  All 8 entered

service        seam never reached    what to do
odds_provider  shop.cache:Cache.get  Call it in a soak test, or take it out of Service(calls=[…]).

not run:
  - network_partition on odds_provider, database_slowdown on odds_provider: it has no endpoint.
    Service(endpoint=…).

test_shop.py::test_bet failed 3x outside faults, first at 50.0s in MEMORY_SOAK_TESTING (call)
    … 6 lines before, in report.json
        line 6
        line 7
        line 8
        line 9
        line 10
        line 11
    E   assert None
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
test_shop.py::test_quote failed 7x under intermittent_errors-2, first at 50.0s in MEMORY_SOAK_TESTING (call)
    E   assert 0
4 iterations failed under faults.

FAILED: 4 unmet, 1 warning, 8 met, 2 not applicable of 15 criteria
Repeat with: pytest --soak-duration=100s --resilience-seed=7
"""


def test_the_section_of_a_bad_run() -> None:
    """The terminal section, line by line."""
    assert "\n".join(lines(judged(bad_run()))) + "\n" == GOLDEN


def test_no_line_is_wider_than_a_terminal() -> None:
    """Every line of the section fits, as nothing in it is longer by itself."""
    assert max(map(len, lines(judged(bad_run())))) <= WIDTH


def test_a_good_run_shows_nothing_empty() -> None:
    """Where all is well there is no heading without rows, no empty column, and the last lines say so."""
    shown = lines(judged(run_data()))
    assert not [line for line in shown if "never reached" in line or "failures" in line.split()]
    assert shown[-2:] == ["PASSED: 14 met, 1 not applicable of 15 criteria", f"Repeat with: {COMMAND}"]
    assert ("", "") not in pairwise(shown)


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        ("interrupted", "interrupted by SIGINT", "The run was interrupted by SIGINT."),
        ("interrupted", "stopped: enough", "The run was stopped: enough."),
        (
            "aborted",
            "test_bet fails at once: nothing can be said",
            "The run was aborted: test_bet fails at once: nothing can be said.",
        ),
        ("running", "", "The run has not ended: it was killed, or is still going on."),
    ],
)
def test_a_run_that_did_not_end_says_why(status: str, reason: str, line: str) -> None:
    """An interrupted, aborted or killed run says so just above the result."""
    report = judged(run_data(replace(RUN, status=status, reason=reason)))
    shown = lines(report)
    place = shown.index(line)
    assert shown[place + 1] == "PARTIAL: 14 met, 1 not applicable of 15 criteria"
    resume = f"Resume with: {RUN.command} --soak-resume={RUN.test_id}"
    assert (resume in shown) is (status != "aborted")


NO_ROOM = NotRun("latency_spike", "db", "no room", "A longer soak.", possible=True, seam="calls")


def test_faults_that_were_possible_but_not_injected_are_counted() -> None:
    """What a service lacks makes a fault impossible; a fault that never fired was not injected."""
    silent = replace(event(4, "provider_timeout", fired=0), service="db")
    report = judged(run_data(NO_ROOM, replace(NO_ROOM, service="odds_provider"), silent))
    assert report.coverage == Coverage(possible=5, injected=3, never_broken=("db",))
    assert lines(report)[-3] == "Injected: 3 of 5 possible faults; never broken: db."
    every = judged(run_data(replace(event(4, "latency_spike"), service="db"), NO_ROOM))
    assert every.coverage == Coverage(4, 4, ())
    assert not any(line.startswith("Injected") for line in lines(every))


def test_an_option_to_copy_is_not_broken_at_its_hyphens() -> None:
    """Wherever the line ends."""
    for length in range(50, 90):
        advice = replace(NO_ROOM, reason="x" * length, fix="Use --soak-duration=1m03s.")
        shown = lines(judged(run_data(advice)))
        assert any("--soak-duration=1m03s." in line for line in shown)


def test_a_run_that_lasts_longer_than_asked_names_the_slowest_test() -> None:
    """Its iteration could not be cut off; a little time is always needed."""
    slow = tally(BET, "CHAOS_INJECTION", longest=8.5)
    late = judged(run_data(slow, replace(RUN, ended=109.0)))
    assert lines(late)[-3] == (
        f"The run lasted 9.0s longer than asked: an iteration of {BET} took up to 8.5s."
    )
    none = judged(run_data(replace(RUN, ended=109.0), without=(Tally,)))
    assert "The run lasted 9.0s longer than asked." in lines(none)
    assert not any("longer" in line for line in lines(judged(run_data(slow, replace(RUN, ended=102.9)))))


def test_one_is_one() -> None:
    """One iteration of one test, under one fault, is in the singular."""
    once = tally(QUOTE, "BASELINE_ESTABLISHMENT", iterations=1)
    shown = lines(judged(run_data(once, failure(QUOTE, "intermittent_errors-2"), without=(Tally, Failure))))
    assert "1 iteration of 1 test," in shown[0]
    assert "1 iteration failed under faults." in shown


@pytest.mark.parametrize("beginning", ["inconclusive: ", "inconclusive, because "])
def test_a_verdict_is_not_said_twice(beginning: str) -> None:
    """Where the detail begins with the verdict, the detail's own is left out."""
    verdict = Verdict("memory_growth_percent", "inconclusive", None, "< 10", f"{beginning}too few samples")
    (row,) = build(run_data(verdict)).criteria
    assert (row.verdict, row.detail) == ("inconclusive", "too few samples")


@pytest.mark.parametrize("status", ["running", "cut", "planned"])
def test_seams_are_unreached_only_after_a_whole_baseline(status: str) -> None:
    """A baseline that was cut off may not have come to them."""
    unreached = replace(SEAM, reached=0)
    assert build(run_data(unreached)).seams_never_reached
    assert not build(run_data(unreached, replace(PHASE_RECORDS[1], status=status))).seams_never_reached


def test_a_killed_run_has_a_report() -> None:
    """A run of which only the beginning was recorded is PARTIAL, with null where nothing is known."""
    report = build(gather([replace(RUN, status="running", ended=None), Note(4.0, "x")]))
    assert (report.overall_result, report.exit_criteria_met, report.seconds) == ("PARTIAL", False, 4.0)
    assert (report.memory_growth_percent, report.memory_leak_detected) == (None, None)
    assert (report.recovery_success_rate, report.max_memory_usage_mb) == (None, None)
    assert "PARTIAL: no criterion was judged" in lines(report)


def test_many_events_show_only_the_bad_ones() -> None:
    """Of dozens of events the recovered ones are counted, not listed."""
    many = [event(number, "latency_spike") for number in range(10, 50)]
    stuck = event(50, "latency_spike", recovered_at=None, waited_seconds=120.0)
    shown = lines(judged(run_data(*many, stuck, without=(ChaosEvent,))))
    listed = [line for line in shown if line.startswith("latency_spike-")]
    assert [line.split()[0] for line in listed] == ["latency_spike-50"]
    assert "40 events recovered; report.json lists them." in shown


def test_many_kinds_of_failures_show_the_most_frequent() -> None:
    """Three kinds of failures are shown, the most frequent first, and the rest is counted."""
    kinds = [failure(f"test_{number}", count=number) for number in (1, 2, 3, 4, 5)]
    shown = lines(judged(run_data(*kinds)))
    assert [line.split()[0] for line in shown if " outside faults, first at " in line] == [
        "test_5",
        "test_4",
        "test_3",
    ]
    assert "2 more kinds of failures: see report.json." in shown


# JSON


def test_the_json_has_every_key_that_must_stay(tmp_path: Path) -> None:
    """The keys come first, in their order, with their types."""
    json_report.write(judged(run_data()), tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert list(content)[: len(KEYS)] == KEYS
    assert {key: content[key] for key in KEYS} == {
        "test_id": RUN.test_id,
        "overall_result": "PASSED",
        "exit_criteria_met": True,
        "test_duration_hours": pytest.approx(100 / 3600),
        "memory_leak_detected": False,
        "phases_completed": [phase.name for phase in PHASE_RECORDS],
        "chaos_events_triggered": 3,
        "successful_recoveries": 3,
        "recovery_success_rate": 1.0,
        "memory_growth_percent": 0.0,
        "max_memory_usage_mb": 100.0,
        "circuit_breaker_tests_passed": 1,
        "cascading_failure_recovery": True,
    }
    assert (content["settings"], content["seed"], content["command"]) == ({"seed": 7}, 7, COMMAND)


def test_the_json_of_a_bad_run() -> None:
    """What went wrong is told in full: events, failures, seams and tests."""
    content = json.loads(json_report.to_json(judged(bad_run())))
    outcomes = {one["event_id"]: (one["outcome"], one["recovery_seconds"]) for one in content["events"]}
    assert outcomes == {
        "provider_timeout-1": ("recovered", 1.5),
        "intermittent_errors-2": ("not recovered", None),
        "latency_spike-3": ("recovered", 1.5),
        "latency_spike-4": ("never fired", None),
    }
    assert (content["chaos_events_triggered"], content["successful_recoveries"]) == (3, 2)
    assert content["failures"][0]["text"].startswith("    line 0\n")
    assert content["seams_never_reached"][0]["target"] == "shop.cache:Cache.get"
    quote = next(one for one in content["tests"] if one["test"] == QUOTE)
    assert (quote["iterations"], quote["median"], quote["p95_after"]) == (600, 0.002, 0.003)
    assert (quote["seconds"], quote["longest"]) == (pytest.approx(1.2), 0.004)
    leak = next(one for one in content["criteria"] if one["criterion"] == "memory_leak_detected")
    assert leak["observed"] is True


@given(st.sampled_from([float("nan"), float("inf"), -float("inf")]))
@settings(deadline=None)
def test_the_json_has_no_nan(value: float) -> None:
    """A number that JSON does not know is null."""
    report = replace(judged(run_data()), seconds=value)
    assert json.loads(json_report.to_json(report), parse_constant=pytest.fail)["seconds"] is None


def test_settings_that_are_no_json_stay_text() -> None:
    """A record whose settings cannot be parsed is reported as it is."""
    report = replace(judged(run_data()), settings="{broken")
    assert json.loads(json_report.to_json(report))["settings"] == "{broken"


def test_the_json_is_replaced_in_one_step(tmp_path: Path) -> None:
    """Writing again replaces the file and leaves nothing beside it."""
    path = tmp_path / "report.json"
    path.write_text("old")
    json_report.write(judged(run_data()), path)
    assert json.loads(path.read_text("utf-8"))["test_id"] == RUN.test_id
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A missing folder is an error with the fix, and leaves nothing behind."""
    with pytest.raises(
        StoreError, match=r"report.json cannot be written: .*choose another --resilience-dir.$"
    ):
        json_report.write(judged(run_data()), tmp_path / "none" / "report.json")


# JUnit


def test_phases_are_junit_properties() -> None:
    """Each phase has its status, and its seconds if it ran."""
    found = dict(junit.properties(judged(bad_run())))
    assert found["resilience.overall_result"] == "FAILED"
    assert found["phase.BASELINE_ESTABLISHMENT.seconds"] == "10.000"
    assert found["phase.CASCADING_FAILURE_TESTING.status"] == "skipped"
    assert "phase.CASCADING_FAILURE_TESTING.seconds" not in found


# Tables


def test_a_table_leaves_out_empty_columns_and_wraps_the_last() -> None:
    """Columns are aligned, numbers to the right; long text goes on below its own beginning."""
    rows = [("a", "", "1", "word " * 30), ("bb", "", "10", "short")]
    found = table(("name", "empty", "n", "text"), rows, numbers=("n",))
    assert found == [
        "name   n  text",
        "a      1  " + " ".join(["word"] * 20),
        "          " + " ".join(["word"] * 10),
        "bb    10  short",
    ]


def test_no_rows_no_table() -> None:
    """A table without rows has no heading either."""
    assert table(("a", "b"), []) == []


CELLS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=60)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5))
def test_a_table_takes_any_text(rows: list[tuple[str, str, str]]) -> None:
    """Whatever the cells are, each row is there and no line ends in blanks."""
    found = table(("one", "two", "three"), rows, numbers=("two",))
    something = any(cell for row in rows for cell in row)
    assert len(found) >= (len(rows) + 1 if something else 0)
    assert all(line == line.rstrip() for line in found)


def test_what_was_done_stands_beside_each_event() -> None:
    """In words, or where the injected error was caught."""
    told = replace(event(1, "cpu_saturation"), service="host", seam="host", detail="1.97 of 2 cores busy")
    caught = replace(event(2, "latency_spike"), observed="shop.py:7 in quote", detail="not shown")
    shown = "\n".join(lines(judged(run_data(told, caught))))
    assert re.search(r"cpu_saturation-1 +host +host +40 +4 +1\.5s +1\.97 of 2 cores busy", shown)
    assert re.search(
        r"latency_spike-2 +odds_provider +calls +40 +4 +1\.5s +caught in shop\.py:7 in quote", shown
    )
    assert "not shown" not in shown


def test_a_long_list_of_what_had_no_room_is_counted_by_scenario() -> None:
    """The terminal counts, report.json has each."""
    many = [
        replace(NO_ROOM, scenario=scenario, service=f"service-{number}")
        for scenario, count in (("latency_spike", 4), ("network_partition", 1))
        for number in range(count)
    ]
    few = judged(run_data(*many))
    assert any("latency_spike on service-0, latency_spike on service-1" in line for line in lines(few))
    report = judged(run_data(*many, replace(NO_ROOM, service="one more")))
    shown = " ".join(" ".join(lines(report)).split())
    assert "- latency_spike on 5 targets, network_partition on 1 target: no room. A longer soak." in shown
    assert report.not_run[-6:] == (*many, replace(NO_ROOM, service="one more"))
