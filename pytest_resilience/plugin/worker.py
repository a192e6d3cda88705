"""The soak in a worker of pytest-xdist: loops the tests as the controller says, in place of xdist's loop."""

import json
import platform
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.allure import allure_paused
from pytest_resilience.plugin.declare import DeclarationFailed
from pytest_resilience.plugin.hangs import HangRescue
from pytest_resilience.plugin.select import NO_SOAK_TESTS, select
from pytest_resilience.plugin.stack_dump import offer_stacks
from pytest_resilience.plugin.suite import PytestSuite
from pytest_resilience.plugin.worker_signals import WorkerSignals
from pytest_resilience.plugin.xdist_role import CHANNEL, workerinput
from pytest_resilience.settings import Settings
from pytest_resilience.soak import messages
from pytest_resilience.soak.worker_run import Dismissed, WorkerRun
from pytest_resilience.soak.world import World
from pytest_resilience.workers import machine_id, own_pid


class WorkerPlugin:
    """Registered in a worker in place of SoakPlugin; tells the controller all that the user must see."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config, self._settings = config, settings
        given = workerinput(config)
        number = int("".join(filter(str.isdigit, given["workerid"])) or 0)
        share = 1 / max(1, int(given["workercount"]))
        run = self._run = WorkerRun(given[CHANNEL], settings, SystemClock(), number, share)
        self._signals = WorkerSignals(lambda: run.pulse.interrupting, lambda: run.told_to_end)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        select(self._config, self._settings, items)
        if not items and not session.testsfailed:
            self._tell(messages.USAGE, NO_SOAK_TESTS)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Soak until the controller ends it; what ends it before is told, and this process ends quietly."""
        with self._signals.handled():
            try:
                self._soak(session)
            finally:
                self._run.pulse.finish()
                self._run.end.close()
        return True

    def _soak(self, session: pytest.Session) -> None:
        if session.testsfailed and not self._config.option.continue_on_collection_errors:
            self._tell(messages.COLLECTION, f"{session.testsfailed} errors during collection")
        elif session.items:
            with suppress(Dismissed):
                self._join(session)

    def _join(self, session: pytest.Session) -> None:
        tests = self._run.join(_joined(session))
        if tests is not None:
            kept = frozenset(tests)
            session.items[:] = [item for item in session.items if item.nodeid in kept]
        if not session.items:
            self._run.stand_by()
        suite = PytestSuite(session, self._settings)
        world = self._declare(suite)
        if world is None:
            return
        try:
            self._loop(session, suite, world)
        finally:
            self._tear_down(suite)

    def _declare(self, suite: PytestSuite) -> World | None:
        try:
            return suite.declare()
        except ResilienceError as wrong:
            self._tell(messages.USAGE, str(wrong))
        except DeclarationFailed as failed:
            report = self._config.hook.pytest_report_to_serializable(
                config=self._config, report=failed.report
            )
            self._tell(messages.DECLARATION, json.dumps(report, default=str))
        return None

    def _loop(self, session: pytest.Session, suite: PytestSuite, world: World) -> None:
        try:
            with (
                private.loop_shortcuts(session),
                allure_paused(self._config),
                offer_stacks(),
                self._rescue() as rescue,
            ):
                self._run.loop(suite, world, rescue)
        except pytest.exit.Exception as end:
            self._tell(messages.EXIT, end.msg, -1 if end.returncode is None else end.returncode)
        except session.Failed as end:
            self._tell(messages.FAILED, str(end))
        except KeyboardInterrupt as end:
            if not self._run.pulse.interrupting:
                self._tell(messages.INTERRUPTED, str(end))
        except ResilienceError as broken:
            self._tell(messages.BROKEN, str(broken))

    @contextmanager
    def _rescue(self) -> Iterator[HangRescue]:
        rescue = HangRescue("the worker is replaced", self._run.give_up)
        self._config.pluginmanager.register(rescue, "resilience-hang-rescue")
        rescue.start()
        try:
            yield rescue
        finally:
            rescue.stop()

    def _tear_down(self, suite: PytestSuite) -> None:
        try:
            suite.close()
        except Exception as error:
            self._tell(messages.TEARDOWN, "".join(traceback.format_exception(error)))
        self._tell(messages.DONE)

    def _tell(self, how: str, text: str = "", code: int = 0) -> None:
        self._run.end.send(messages.Ended(how, text, code))


def _joined(session: pytest.Session) -> messages.Joined:
    locations = tuple((str(item.location[0]), item.location[1], item.location[2]) for item in session.items)
    tests = tuple(item.nodeid for item in session.items)
    marks = tuple(map(_mark, session.items))
    return messages.Joined(tests, locations, marks, machine_id(), own_pid(), platform.python_version())


def _mark(item: pytest.Item) -> str:
    """Return the groups of a test, as pytest-xdist joins them."""
    names = {
        str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
        for mark in item.iter_markers("xdist_group")
    }
    return "_".join(sorted(names))
