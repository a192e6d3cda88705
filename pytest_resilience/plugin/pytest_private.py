"""Every private name of pytest that the plugin uses, and nothing else.

A loop in one session is something that pytest does not plan for: what pytest keeps per run of an item must be
dropped after each iteration, or the loop itself would be the leak.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import pytest
from _pytest.junitxml import xml_key
from _pytest.runner import runtestprotocol
from _pytest.tmpdir import tmppath_result_key


def run_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run setup, call and teardown once, with all hooks but without logging the reports."""
    return runtestprotocol(item, log=False, nextitem=nextitem)


@contextmanager
def loop_shortcuts(session: pytest.Session) -> Iterator[None]:
    """Leave out what pytest does again and again for each phase of each test, with nothing lost.

    Inside, output stays captured between tests too: who writes to the terminal suspends the capture first.
    """
    manager: Any = session.config.pluginmanager.get_plugin("capturemanager")
    session.gethookproxy = cache(session.gethookproxy)  # type: ignore[method-assign]
    if manager is not None:
        manager.item_capture = partial(_capture, manager)
    try:
        yield
    finally:
        vars(session).pop("gethookproxy", None)
        if manager is not None:
            vars(manager).pop("item_capture", None)
            manager.suspend_global_capture()


@contextmanager
def _capture(manager: Any, when: str, item: pytest.Item) -> Iterator[None]:
    """Capture a phase of a test; redirecting the streams is half of pytest's own cost, so they stay redirected."""
    if not manager._global_capturing.is_started():
        manager.resume_global_capture()
    manager.activate_fixture()
    try:
        yield
    finally:
        manager.deactivate_fixture()
        output, errors = manager.read_global_capture()
        item.add_report_section(when, "stdout", output)
        item.add_report_section(when, "stderr", errors)


def tear_down_session(session: pytest.Session) -> None:
    """Tear down all that is set up; raise what the teardown raises."""
    session._setupstate.teardown_exact(None)


def forget_run(item: pytest.Item) -> None:
    """Drop what the item collected while it ran (captured output, user properties)."""
    item._report_sections.clear()
    item.user_properties.clear()


def forget_finished_fixtures(fixture: Any) -> None:
    """Drop the finalizers that finished fixtures left behind on a fixture that they depended on."""
    fixture._finalizers[:] = _needed_finalizers(fixture._finalizers)


def _needed_finalizers(finalizers: list[Any]) -> list[Any]:
    """Keep order; of those that finish a fixture keep only the newest, and only if it is still set up."""
    newest: dict[int, Any] = {}
    for finalizer in finalizers:
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
    """Keep one of each warning (same place, same text) for the summary."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    warnings = reporter.stats.get("warnings") if reporter else None
    if warnings:
        warnings[:] = {(one.fslocation, one.message): one for one in reversed(warnings)}.values()


def remove_passed_tmp_paths(config: pytest.Config) -> None:
    """Let pytest remove the tmp_path of each iteration that passes."""
    factory: Any = getattr(config, "_tmp_path_factory", None)
    if factory is not None and factory._retention_policy == "all":
        factory._retention_policy = "failed"


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


def add_junit_property(config: pytest.Config, name: str, value: str) -> None:
    """Add a property of the whole suite to the JUnit XML file, if one is written."""
    xml = config.stash.get(xml_key, None)
    if xml is not None:
        xml.add_global_property(name, value)
