"""The report as (name, value) pairs for the properties of a JUnit XML file."""

from collections.abc import Iterator

from pytest_resilience.report.model import Report


def properties(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what identifies the run, then the status and the seconds of each phase."""
    yield "resilience.test_id", report.test_id
    yield "resilience.overall_result", report.overall_result
    yield "resilience.seed", str(report.seed)
    for phase in report.phases:
        yield f"phase.{phase.name}.status", phase.status
        if phase.seconds is not None:
            yield f"phase.{phase.name}.seconds", f"{phase.seconds:.3f}"
