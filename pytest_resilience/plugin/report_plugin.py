"""`--soak-report`: the reports of a run once more, from its record; nothing is collected or run."""

import pytest

from pytest_resilience.errors import ResilienceError
from pytest_resilience.plugin.present import Presentation
from pytest_resilience.plugin.runs import named_run
from pytest_resilience.plugin.verdict_reports import status_of
from pytest_resilience.report import model
from pytest_resilience.report.rebuild import judged
from pytest_resilience.settings import Settings


def activate_report(config: pytest.Config, settings: Settings) -> None:
    """Read the run, and register the plugin; raise UsageError (exit code 4)."""
    root = config.rootpath / settings.directory
    try:
        folder, data = named_run(root, "--soak-report", settings.report or "")
        report = model.build(judged(data))
    except ResilienceError as wrong:
        raise pytest.UsageError(str(wrong)) from None
    config.pluginmanager.register(ReportPlugin(Presentation(report, folder)), "resilience-report")


class ReportPlugin:
    """Stands in for collection and the tests."""

    def __init__(self, presentation: Presentation) -> None:
        self._presentation = presentation

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        session.items = []
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._presentation.tell(session, {}, {})
        return True

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return status_of(report)

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        self._presentation.show(terminalreporter)
