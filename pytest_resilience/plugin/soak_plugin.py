"""The soak as a pytest plugin: registered only when a soak was asked for."""

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.declare import DeclarationFailed
from pytest_resilience.plugin.live import Console
from pytest_resilience.plugin.news import EVENT_HOOK, HookNews
from pytest_resilience.plugin.options import SETTINGS
from pytest_resilience.plugin.select import NO_SOAK_TESTS, select
from pytest_resilience.plugin.signals import Interruptions
from pytest_resilience.plugin.suite import PytestSuite
from pytest_resilience.plugin.verdict_reports import Locations, broken_texts, status_of, verdict_reports
from pytest_resilience.plugin.xdist_role import SEED, asked_workers, is_distributed, workerinput
from pytest_resilience.report import json_report, junit, model, terminal
from pytest_resilience.report.plan import Plan, absent_subjects
from pytest_resilience.report.plan import lines as plan_lines
from pytest_resilience.settings import Settings
from pytest_resilience.soak.candidates import candidates
from pytest_resilience.soak.criteria import limits_of
from pytest_resilience.soak.phases import divide, parse_budgets
from pytest_resilience.soak.run import SoakRun
from pytest_resilience.soak.runner import World
from pytest_resilience.store.layout import RunFolder, create_folder, new_test_id
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_duration

PLAN_UNSEEN = "--soak-plan writes to the terminal, which -p no:terminal switches off. Give one of them."


def activate(config: pytest.Config, settings: Settings) -> None:
    """Check what can be checked now, and register the plugin; raise UsageError (exit code 4)."""
    given = workerinput(config).get(SEED, settings.seed)
    seed = secrets.randbelow(2**32) if given is None else given
    settings = replace(settings, seed=seed)
    try:
        limits_of(settings)
        divide(settings.duration_seconds or 0.0, parse_budgets(settings.phase_lines))
    except ResilienceError as wrong:
        raise pytest.UsageError(str(wrong)) from None
    config.stash[SETTINGS] = settings
    config.pluginmanager.register(_plugin(config, settings), "resilience-soak")


def _plugin(config: pytest.Config, settings: Settings) -> object:
    """Return what this process has to do with the soak: all of it, or its leading or its looping half."""
    if workerinput(config):
        from pytest_resilience.plugin.worker import WorkerPlugin

        return WorkerPlugin(config, settings)
    workers = asked_workers(config)
    if is_distributed(config, settings):
        from pytest_resilience.plugin.controller import ControllerPlugin

        return ControllerPlugin(config, settings)
    return SoakPlugin(config, settings, workers)


class SoakPlugin:
    """Selects the soak tests, runs the soak in place of pytest's loop, and reports its result.

    `workers` is how many processes the run would have that is only planned here.
    """

    def __init__(self, config: pytest.Config, settings: Settings, workers: int = 0) -> None:
        self._config, self._settings, self._workers = config, settings, workers
        self._report: model.Report | None = None
        self._folder: RunFolder | None = None
        self._signals = Interruptions()

    def pytest_report_header(self) -> str:
        duration = format_duration(self._settings.duration_seconds or 0.0)
        seed, intensity = self._settings.seed, self._settings.intensity
        return f"resilience: soak of {duration}, seed {seed}, intensity {intensity}"

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
        suite = PytestSuite(session, self._settings)
        world = self._declare(suite)
        if world is not None and self._settings.plan_only:
            self._show_plan(suite, world)
        elif world is not None:
            self._soak(session, suite, world)
        return True

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return status_of(report)

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        if self._report is None or self._folder is None:
            return
        terminalreporter.write_sep("=", "resilience")
        for line in terminal.lines(self._report):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"Report: {self._folder.report_json}")

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
        soak = self._start(suite, world, console, clock, news)
        console.look = soak.now
        try:
            interruption = self._run(session, suite, soak, console, news)
        except ResilienceError as broken:
            pytest.exit(f"the soak cannot go on: {broken}", returncode=pytest.ExitCode.TESTS_FAILED)
        if interruption is not None:
            raise interruption

    def _run(
        self, session: pytest.Session, suite: PytestSuite, soak: SoakRun, console: Console, news: HookNews
    ) -> BaseException | None:
        """Run the soak and report it; return what interrupted it."""
        interruption: BaseException | None = None
        try:
            with private.loop_shortcuts(session):
                soak.loop()
        except (KeyboardInterrupt, pytest.exit.Exception, session.Failed) as stop:
            interruption = stop
        finally:
            self._signals.hold()
        console.end()
        soak.analyse(interruption_text(interruption))
        data, teardown = soak.close(suite.close)
        errors = {"teardown": teardown, EVENT_HOOK: news.error}
        locations = {item.nodeid: item.location for item in session.items}
        self._conclude(session, data, locations, broken_texts(errors))
        held = self._signals.held
        return interruption or (KeyboardInterrupt(held) if held else None)

    def _start(
        self, suite: PytestSuite, world: World, console: Console, clock: SystemClock, news: HookNews
    ) -> SoakRun:
        began = datetime.now(UTC)
        root = self._config.rootpath / self._settings.directory

        def between() -> None:
            console.tick()
            self._signals.insist()

        try:
            self._folder = create_folder(root, new_test_id(began, secrets.token_hex(2)))
            return SoakRun(
                suite,
                world,
                self._settings,
                self._folder,
                clock=clock,
                began=began,
                command=self._command(),
                say=console.say,
                between=between,
                tell=news.tell,
            )
        except ResilienceError as wrong:
            raise pytest.UsageError(str(wrong)) from None

    def _command(self) -> str:
        """Return the command that repeats this run."""
        given = [str(argument) for argument in self._config.invocation_params.args]
        seed = f"--resilience-seed={self._settings.seed}"
        seeded = any(argument.startswith("--resilience-seed") for argument in given)
        return shlex.join(["pytest", *given, *([] if seeded else [seed])])

    def _conclude(
        self, session: pytest.Session, data: RunData, locations: Locations, broken: Mapping[str, str]
    ) -> None:
        """Write the report, and tell pytest of each test, each criterion, the result and what is `broken`."""
        assert self._folder is not None
        self._report = model.build(data)
        json_report.write(self._report, self._folder.report_json)
        for name, value in junit.properties(self._report):
            private.add_junit_property(self._config, name, value)
        reports = list(verdict_reports(self._report, locations, broken))
        session.testscollected = len(reports)  # pytest's progress counts these, not the items
        for report in reports:
            self._config.hook.pytest_runtest_logreport(report=report)

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
        )
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            raise pytest.UsageError(PLAN_UNSEEN)
        for line in plan_lines(plan):
            reporter.write_line(line)


def interruption_text(interruption: BaseException | None) -> str:
    """Say what became of the run: it was … ."""
    if interruption is None:
        return ""
    if type(interruption) is KeyboardInterrupt:
        return f"interrupted by {str(interruption) or 'a KeyboardInterrupt'}"
    return f"stopped: {interruption}"
