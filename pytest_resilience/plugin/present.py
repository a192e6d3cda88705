"""The report of a run in all its forms: as test reports, in JUnit XML, as a file and in the terminal."""

from collections.abc import Mapping

import pytest

from pytest_resilience.errors import StoreError
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.verdict_reports import Locations, end_of, verdict_reports
from pytest_resilience.report import json_report, junit, terminal
from pytest_resilience.report.model import Report
from pytest_resilience.store.layout import RunFolder


class Presentation:
    """Presents `report`; that its file cannot be written is told in the terminal, and stops nothing else."""

    def __init__(self, report: Report, folder: RunFolder) -> None:
        self._report, self._folder = report, folder
        self._unwritten, self._shown = "", False

    def tell(self, session: pytest.Session, locations: Locations, broken: Mapping[str, str]) -> None:
        """Write the file, and tell pytest of each test, each criterion, the result and what is `broken`."""
        config = session.config
        try:
            json_report.write(self._report, self._folder.report_json)
        except StoreError as reason:
            self._unwritten = str(reason)
        for name, value in junit.properties(self._report):
            private.add_junit_property(config, name, value)
        reports = list(verdict_reports(self._report, locations, broken))
        session.testscollected = len(reports)  # pytest's progress counts these, not the items
        for report in reports:
            config.hook.pytest_runtest_logreport(report=report)
            config.hook.pytest_runtest_logreport(report=end_of(report))

    def show(self, reporter: "pytest.TerminalReporter") -> None:
        """Write the section of the terminal, once."""
        if self._shown:
            return
        self._shown = True
        reporter.write_sep("=", "resilience")
        for line in terminal.lines(self._report):
            reporter.write_line(line)
        reporter.write_line(self._unwritten or f"Report: {self._folder.report_json}")
