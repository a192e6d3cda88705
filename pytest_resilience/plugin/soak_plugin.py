"""The soak as a pytest plugin: registered only when a soak was asked for."""

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.allure import allure_paused
from pytest_resilience.plugin.declare import DeclarationFailed
from pytest_resilience.plugin.ending import Ending
from pytest_resilience.plugin.hangs import HangRescue, finish_session, leave_after, show_output
from pytest_resilience.plugin.live import Console
from pytest_resilience.plugin.news import EVENT_HOOK, HookNews
from pytest_resilience.plugin.options import SETTINGS, given
from pytest_resilience.plugin.present import Presentation
from pytest_resilience.plugin.runs import unfinished_run
from pytest_resilience.plugin.select import NO_SOAK_TESTS, select
from pytest_resilience.plugin.signals import Interruptions
from pytest_resilience.plugin.suite import PytestSuite
from pytest_resilience.plugin.verdict_reports import Locations, broken_texts, status_of
from pytest_resilience.plugin.xdist_role import SEED, asked_workers, is_distributed, workerinput
from pytest_resilience.report import model
from pytest_resilience.report.plan import Plan, absent_subjects
from pytest_resilience.report.plan import lines as plan_lines
from pytest_resilience.settings import Settings
from pytest_resilience.soak.candidates import candidates
from pytest_resilience.soak.criteria import limits_of
from pytest_resilience.soak.phases import divide, parse_budgets
from pytest_resilience.soak.run import SoakRun
from pytest_resilience.soak.runner import World
from pytest_resilience.soak.stored_settings import resumed_settings, stored_settings
from pytest_resilience.store.layout import RunFolder, create_folder, new_test_id
from pytest_resilience.store.records import Hang, Run
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_duration

ONE_PROCESS = "A run is resumed in one process, so --soak-resume goes without -n and --tx. Leave them out."
PLAN_UNSEEN = "--soak-plan writes to the terminal, which -p no:terminal switches off. Give one of them."


def activate(config: pytest.Config, settings: Settings) -> None:
    """Check what can be checked now, and register the plugin; raise UsageError (exit code 4)."""
    try:
        resumed = _resumed(config, settings)
        if resumed:
            settings = resumed_settings(stored_settings(resumed.run.settings), given(config), resumed.test_id)
        seed = workerinput(config).get(SEED, settings.seed)
        settings = replace(settings, seed=secrets.randbelow(2**32) if seed is None else seed)
        limits_of(settings)
        divide(settings.duration_seconds or 0.0, parse_budgets(settings.phase_lines))
    except ResilienceError as wrong:
        raise pytest.UsageError(str(wrong)) from None
    config.stash[SETTINGS] = settings
    config.pluginmanager.register(_plugin(config, settings, resumed), "resilience-soak")


@dataclass(frozen=True)
class Resumed:
    """The run that is to go on, as its last process left it."""

    folder: RunFolder
    run: Run
    elapsed: float

    @property
    def test_id(self) -> str:
        return self.folder.test_id


def _resumed(config: pytest.Config, settings: Settings) -> Resumed | None:
    if settings.resume is None or workerinput(config):
        return None
    root = config.rootpath / settings.directory
    folder, data = unfinished_run(root, "--soak-resume", settings.resume)
    return Resumed(folder, data.run, data.elapsed)


def _plugin(config: pytest.Config, settings: Settings, resumed: Resumed | None) -> object:
    """Return what this process has to do with the soak: all of it, or its leading or its looping half."""
    if workerinput(config):
        from pytest_resilience.plugin.worker import WorkerPlugin

        return WorkerPlugin(config, settings)
    workers = asked_workers(config)
    if is_distributed(config, settings):
        if resumed:
            raise pytest.UsageError(ONE_PROCESS)
        from pytest_resilience.plugin.controller import ControllerPlugin

        return ControllerPlugin(config, settings)
    return SoakPlugin(config, settings, resumed, workers)


class SoakPlugin:
    """Selects the soak tests, runs the soak in place of pytest's loop, and reports its result.

    `workers` is how many processes the run would have that is only planned here.
    """

    def __init__(
        self, config: pytest.Config, settings: Settings, resumed: Resumed | None = None, workers: int = 0
    ) -> None:
        self._config, self._settings, self._resumed = config, settings, resumed
        self._workers = workers
        self._presentation: Presentation | None = None
        self._signals = Interruptions()
        self._ending: Ending | None = None

    def pytest_report_header(self) -> str:
        duration = format_duration(self._settings.duration_seconds or 0.0)
        seed, intensity = self._settings.seed, self._settings.intensity
        soak = f"resilience: soak of {duration}, seed {seed}, intensity {intensity}"
        if self._resumed is None:
            return soak
        return f"{soak}, resumes {self._resumed.test_id} at {format_duration(self._resumed.elapsed)}"

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
            leave_after(lambda: self._end_hung(session, soak, folder, console, hang))

        rescue = HangRescue("the run ends", give_up)
        self._signals.hold()  # a run that has a folder gets a report
        soak, folder = self._start(suite, world, console, clock, news, rescue)
        console.look = soak.now
        suite.failures = lambda: 0 if soak.broken else soak.failures_outside
        self._config.pluginmanager.register(rescue, "resilience-hang-rescue")
        self._config.add_cleanup(rescue.stop)
        rescue.start()
        try:
            interruption = self._run(session, suite, soak, folder, console, news)
        except ResilienceError as broken:
            pytest.exit(f"the soak cannot go on: {broken}", returncode=pytest.ExitCode.TESTS_FAILED)
        if interruption is not None:
            raise interruption

    def _run(
        self,
        session: pytest.Session,
        suite: PytestSuite,
        soak: SoakRun,
        folder: RunFolder,
        console: Console,
        news: HookNews,
    ) -> BaseException | None:
        """Run the soak and report it; return what interrupted it."""

        def conclude(data: RunData, broken: Mapping[str, BaseException]) -> None:
            texts = broken_texts({**broken, EVENT_HOOK: news.error})
            self._present(session, folder, data, locations_of(session), texts)

        ending = self._ending = Ending(soak, suite, folder, self._signals, console, conclude)
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

    def _end_hung(
        self, session: pytest.Session, soak: SoakRun, folder: RunFolder, console: Console, hang: Hang
    ) -> None:
        """Report the soak while the tests' thread hangs; the process ends after it."""
        self._ending = None
        self._signals.hold()
        show_output(self._config)
        soak.end_hung(hang)
        console.end()
        soak.analyse()
        data, _ = soak.close(lambda: None)
        self._present(session, folder, data, locations_of(session), {})
        finish_session(session)

    def _start(
        self,
        suite: PytestSuite,
        world: World,
        console: Console,
        clock: SystemClock,
        news: HookNews,
        rescue: HangRescue,
    ) -> tuple[SoakRun, RunFolder]:
        began = datetime.now(UTC)
        root = self._config.rootpath / self._settings.directory

        def between() -> None:
            console.tick()
            self._signals.insist()
            suite.obey_maxfail()

        try:
            folder = (
                self._resumed.folder
                if self._resumed
                else create_folder(root, new_test_id(began, secrets.token_hex(2)))
            )
            soak = SoakRun(
                suite,
                world,
                self._settings,
                folder,
                clock=clock,
                began=began,
                command=self._command(),
                say=console.say,
                between=between,
                tell=news.tell,
                rescue=rescue,
                resume=self._resumed is not None,
            )
        except ResilienceError as wrong:
            raise pytest.UsageError(str(wrong)) from None
        return soak, folder

    def _command(self) -> str:
        """Return the command that repeats this run."""
        given = [str(argument) for argument in self._config.invocation_params.args]
        seed = f"--resilience-seed={self._settings.seed}"
        seeded = any(argument.startswith("--resilience-seed") for argument in given)
        return shlex.join(["pytest", *given, *([] if seeded else [seed])])

    def _present(
        self,
        session: pytest.Session,
        folder: RunFolder,
        data: RunData,
        locations: Locations,
        broken: Mapping[str, str],
    ) -> None:
        self._presentation = Presentation(model.build(data), folder)
        self._config.option.maxfail = 0  # it counts failures of iterations, not of criteria
        self._presentation.tell(session, locations, broken)

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


def locations_of(session: pytest.Session) -> Locations:
    """Return the places of the tests."""
    return {item.nodeid: item.location for item in session.items}
