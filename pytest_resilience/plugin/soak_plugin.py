"""The soak as a pytest plugin: registered only when a soak was asked for."""

import secrets
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import pytest

from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ResilienceError, RunChangedError
from pytest_resilience.option_values import AUTO
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.allure import allure_paused
from pytest_resilience.plugin.declare import DeclarationFailed
from pytest_resilience.plugin.ending import Ending
from pytest_resilience.plugin.hangs import HangRescue, finish_session, leave_after, show_output
from pytest_resilience.plugin.live import Console
from pytest_resilience.plugin.news import EVENT_HOOK, HookNews
from pytest_resilience.plugin.options import SETTINGS
from pytest_resilience.plugin.present import Presentation
from pytest_resilience.plugin.resumption import OPTION, Course, course_of
from pytest_resilience.plugin.select import NO_SOAK_TESTS, select
from pytest_resilience.plugin.signals import Interruptions
from pytest_resilience.plugin.suite import PytestSuite
from pytest_resilience.plugin.verdict_reports import Locations, broken_texts, status_of
from pytest_resilience.plugin.xdist_role import asked_workers, is_distributed, workerinput
from pytest_resilience.report import model
from pytest_resilience.report.plan import Plan, absent_subjects
from pytest_resilience.report.plan import lines as plan_lines
from pytest_resilience.settings import Settings
from pytest_resilience.soak.candidates import candidates
from pytest_resilience.soak.criteria import limits_of
from pytest_resilience.soak.led_run import LedRun
from pytest_resilience.soak.phases import divide, parse_budgets
from pytest_resilience.soak.run import SoakRun
from pytest_resilience.soak.run_setup import RunSetup
from pytest_resilience.soak.world import World
from pytest_resilience.store.layout import RunFolder, create_folder, new_test_id
from pytest_resilience.store.records import Hang
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_duration

PLAN_UNSEEN = "--soak-plan writes to the terminal, which -p no:terminal switches off. Give one of them."


Run = TypeVar("Run", bound=LedRun)


def activate(config: pytest.Config, asked: Settings) -> None:
    """Check what can be checked now, and register the plugin; raise UsageError (exit code 4)."""
    try:
        course = course_of(config, asked)
        limits_of(course.settings)
        divide(course.settings.duration_seconds or 0.0, parse_budgets(course.settings.phase_lines))
    except ResilienceError as wrong:
        raise pytest.UsageError(str(wrong)) from None
    config.stash[SETTINGS] = course.settings
    config.pluginmanager.register(_plugin(config, course), "resilience-soak")


def _plugin(config: pytest.Config, course: Course) -> object:
    """Return what this process has to do with the soak: all of it, or its leading or its looping half."""
    if workerinput(config):
        from pytest_resilience.plugin.worker import WorkerPlugin

        return WorkerPlugin(config, course.settings)
    workers = asked_workers(config)
    if is_distributed(config, course.settings):
        from pytest_resilience.plugin.controller import ControllerPlugin

        return ControllerPlugin(config, course)
    return SoakPlugin(config, course, workers)


class SoakPlugin:
    """Selects the soak tests, runs the soak in place of pytest's loop, and reports its result.

    `workers` is how many processes the run would have that is only planned here.
    """

    def __init__(self, config: pytest.Config, course: Course, workers: int = 0) -> None:
        self._config, self._course, self._settings = config, course, course.settings
        self._workers = workers
        self._presentation: Presentation | None = None
        self._signals = Interruptions()
        self._ending: Ending | None = None

    def pytest_report_header(self) -> str:
        duration = format_duration(self._settings.duration_seconds or 0.0)
        seed, intensity = self._settings.seed, self._settings.intensity
        soak = f"resilience: soak of {duration}, seed {seed}, intensity {intensity}"
        if (resumed := self._course.resumed) is None:
            return soak
        return f"{soak}, resumes {resumed.test_id} at {format_duration(resumed.elapsed)}"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        select(self._config, self._settings, items)
        if not items and not session.testsfailed:
            raise pytest.UsageError(NO_SOAK_TESTS)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run the soak, unless pytest's own loop has something to say or was asked to run no test."""
        option = self._config.option
        broken = session.testsfailed and not option.continue_on_collection_errors
        if broken or option.collectonly or getattr(option, "setuponly", False):
            return None
        self._config.add_cleanup(self._signals.stop)
        self._signals.start()
        try:
            self._declare_and_soak(session)
        except KeyboardInterrupt as stop:
            if self._signals.raised:  # it may have struck where there is no line, which pytest cannot show
                raise stop.with_traceback(None) from None
            raise
        return True

    def _declare_and_soak(self, session: pytest.Session) -> None:
        suite = PytestSuite(session, self._settings)
        world = self._declare(suite)
        if world is not None and self._settings.plan_only:
            self._show_plan(suite, world)
        elif world is not None:
            self._soak(session, suite, world)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return status_of(report)

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        if self._presentation is not None:
            self._presentation.show(terminalreporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Show the result also where pytest has no summary: after pytest.exit with a code of its own."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self._presentation is not None and not self._config.option.no_summary:
            self._presentation.show(reporter)

    def _declare(self, suite: PytestSuite) -> World | None:
        try:
            return suite.declare()
        except ResilienceError as wrong:
            raise pytest.UsageError(str(wrong)) from None
        except DeclarationFailed as failed:
            self._config.hook.pytest_runtest_logreport(report=failed.report)
            return None

    def _soak(self, session: pytest.Session, suite: PytestSuite, world: World) -> None:
        clock = SystemClock()
        console = Console(self._config, clock)
        news = HookNews(self._config.hook, console.say)

        def give_up(hang: Hang) -> None:
            leave_after(lambda: self._end_hung(session, soak, console, hang))

        rescue = HangRescue("the run ends", give_up)

        def between() -> None:
            console.tick()
            self._signals.insist()
            suite.obey_maxfail()

        def make(setup: RunSetup) -> SoakRun:
            return SoakRun(suite, world, setup, between=between, rescue=rescue)

        self._signals.hold()  # a run that has a folder gets a report
        soak = self._start(make, clock, console, news)
        console.look = soak.now
        suite.failures = lambda: 0 if soak.broken else soak.failures_outside
        self._config.pluginmanager.register(rescue, "resilience-hang-rescue")
        self._config.add_cleanup(rescue.stop)
        rescue.start()
        try:
            interruption = self._run(session, suite, soak, console, news)
        except ResilienceError as broken:
            pytest.exit(f"the soak cannot go on: {broken}", returncode=pytest.ExitCode.TESTS_FAILED)
        if interruption is not None:
            raise interruption

    def _run(
        self,
        session: pytest.Session,
        suite: PytestSuite,
        soak: SoakRun,
        console: Console,
        news: HookNews,
    ) -> BaseException | None:
        """Run the soak and report it; return what interrupted it."""
        ending = self._ending = Ending(
            soak,
            self._signals,
            console,
            partial(self._conclude, session, soak.folder, news),
            halt=(soak.halt, suite.cancel_timeout),
            tear_down=suite.close,
        )
        try:
            self._signals.listen()
            with private.loop_shortcuts(session), allure_paused(self._config):
                soak.loop()
        except (KeyboardInterrupt, pytest.exit.Exception, session.Failed) as stop:
            ending.interruption = stop
        except BaseException as defect:
            ending.interruption = defect
            raise
        finally:
            self._signals.hold()
        ending.run()
        return ending.wish()

    def _conclude(
        self,
        session: pytest.Session,
        folder: RunFolder,
        news: HookNews,
        data: RunData,
        broken: Mapping[str, BaseException],
    ) -> None:
        texts = broken_texts({**broken, EVENT_HOOK: news.error})
        self._present(session, folder, data, {**texts, **self._broken_elsewhere()})

    def _broken_elsewhere(self) -> Mapping[str, str]:
        """Return, by the name of what raised, what it raised in other processes."""
        return {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Whatever got past the end of the soak: first its faults go, then it is reported."""
        self._signals.free()
        while self._ending is not None and not self._ending.done:
            try:
                self._ending.run()
            except ResilienceError as broken:
                self._warn(f"the report of the soak is not complete: {broken}")

    def _warn(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"resilience: {text}")

    def _end_hung(self, session: pytest.Session, soak: SoakRun, console: Console, hang: Hang) -> None:
        """Report the soak while the tests' thread hangs; the process ends after it."""
        self._ending = None
        self._signals.hold()
        show_output(self._config)
        soak.end_hung(hang)
        console.end()
        soak.analyse()
        data, _ = soak.close(lambda: None)
        self._present(session, soak.folder, data, {})
        finish_session(session)

    def _start(self, make: Callable[[RunSetup], Run], clock: Clock, console: Console, news: HookNews) -> Run:
        """Begin a run, or go on with the chosen one; raise UsageError if that is impossible."""
        began = datetime.now(UTC)

        def made(folder: RunFolder, attempt: int) -> Run:
            settings, command = self._settings, self._command()
            return make(RunSetup(settings, folder, clock, began, command, console.say, news.tell, attempt))

        try:
            return self._resume_or_begin(made, began)
        except ResilienceError as wrong:
            raise pytest.UsageError(str(wrong)) from None

    def _resume_or_begin(self, made: Callable[[RunFolder, int], Run], began: datetime) -> Run:
        why_new, resumed = self._course.why_new, self._course.resumed
        if resumed is not None:
            try:
                return made(resumed.folder, resumed.attempt)
            except RunChangedError as changed:
                if self._settings.resume != AUTO:
                    raise
                why_new = changed.fact
        root = self._config.rootpath / self._settings.directory
        run = made(create_folder(root, new_test_id(began, secrets.token_hex(2))), 1)
        if why_new:
            run.note(f"{OPTION}={AUTO} found no run to go on with, so a new one begins: {why_new}")
        return run

    def _command(self) -> str:
        """Return the command that repeats this run, as a new one."""
        words = (str(argument) for argument in self._config.invocation_params.args)
        given = [word for word in words if not word.startswith(OPTION)]
        seed = f"--resilience-seed={self._settings.seed}"
        seeded = any(argument.startswith("--resilience-seed") for argument in given)
        return shlex.join(["pytest", *given, *([] if seeded else [seed])])

    def _present(
        self,
        session: pytest.Session,
        folder: RunFolder,
        data: RunData,
        broken: Mapping[str, str],
    ) -> None:
        self._presentation = Presentation(model.build(data), folder)
        self._config.option.maxfail = 0  # it counts failures of iterations, not of criteria
        self._presentation.tell(session, self._locations(session), broken)

    def _locations(self, session: pytest.Session) -> Locations:
        """Return the places of the tests."""
        return {item.nodeid: item.location for item in session.items}

    def _show_plan(self, suite: PytestSuite, world: World) -> None:
        settings = self._settings
        duration = settings.duration_seconds or 0.0
        plan = Plan(
            duration=duration,
            seed=settings.seed or 0,
            intensity=settings.intensity,
            tests=suite.tests,
            services=tuple(world.services.values()),
            breakers=tuple(world.breakers),
            candidates=tuple(candidates(world.services.values(), world.chaos.soaked)) if world.chaos else (),
            budgets=divide(duration, parse_budgets(settings.phase_lines)),
            limits=limits_of(settings),
            absent=absent_subjects(settings, world.services.values(), world.breakers, self._workers),
            workers=self._workers,
            marks=world.marks,
            settings=settings,
        )
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            raise pytest.UsageError(PLAN_UNSEEN)
        for line in plan_lines(plan):
            reporter.write_line(line)
