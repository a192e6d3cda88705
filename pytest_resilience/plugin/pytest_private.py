"""Every private name of pytest that the plugin uses, and nothing else.

A loop in one session is something that pytest does not plan for: what pytest keeps per run of an item must be
dropped after each iteration, or the loop itself would be the leak.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from types import FrameType
from typing import Any

import _pytest.logging
import pytest
from _pytest.junitxml import xml_key
from _pytest.runner import runtestprotocol
from _pytest.tmpdir import tmppath_result_key

try:
    from _pytest import subtests
except ImportError:  # before pytest 9
    subtests = None  # type: ignore[assignment]

KEPT_WARNINGS = 10
OF_SUBTESTS = pytest.StashKey[list[pytest.TestReport]]()
FAILED_SUBTESTS: Any = getattr(subtests, "failed_subtests_key", pytest.StashKey[Any]())


def run_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run setup, call and teardown once, with all hooks but without logging the reports.

    Within `quiet_hooks` those of subtests, which pytest would log at once, stand behind the others: see
    `is_of_subtest`.
    """
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    of_subtests = item.config.stash.get(OF_SUBTESTS, [])
    reports += of_subtests
    of_subtests.clear()
    item.config.stash.get(FAILED_SUBTESTS, {}).clear()
    return reports


def is_of_subtest(report: pytest.TestReport) -> bool:
    """Tell whether a report is of a subtest, whose failure leaves that of its test as it is."""
    return hasattr(report, "context")


def subtest_label(report: pytest.TestReport) -> str:
    """Return what tells a subtest from the others of its test, ` [message] (game=3)`; empty if it is none."""
    return f" {report._sub_test_description()}" if is_of_subtest(report) else ""


def shown_place(longrepr: Any) -> Any:
    """Return the last place that pytest shows of a failure: not unittest's own, where its asserts raise."""
    entries = getattr(getattr(longrepr, "reprtraceback", None), "reprentries", None)
    return getattr(entries[-1], "reprfileloc", None) if entries else None


@contextmanager
def quiet_hooks(session: pytest.Session) -> Iterator[None]:
    """Keep what subtests report for `run_protocol`, and the hooks of a file, which are the same in a loop."""
    usual, kept = session.gethookproxy, session.config.stash.setdefault(OF_SUBTESTS, [])
    try:
        quiet: Any = cache(lambda path: _QuietHooks(usual(path), kept))
        session.gethookproxy = quiet  # type: ignore[method-assign]
        yield
    finally:
        vars(session).pop("gethookproxy", None)
        del session.config.stash[OF_SUBTESTS]


class _QuietHooks:
    """Stands in for the hooks of a file's items, but for the one by which subtests log their reports."""

    def __init__(self, hooks: Any, kept: list[pytest.TestReport]) -> None:
        self._hooks, self._kept = hooks, kept

    def __getattr__(self, name: str) -> Any:
        hook = self.__dict__[name] = getattr(self._hooks, name)
        return hook

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._kept.append(report)


def is_inside_stage(frame: FrameType | None) -> bool:
    """Tell whether what is raised in a frame fails a stage of a test (setup, call, teardown), and no more."""
    stage = pytest.CallInfo.from_call.__func__.__code__  # type: ignore[attr-defined]
    given = None
    while frame is not None:
        if frame.f_code is stage:
            return given is not None and given.f_code.co_name == "<lambda>"
        given, frame = frame, frame.f_back
    return False


@contextmanager
def loop_shortcuts(session: pytest.Session) -> Iterator[None]:
    """Leave out what pytest does anew for each phase of each test, though it stays the same in a loop."""
    keeper = _LogKeeper()
    with ExitStack() as undo:
        undo.enter_context(quiet_hooks(session))
        undo.callback(keeper.restore)
        _pytest.logging.catching_logs = keeper  # type: ignore[misc, assignment]
        yield


class _LogKeeper:
    """Stands in for pytest's `catching_logs`: leaves its handlers attached between the phases."""

    def __init__(self) -> None:
        self._catching = _pytest.logging.catching_logs
        self._kept: dict[logging.Handler, _KeptHandler] = {}

    def __call__(self, handler: logging.Handler, level: int | None = None) -> Any:
        if level is not None:
            return self._catching(handler, level)
        if handler not in self._kept:
            self._kept[handler] = _KeptHandler(handler, self._catching(handler))
        return self._kept[handler]

    def restore(self) -> None:
        """Detach all handlers, and give pytest its own back."""
        _pytest.logging.catching_logs = self._catching  # type: ignore[misc]
        for kept in self._kept.values():
            kept.detach()


class _KeptHandler:
    """Attaches a handler once, and again when the tests have changed the logging set-up."""

    def __init__(self, handler: logging.Handler, catching: Any) -> None:
        self._handler, self._catching = handler, catching
        self._loggers = -1

    def __enter__(self) -> logging.Handler:
        root = logging.getLogger()
        loggers = len(root.manager.loggerDict)
        if loggers != self._loggers or self._handler not in root.handlers:
            self.detach()
            self._catching.__enter__()
            self._loggers = loggers
        return self._handler

    def __exit__(self, *error: object) -> None:
        """Leave the handler where it is."""

    def detach(self) -> None:
        self._catching.__exit__(None, None, None)


def tear_down_session(session: pytest.Session) -> None:
    """Tear down all that is set up; raise what the teardown raises."""
    session._setupstate.teardown_exact(None)


def forget_run(item: pytest.Item) -> None:
    """Drop what the item collected while it ran (captured output, user properties)."""
    item._report_sections.clear()
    item.user_properties.clear()


def forget_finished_fixtures(session: pytest.Session, wide_fixtures: Iterable[Any]) -> None:
    """Drop the finalizers that finished fixtures left on what outlives them: wider fixtures and nodes."""
    lists = [fixture._finalizers for fixture in wide_fixtures]
    lists += [finalizers for finalizers, _ in session._setupstate.stack.values()]
    for finalizers in lists:
        finalizers[:] = _needed_finalizers(finalizers)


def _needed_finalizers(finalizers: list[Any]) -> list[Any]:
    """Keep order; of those that finish a fixture keep only the newest, and only if it is still set up."""
    newest: dict[int, Any] = {}
    for finalizer in finalizers:
        newest.pop(_finished_by(finalizer), None)
        newest[_finished_by(finalizer)] = finalizer
    return [one for one in newest.values() if _is_needed(one)]


def _finished_by(finalizer: Any) -> int:
    owner = _owner(finalizer)
    return id(finalizer if owner is None else owner)


def _is_needed(finalizer: Any) -> bool:
    owner = _owner(finalizer)
    return owner is None or owner.cached_result is not None


def _owner(finalizer: Any) -> Any:
    """Return the fixture definition that a finalizer of pytest's own finishes, or None."""
    if isinstance(finalizer, partial) and getattr(finalizer.func, "__name__", "") == "finish":
        return getattr(finalizer.func, "__self__", None)
    return None


def forget_repeated_warnings(config: pytest.Config) -> None:
    """Keep one of each warning (same place, same text) for the summary, and of texts that vary a few."""
    history = config.hook.pytest_warning_recorded._call_history
    if history:
        del history[KEPT_WARNINGS:]
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    warnings = reporter.stats.get("warnings") if reporter else None
    if warnings:
        warnings[:] = _different_warnings(warnings)


def _different_warnings(warnings: list[Any]) -> Iterator[Any]:
    """Yield, in order, the first of each place and text, at most KEPT_WARNINGS of a place."""
    texts: dict[object, set[str]] = {}
    for warning in warnings:
        known = texts.setdefault(warning.fslocation, set())
        if warning.message not in known and len(known) < KEPT_WARNINGS:
            known.add(warning.message)
            yield warning


def remove_passed_tmp_paths(config: pytest.Config) -> None:
    """Let pytest remove the tmp_path of each iteration that passes."""
    factory: Any = getattr(config, "_tmp_path_factory", None)
    if factory is not None and factory._retention_policy == "all":
        factory._retention_policy = "failed"


@contextmanager
def passed_tmp_paths_removed(config: pytest.Config) -> Iterator[None]:
    """Let pytest remove the tmp_path of each iteration that passes, while the block lasts."""
    factory: Any = getattr(config, "_tmp_path_factory", None)
    policy = getattr(factory, "_retention_policy", None)
    remove_passed_tmp_paths(config)
    try:
        yield
    finally:
        if factory is not None:
            factory._retention_policy = policy


def failed_in_call(item: pytest.Item) -> bool:
    """Tell, during teardown, whether the test's body failed."""
    return item.stash.get(tmppath_result_key, {}).get("call") is False


def let_go_of_tmp_path(item: pytest.Item) -> None:
    """Let pytest remove the tmp_path of an iteration that failed."""
    item.stash[tmppath_result_key]["call"] = True


def stop_reseeding(config: pytest.Config) -> None:
    """Keep pytest-randomly from giving every iteration the same random numbers."""
    if getattr(config.option, "randomly_reset_seed", None):
        config.option.randomly_reset_seed = False


def unknown_ini_names(config: pytest.Config) -> set[str]:
    """Return the ini names that are set, though no plugin and no conftest declares them."""
    parser: Any = config._parser
    declared = parser._inidict.keys() | getattr(parser, "_ini_aliases", {}).keys()
    given = {text.partition("=")[0] for text in config.getoption("override_ini") or ()}
    return {*config._get_unknown_ini_keys(), *(given - declared)}  # pytest 8 keeps those of -o apart


def add_junit_property(config: pytest.Config, name: str, value: str) -> None:
    """Add a property of the whole suite to the JUnit XML file, if one is written."""
    xml = config.stash.get(xml_key, None)
    if xml is not None:
        xml.add_global_property(name, value)
