"""The result of a soak as ordinary test reports: in the terminal, in JUnit XML, in the exit code."""

import traceback
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import pytest

from pytest_resilience.report.model import CriterionRow, Report, TestRow, to_survive
from pytest_resilience.units import counted

PREFIX = "resilience"
INCONCLUSIVE, UNMET, WARNING = "inconclusive", "unmet", "warning"

Location: TypeAlias = tuple[str, int | None, str]
"""A test's file, its line (from 0) and its name, as pytest.Item.location has them."""

Locations: TypeAlias = Mapping[str, Location]
"""By the id of a test."""


def broken_texts(errors: Mapping[str, BaseException | None]) -> Mapping[str, str]:
    """Return, by the name of what raised, what it raised: a verdict in the first line, then where."""
    return {
        name: f"{traceback.format_exception_only(error)[-1]}{''.join(traceback.format_exception(error))}"
        for name, error in errors.items()
        if error is not None
    }


def verdict_reports(
    report: Report, locations: Locations, broken: Mapping[str, str]
) -> Iterator[pytest.TestReport]:
    """Yield a report for each soak test, each criterion, the overall result, and what of the user's `broken`.

    `locations` has the tests, as far as they were collected. `broken` maps the name of what raised (the
    teardown, a hook) to the text of what it raised.
    """
    for row in report.tests:
        yield _test(row, locations.get(row.test) or _location(row.test), report)
    for criterion in report.criteria:
        yield _criterion(criterion, report.status)
    yield _overall(report)
    for name, text in broken.items():
        yield _report(f"{PREFIX}::{name}", (PREFIX, None, name), "failed", f"{name} failed: {text}")


def _test(row: TestRow, location: Location, report: Report) -> pytest.TestReport:
    outside = row.failures - row.failures_in_faults
    if outside:
        first = next(one for one in report.failures if one.test == row.test and not one.event_id)
        count = f"{outside:,} of {counted(row.iterations, 'iteration')} failed outside faults"
        text = f"{count}, first in {first.phase}:\n{first.text}"
        return _report(row.test, location, "failed", text, seconds=row.seconds)
    if row.failures_to_survive:
        return _not_survived(row, location, report)
    if row.skipped == row.iterations:
        skip = (location[0], location[1] or 0, "skipped in every iteration")
        return _report(row.test, location, "skipped", skip)
    return _report(row.test, location, "passed", seconds=row.seconds)


def _location(test: str) -> Location:
    """Return what the id of a test says about its place."""
    path, _, name = test.partition("::")
    return path, None, name.replace("::", ".")


def _not_survived(row: TestRow, location: Location, report: Report) -> pytest.TestReport:
    first = next(one for one in report.failures if one.test == row.test and to_survive(one, report))
    count = f"{row.failures_to_survive:,} of {counted(row.iterations, 'iteration')}"
    why = f"failed under faults that it must survive, first under {first.event_id}"
    text = f"{count} {why}:\n{first.text}"
    return _report(row.test, location, "failed", text, seconds=row.seconds)


def _criterion(row: CriterionRow, status: str) -> pytest.TestReport:
    name = f"{PREFIX}::{row.criterion}"
    location = (PREFIX, None, row.criterion)
    if row.verdict == "not_applicable":
        return _report(name, location, "skipped", (PREFIX, 0, f"not applicable: {row.detail}"), row.verdict)
    if row.verdict == INCONCLUSIVE and status == "aborted":  # why is told once, by the overall result
        return _report(name, location, "skipped", (PREFIX, 0, "not judged: the run was aborted"))
    if row.verdict in (UNMET, INCONCLUSIVE):
        text = f"{row.criterion} {row.limit} is {row.verdict}: {row.detail}"
        return _report(name, location, "failed", text, row.verdict)
    return _report(name, location, "passed", verdict=row.verdict)


def _overall(report: Report) -> pytest.TestReport:
    name, location = f"{PREFIX}::overall_result", (PREFIX, None, "overall_result")
    if report.overall_result == "PASSED":
        return _report(name, location, "passed")
    why = f": {report.reason}" if report.reason else ""
    return _report(name, location, "failed", f"the soak ended {report.overall_result}{why}")


def _report(
    nodeid: str,
    location: tuple[str, int | None, str],
    outcome: str,
    longrepr: str | tuple[str, int, str] | None = None,
    verdict: str = "",
    seconds: float = 0.0,
) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=nodeid,
        location=location,
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=longrepr,
        when="call",
        duration=seconds,
        resilience_verdict=verdict,
    )


def end_of(report: pytest.TestReport) -> pytest.TestReport:
    """Return the teardown that belongs to a report: pytest-html shows a test only when that is there."""
    return pytest.TestReport(report.nodeid, report.location, {}, "passed", None, "teardown")


def status_of(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Return how pytest shows a criterion that is neither plainly met nor unmet."""
    verdict = getattr(report, "resilience_verdict", "")
    if verdict == INCONCLUSIVE:
        return "failed", "I", "INCONCLUSIVE"
    if verdict == WARNING:
        return "passed", "W", "WARNING"
    return None
