"""The result of a soak as pytest's reports: what passes, fails and is skipped, and how long it took."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from sample_runs import BET, QUOTE, RUN, failure, run_data, tally

from pytest_resilience.memory.records import Sample
from pytest_resilience.plugin.verdict_reports import status_of, verdict_reports
from pytest_resilience.report.model import build
from pytest_resilience.soak.criteria import judge
from pytest_resilience.store.records import Record

Reports = Mapping[str, pytest.TestReport]
WITHOUT_DATA = {"memory_growth_percent", "memory_leak_detected", "system_memory_percent"}


def reports_of(item: pytest.Item, *changes: Record) -> Reports:
    """Return the reports of a run that sampled no memory, by their names."""
    data = run_data(*changes, without=(Sample,))
    report = build(replace(data, verdicts=judge(data)))
    reports = verdict_reports(report, {QUOTE: item.location, BET: item.location}, {})
    return {one.nodeid.removeprefix("resilience::"): one for one in reports}


@pytest.fixture
def item(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Item:
    """A test of which the reports can be."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester.getitem("def test_func(): pass")


def outcomes(reports: Reports, outcome: str) -> set[str]:
    """Return the names of the reports with this outcome."""
    return {name for name, one in reports.items() if one.outcome == outcome}


def test_a_soak_test_took_as_long_as_all_its_iterations(item: pytest.Item) -> None:
    """Whether it passed or failed: JUnit shows where the time of the run went."""
    reports = reports_of(item, failure(BET, count=3), tally(BET, "MEMORY_SOAK_TESTING", failures=3))
    assert (reports[QUOTE].outcome, reports[BET].outcome) == ("passed", "failed")
    assert reports[BET].longreprtext.startswith("3 of 600 iterations failed outside faults, first in MEMORY")
    assert reports[QUOTE].duration == reports[BET].duration == pytest.approx(1.2)


def test_what_is_inconclusive_fails_a_complete_run(item: pytest.Item) -> None:
    """Nothing was shown, and it says so in its own word."""
    reports = reports_of(item)
    assert outcomes(reports, "failed") == {*WITHOUT_DATA, "overall_result"}
    assert status_of(reports["memory_growth_percent"]) == ("failed", "I", "INCONCLUSIVE")


def test_an_aborted_run_says_once_why(item: pytest.Item) -> None:
    """What could not be judged is skipped; what is unmet, and the result with the reason, fail."""
    aborted = replace(RUN, status="aborted", reason="test_bet fails at once")
    reports = reports_of(item, aborted, failure(BET, count=3))
    assert outcomes(reports, "failed") == {"failures_outside_faults", "overall_result"}
    assert reports["overall_result"].longrepr == "the soak ended FAILED: test_bet fails at once"
    skipped = reports["memory_growth_percent"]
    assert outcomes(reports, "skipped") == {*WITHOUT_DATA, "worker_crashes"}
    assert skipped.longrepr == ("resilience", 0, "not judged: the run was aborted")
    assert status_of(skipped) is None
