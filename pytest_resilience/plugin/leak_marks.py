"""The marker `leak_limit`: loops one test, and fails it if it leaves behind more than it may."""

from collections.abc import Generator, Mapping, Sequence

import pytest

from pytest_resilience.errors import ResilienceError
from pytest_resilience.memory.leak_check import LeakCheck, LoopReading, read_loop
from pytest_resilience.memory.leak_limit import LeakLimit, leak_limit
from pytest_resilience.memory.signals import Signals, open_signals
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.suite import Sibling, text_of

NAME = "leak_limit"
EXAMPLE = '@pytest.mark.leak_limit("1 KiB per iteration", iterations=200)'
COMPLAINT = pytest.StashKey[str]()


def leak_mistake(item: pytest.Item) -> str:
    """Say what is wrong with the marker of a test, or return an empty string."""
    marker = item.get_closest_marker(NAME)
    if marker is None:
        return ""
    try:
        _limit_of(marker)
    except ResilienceError as wrong:
        return f"@pytest.mark.{NAME}: {wrong}"
    except TypeError as wrong:
        return f"@pytest.mark.{NAME} is wrong ({wrong}). Write {EXAMPLE}."
    return ""


def _limit_of(marker: pytest.Mark) -> LeakLimit:
    return leak_limit(*marker.args, **marker.kwargs)


class LeakLoops:
    """Loops the marked tests before they run as usual; what is found fails that last run.

    So a test has one report, with its fixtures, its captured output and its other marks.
    """

    PLUGIN = "resilience-leak-loops"

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._items = {item.nodeid for item in items}
        self._wide_fixtures: dict[int, object] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: "pytest.FixtureDef[object]") -> None:
        """Remember what outlives an iteration."""
        if fixturedef.scope != "function":
            self._wide_fixtures[id(fixturedef)] = fixturedef

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Loop the test, and let pytest run it once more."""
        marker = item.get_closest_marker(NAME)
        if item.nodeid not in self._items or marker is None or item.config.option.setuponly:
            return
        iterations = _Iterations(item, self._wide_fixtures)
        signals = open_signals()
        try:
            check = LeakCheck(_limit_of(marker), lambda: _read(iterations, signals))
            with private.passed_tmp_paths_removed(item.config), private.quiet_hooks(item.session):
                complaint = check.run(iterations.run)
        finally:
            signals.close()
        found = iterations.failure or (complaint.text if complaint else "")
        if found:
            item.stash[COMPLAINT] = found

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        result = yield
        if complaint := item.stash.get(COMPLAINT, ""):
            pytest.fail(complaint, pytrace=False)
        return result


def _read(iterations: "_Iterations", signals: Signals) -> LoopReading:
    iterations.settle()
    return read_loop(signals)


class _Iterations:
    """Runs a test again and again without its reports; `failure` says why that ended early."""

    def __init__(self, item: pytest.Item, wide_fixtures: Mapping[int, object]) -> None:
        assert item.parent is not None
        self.failure = ""
        self._item, self._wide_fixtures = item, wide_fixtures
        self._next = Sibling.from_parent(item.parent, name="next iteration")
        self._count = 0

    def run(self) -> bool:
        """Run setup, body and teardown once; tell whether the test passed."""
        self._count += 1
        reports = private.run_protocol(self._item, self._next)
        private.forget_run(self._item)
        failed = next((report for report in reports if report.failed), None)
        if failed is not None:
            self.failure = f"failed when repeated, in iteration {self._count}:\n{text_of(failed)}"
        session = self._item.session
        passed = all(one.passed or private.is_of_subtest(one) for one in reports)
        return passed and not (failed or session.shouldstop or session.shouldfail)

    def settle(self) -> None:
        """Drop what pytest keeps of each iteration, or it would be the leak."""
        private.forget_finished_fixtures(self._item.session, self._wide_fixtures.values())
        private.forget_repeated_warnings(self._item.config)
