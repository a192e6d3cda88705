"""The soak tests of a pytest session, run through pytest's own protocol but without piling up reports."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.declare import declare
from pytest_resilience.settings import Settings
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.world import World
from pytest_resilience.units import counted

SWEEP_ITERATIONS = 200
KEPT_TMP_PATHS = 3
KIND = re.compile(r"[\w.]+(?=:|$)", re.MULTILINE)  # pytest leaves it out before a plain assert


class StandIn(pytest.Item):
    """An item that stands in no file; a skip by a mark above it must have a place all the same."""

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


class Sibling(StandIn):
    """Stands in for a test that follows itself, so that its function fixtures are torn down in between."""

    def runtest(self) -> None:
        raise AssertionError("a stand-in is never run")


class Empty(StandIn):
    """An iteration without a test: what it leaves behind is pytest's and the plugins' own."""

    def runtest(self) -> None:
        """Do nothing."""


class SessionEnds(KeyboardInterrupt):
    """A test, or another plugin, wants the session to end: pytest lets it through as it does a Ctrl-C."""


class QuietProtocol:
    """Runs an item through all of pytest's hooks; the reports stay here."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []
        self.wide_fixtures: dict[int, object] = {}
        self._failures: Counter[str] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: "pytest.FixtureDef[object]") -> None:
        """Remember what outlives an iteration."""
        if fixturedef.scope != "function":
            self.wide_fixtures[id(fixturedef)] = fixturedef

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        self.reports = private.run_protocol(item, nextitem)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Keep the tmp_path of the first failures of a test only; let no world be torn down under a fault.

        When the session is to end, pytest would tear down everything with this test: as after an interrupt,
        `close` does that, once the faults are gone.
        """
        if ending := item.session.shouldstop or item.session.shouldfail:
            raise SessionEnds(ending)
        if private.failed_in_call(item):
            self._failures[item.nodeid] += 1
            if self._failures[item.nodeid] > KEPT_TMP_PATHS:
                private.let_go_of_tmp_path(item)


class PytestSuite:
    """The selected items of `session`, as the runner's suite."""

    def __init__(self, session: pytest.Session, settings: Settings) -> None:
        self._session, self._settings = session, settings
        self._items: Mapping[str, pytest.Item] = {item.nodeid: item for item in session.items}
        self._siblings: dict[str, pytest.Item] = {}
        self._empty: Empty | None = None
        self._protocol = QuietProtocol()
        self._iterations = 0
        self._current: pytest.Item | None = None
        self.failures: Callable[[], int] = lambda: 0
        session.config.pluginmanager.register(self._protocol, "resilience-quiet-protocol")
        private.remove_passed_tmp_paths(session.config)
        private.stop_reseeding(session.config)

    @property
    def tests(self) -> Sequence[str]:
        return tuple(self._items)

    def declare(self) -> World:
        """Set up what the suite declares; raise ResilienceError if it is wrong."""
        return declare(self._session.items, self._session.config, self._run_item)

    def run(self, test: str, following: str) -> Outcome:
        reports: Sequence[pytest.TestReport] = ()
        self._current = self._items[test]
        with suppress(SessionEnds):
            reports = self._run_item(self._items[test], self._next(test, following))
        self._sweep()
        self._obey_session()
        return judge(reports)

    def run_empty(self, following: str) -> None:
        """Run an item that does nothing through pytest's protocol; what is set up for `following` stays."""
        if self._empty is None:
            parent = self._items[following].parent
            assert parent is not None
            self._empty = Empty.from_parent(parent, name="resilience calibration")
        with suppress(SessionEnds):
            self._run_item(self._empty, self._items[following])
        self._sweep()
        self._obey_session()

    def _sweep(self) -> None:
        """Count an iteration, and now and then let pytest forget what it keeps of many."""
        self._iterations += 1
        if self._iterations % SWEEP_ITERATIONS == 0:
            private.forget_finished_fixtures(self._session, self._protocol.wide_fixtures.values())
            private.forget_repeated_warnings(self._session.config)

    def _obey_session(self) -> None:
        """End the soak as pytest's own loop would, where another plugin asked for it."""
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def obey_maxfail(self) -> None:
        """End the soak as -x and --maxfail ask for; `failures` counts those outside faults."""
        most = self._session.config.option.maxfail
        if most and (failures := self.failures()) >= most:
            self._session.shouldfail = enough_failures(failures)
            self._obey_session()

    def cancel_timeout(self) -> None:
        """Stop pytest-timeout's clock of the last test, which an interruption may have left running."""
        cancel = getattr(self._session.config.hook, "pytest_timeout_cancel_timer", None)
        if cancel is not None and self._current is not None:
            cancel(item=self._current)

    def close(self) -> None:
        """Tear down what is still set up; raise what that raises."""
        private.tear_down_session(self._session)

    def _run_item(self, item: pytest.Item, nextitem: pytest.Item) -> list[pytest.TestReport]:
        item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        private.forget_run(item)
        reports, self._protocol.reports = self._protocol.reports, []
        return reports

    def _next(self, test: str, following: str) -> pytest.Item:
        if test != following:
            return self._items[following]
        if test not in self._siblings:
            parent = self._items[test].parent
            assert parent is not None
            self._siblings[test] = Sibling.from_parent(parent, name="next iteration")
        return self._siblings[test]


def enough_failures(failures: int) -> str:
    """Say why -x or --maxfail ends a soak."""
    return f"stopping after {counted(failures, 'failure')} outside faults"


def judge(reports: Sequence[pytest.TestReport]) -> Outcome:
    """Reduce the reports of one run to its outcome."""
    seconds = next((report.duration for report in reports if report.when == "call"), 0.0)
    failed = next((report for report in reports if report.failed), None)
    if failed is not None:
        return Outcome(Status.FAILED, seconds, failed.when, crash_of(failed), lambda: text_of(failed))
    skipped = any(map(is_skip, reports))
    return Outcome(Status.SKIPPED if skipped else Status.PASSED, seconds)


def is_skip(report: pytest.TestReport) -> bool:
    """Tell whether a test was skipped, and not only a part of it, or failed as it was expected to."""
    return report.skipped and not hasattr(report, "wasxfail") and not private.is_of_subtest(report)


def text_of(report: pytest.TestReport) -> str:
    """Return what pytest shows of a failure, below the name of the subtest if it is one."""
    heading = f"{report.head_line}:\n" if private.is_of_subtest(report) else ""
    return f"{heading}{report.longreprtext}"


def crash_of(report: pytest.TestReport) -> str:
    """Return where and with what a test failed: `shop.py:12: ValueError`, and which subtest: `(game=3)`."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.longreprtext.strip().rpartition("\n")[2]
    kind, place = KIND.match(crash.message), private.shown_place(report.longrepr) or crash
    what = f"{place.path}:{place.lineno}: {kind[0] if kind else 'AssertionError'}"
    return f"{what}{private.subtest_label(report)}"
