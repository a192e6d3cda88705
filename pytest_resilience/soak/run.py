"""One soak: store, conductor and verdicts, and, in one process, sampler and runner too."""

import gc
import json
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from pytest_resilience._version import __version__
from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.clock import Clock
from pytest_resilience.memory.records import Observer, Sample
from pytest_resilience.memory.sampler import Sampler, interval_for
from pytest_resilience.settings import Settings
from pytest_resilience.soak.abort import AbortWatch, loader
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.criteria import judge, limits_of, switched_off
from pytest_resilience.soak.leader import Leader
from pytest_resilience.soak.link import Link, Loopback
from pytest_resilience.soak.live import Now
from pytest_resilience.soak.memory_evidence import leaks
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.news import News, Tell
from pytest_resilience.soak.phases import PhaseName, divide, parse_budgets
from pytest_resilience.soak.runner import Runner, Suite, World
from pytest_resilience.soak.tasks import soak_tasks
from pytest_resilience.store.codec import KINDS
from pytest_resilience.store.layout import RunFolder
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Record, Run
from pytest_resilience.store.run_data import RunData
from pytest_resilience.store.run_store import RunStore

SWITCHES = {
    PhaseName.CHAOS: "enable_chaos_testing",
    PhaseName.BREAKERS: "enable_circuit_breaker_testing",
    PhaseName.CASCADES: "enable_cascading_failure_testing",
}


class LedRun:
    """The leading half of a soak, kept in `folder`: everything but the tests, which are behind `link`.

    Once they have been run, call `analyse`, then `close`.

    Args:
        settings: with a duration and a seed.
        began: the date and time, with its zone.
        command: repeats the run.
        say: shows the user a line; may be called on any thread.
        tell: told of each change of an event, on the thread of who calls `tell_news`.
    """

    def __init__(
        self,
        link: Link,
        settings: Settings,
        folder: RunFolder,
        *,
        clock: Clock,
        began: datetime,
        command: str,
        say: Callable[[str], None],
        tell: Tell = lambda event, change: None,
    ) -> None:
        self._news = News(tell)
        self._settings, self._folder, self._clock, self._origin = settings, folder, clock, clock.now()
        self._limits, self._off = limits_of(settings), switched_off(settings)
        self._run = describe(settings, folder.test_id, began, command)
        self._store = RunStore(folder.database, folder.log)
        self._undo = ExitStack()
        self._undo.callback(self._store.close)
        self._store.put(self._run)
        self._store.flush()  # whoever reads the file from now on finds a run
        self._conductor = self._make_conductor(link, say)
        self._leader = Leader(self._conductor, clock, self._make_watch())
        link.attach(self._receive)
        if self._store.warning:
            self._conductor.note(self._store.warning)

    def _make_conductor(self, link: Link, say: Callable[[str], None]) -> Conductor:
        settings, duration = self._settings, self._run.duration_seconds
        switches = {name: field for name, field in SWITCHES.items() if not getattr(settings, field)}
        return Conductor(
            link,
            clock=self._clock,
            origin=self._origin,
            duration=duration,
            budgets=divide(duration, parse_budgets(settings.phase_lines)),
            disabled={name: f"resilience_{field} = false" for name, field in switches.items()},
            staying=None if settings.auto_recovery else settings.max_concurrent_chaos,
            seed=self._run.seed,
            store=self._keep,
            say=say,
        )

    def _keep(self, record: Record) -> None:
        if isinstance(record, ChaosEvent):
            self._news.take(record)
        self._store.put(record)

    def _make_watch(self) -> AbortWatch:
        conductor, load = self._conductor, loader(self._folder.database)
        return AbortWatch(
            self._limits, self._off, load, lambda: conductor.state.system_percent, conductor.now
        )

    def _receive(self, message: Message) -> None:
        if isinstance(message, KINDS) and not isinstance(message, ChaosEvent):
            self._store.put(message)
        self._leader.take(message)

    def now(self) -> Now:
        """Return where the soak is."""
        state = self._conductor.state
        return Now(
            phase=self._conductor.phase,
            elapsed=self._conductor.now(),
            total=self._run.duration_seconds,
            iterations=state.progress.iterations,
            failures=state.progress.failures,
            failures_outside=state.progress.failures_outside,
            fault=", ".join(f"{event.scenario} on {event.service}" for event in state.active()),
            rss=state.rss,
        )

    def tell_news(self) -> None:
        """Tell what became of events since the last time."""
        self._news.tell_all()

    def analyse(self, interruption: str = "") -> None:
        """Judge the criteria; `interruption` says what ended the loop before its time."""
        self._conductor.enter(PhaseName.ANALYSIS)
        reason = interruption or self._leader.reason
        status = "interrupted" if interruption else "aborted" if reason else "complete"
        self._run = replace(self._run, status=status, reason=reason, ended=self._conductor.now())
        self._store.put(self._run)
        self._observe()
        data = self._data()
        for leak in leaks(data):
            self._store.put(leak)
        for verdict in judge(data, self._limits, self._off):
            self._store.put(verdict)
        self._conductor.leave(PhaseName.ANALYSIS)

    def _observe(self) -> None:
        now = self._conductor.now()
        self._store.put(Observer("conductor", now, self._leader.cpu_seconds))

    def _data(self) -> RunData:
        self._store.flush()
        return read(self._folder.database)

    def close(self, tear_down: Callable[[], None]) -> tuple[RunData, Exception | None]:
        """Tear the suite down and end the record; return it, and what `tear_down` raised."""
        self._conductor.enter(PhaseName.CLEANUP)
        failure = None
        with self._undo:
            try:
                tear_down()
            except Exception as error:
                failure = error
            self._conductor.leave(PhaseName.CLEANUP)
        return read(self._folder.database), failure


class SoakRun(LedRun):
    """A soak of `suite` in this process.

    Call `loop` (it returns when the run is over), then `analyse`, then `close`, all on the tests' thread.

    Args:
        between: called between two iterations, on the tests' thread.
        others: see LedRun; `tell` is called on the tests' thread too.
    """

    def __init__(
        self,
        suite: Suite,
        world: World,
        settings: Settings,
        folder: RunFolder,
        *,
        clock: Clock,
        began: datetime,
        command: str,
        say: Callable[[str], None],
        between: Callable[[], None],
        tell: Tell = lambda event, change: None,
    ) -> None:
        runner_end, conductor_end = Loopback.pair()
        super().__init__(
            conductor_end, settings, folder, clock=clock, began=began, command=command, say=say, tell=tell
        )
        self._runner = self._make_runner(runner_end, suite, world, between)
        self._sampler = (
            sampler_of(self._runner, runner_end, settings, clock, self._origin)
            if settings.enable_memory_monitoring
            else None
        )
        self._runner.memory = self._sampler

    def _make_runner(self, link: Loopback, suite: Suite, world: World, between: Callable[[], None]) -> Runner:
        seed = self._run.seed

        def rest() -> None:
            self._news.tell_all()
            between()

        return Runner(
            suite,
            world,
            link,
            clock=self._clock,
            origin=self._origin,
            seed=seed,
            tasks=soak_tasks(self._clock, seed),
            between=rest,
        )

    def now(self) -> Now:
        """Return where the soak is, to the last iteration."""
        return replace(super().now(), phase=self._runner.phase, iterations=self._runner.iterations)

    def loop(self) -> None:
        """Run all phases that loop; faults are removed and threads ended when this returns or raises."""
        with ExitStack() as undo:
            undo.callback(gc.unfreeze)
            gc.freeze()  # what start-up made stays: no checkpoint needs to walk it
            undo.callback(self._halt)
            if self._sampler:
                undo.callback(self._sampler.stop)
                self._sampler.start()
            self._leader.start()
            self._runner.run()
        if self._leader.error:
            raise self._leader.error

    def _halt(self) -> None:
        self._runner.stop()
        self._leader.cancel()
        self._runner.flush()
        self._news.tell_all()

    def _observe(self) -> None:
        if self._sampler:
            self._store.put(Observer("sampler", self._conductor.now(), self._sampler.cpu_seconds))
        super()._observe()


def sampler_of(runner: Runner, link: Link, settings: Settings, clock: Clock, origin: float) -> Sampler:
    """Return the sampler of the process in which `runner` loops; its samples go over `link`."""

    def deliver(samples: Sequence[Sample]) -> None:
        for sample in samples:
            link.send(sample)

    interval = settings.memory_interval or interval_for(settings.duration_seconds or 0.0)
    return Sampler(interval, clock, origin, lambda: runner.iterations, lambda: runner.phase, deliver)


def describe(settings: Settings, test_id: str, began: datetime, command: str) -> Run:
    """Return the record of a run that begins."""
    if settings.duration_seconds is None or settings.seed is None:
        raise ValueError("A soak needs a duration and a seed.")
    environment = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pytest-resilience": __version__,
    }
    return Run(
        test_id=test_id,
        started_utc=began.isoformat(timespec="seconds"),
        seed=settings.seed,
        intensity=settings.intensity,
        duration_seconds=settings.duration_seconds,
        command=command,
        settings=settings.to_json(),
        environment=json.dumps(environment),
    )
