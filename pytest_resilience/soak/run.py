"""One soak in one process: store, link, conductor, sampler and runner, started and ended together."""

import gc
import json
import platform
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from pytest_resilience._version import __version__
from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.clock import Clock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.memory.records import Observer, Sample
from pytest_resilience.memory.sampler import Sampler, interval_for
from pytest_resilience.settings import Settings
from pytest_resilience.soak.abort import AbortWatch, loader
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.criteria import judge, limits_of, switched_off
from pytest_resilience.soak.leader import Leader
from pytest_resilience.soak.link import Loopback
from pytest_resilience.soak.live import Now
from pytest_resilience.soak.memory_evidence import leak_verdict
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.news import News, Tell
from pytest_resilience.soak.pacing import Load, rounds_wanted
from pytest_resilience.soak.phases import PhaseName, divide, parse_budgets
from pytest_resilience.soak.runner import Runner, Suite, World
from pytest_resilience.soak.tasks import soak_tasks
from pytest_resilience.soak.watchdog import STILL_HANGING, Rescue, Watchdog
from pytest_resilience.store.codec import KINDS
from pytest_resilience.store.layout import RunFolder
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Hang, Record, Run, SoakTest
from pytest_resilience.store.run_data import RunData
from pytest_resilience.store.run_store import RunStore
from pytest_resilience.units import format_duration

SWITCHES = {
    PhaseName.CHAOS: "enable_chaos_testing",
    PhaseName.BREAKERS: "enable_circuit_breaker_testing",
    PhaseName.CASCADES: "enable_cascading_failure_testing",
}


MOST_HANGS_WITH_STACKS = 10
"""Shown and logged; the stacks of all are in the store."""


class SoakRun:
    """A soak of `suite`, kept in `folder`.

    Call `loop` (it returns when the run is over), then `analyse`, then `close`, all on the tests' thread.

    Args:
        settings: with a duration and a seed.
        began: the date and time, with its zone.
        command: repeats the run.
        say: shows the user a line; may be called on any thread.
        between: called between two iterations, on the tests' thread.
        tell: told of each change of an event, on the tests' thread too.
        rescue: ends an iteration that hangs; without it none is watched.
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
        rescue: Rescue | None = None,
    ) -> None:
        self._hangs = 0
        self._news = News(tell)
        self._settings, self._folder, self._clock, self._origin = settings, folder, clock, clock.now()
        self._load = Load.read(settings.rate, settings.think_time)
        self._limits, self._off = limits_of(settings), switched_off(settings)
        self._run = describe(settings, folder.test_id, began, command)
        runner_end, conductor_end = Loopback.pair()
        self._store = RunStore(folder.database, folder.log)
        self._undo = ExitStack()
        self._undo.callback(self._store.close)
        self._store.put(self._run)
        marks = [world.marks.get(test, SoakTest(test)) for test in suite.tests]
        for mark in marks:
            self._store.put(mark)
        self._store.flush()  # whoever reads the file from now on finds a run
        self._conductor = self._make_conductor(conductor_end, say, marks)
        self._runner = self._make_runner(runner_end, suite, world, between)
        self._sampler = self._make_sampler(runner_end) if settings.enable_memory_monitoring else None
        self._runner.memory = self._sampler
        self._runner.watchdog = self._make_watchdog(rescue, runner_end) if rescue else None
        self._leader = Leader(self._conductor, clock, self._make_watch())
        conductor_end.attach(self._receive)
        if self._store.warning:
            self._conductor.note(self._store.warning)

    def _make_conductor(
        self, link: Loopback, say: Callable[[str], None], marks: Iterable[SoakTest]
    ) -> Conductor:
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
            rounds_wanted=rounds_wanted(self._limits["fewest_iterations"].value, marks),
            load=self._load,
        )

    def _keep(self, record: Record) -> None:
        if isinstance(record, ChaosEvent):
            self._news.take(record)
        self._store.put(record)

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
            load=self._load,
        )

    def _make_watchdog(self, rescue: Rescue, link: Loopback) -> Watchdog | None:
        if not self._settings.iteration_timeout:
            return None
        return Watchdog(
            self._settings.iteration_timeout,
            clock=self._clock,
            origin=self._origin,
            calm_since=self._runner.calm_since,
            owner=self._runner.owner,
            rescue=rescue,
            keep=link.send,
        )

    def _make_watch(self) -> AbortWatch:
        conductor, load = self._conductor, loader(self._folder.database)
        return AbortWatch(
            self._limits, self._off, load, lambda: conductor.state.system_percent, conductor.now
        )

    def _make_sampler(self, link: Loopback) -> Sampler:
        def deliver(samples: Sequence[Sample]) -> None:
            for sample in samples:
                link.send(sample)

        interval = self._settings.memory_interval or interval_for(self._run.duration_seconds)
        runner = self._runner
        return Sampler(
            interval, self._clock, self._origin, lambda: runner.iterations, lambda: runner.phase, deliver
        )

    def _receive(self, message: Message) -> None:
        if isinstance(message, KINDS) and not isinstance(message, ChaosEvent):
            self._store.put(message)
        if isinstance(message, Hang):
            self._tell_hang(message)
        self._leader.take(message)

    def _tell_hang(self, hang: Hang) -> None:
        if hang.ending != STILL_HANGING:
            self._conductor.note(f"{hang.test} hung: {hang.ending}")
            return
        took = format_duration(hang.seconds)
        self._conductor.note(f"{hang.test} hangs, for {took} by now, in {hang.phase}")
        self._hangs += 1
        if self._hangs <= MOST_HANGS_WITH_STACKS:
            for line in hang.stacks.splitlines():
                self._conductor.note(line)

    def now(self) -> Now:
        """Return where the soak is."""
        state = self._conductor.state
        return Now(
            phase=self._runner.phase,
            elapsed=self._conductor.now(),
            total=self._run.duration_seconds,
            iterations=self._runner.iterations,
            failures=state.progress.failures,
            failures_outside=state.progress.failures_outside,
            fault=", ".join(f"{event.scenario} on {event.service}" for event in state.active()),
            rss=state.rss,
        )

    @property
    def failures_outside(self) -> int:
        """How many iterations failed outside faults."""
        return self._runner.failures_outside

    @property
    def broken(self) -> bool:
        """Whether the suite failed before chaos, which ends the run."""
        return bool(self._conductor.broken())

    def loop(self) -> None:
        """Run all phases that loop; faults are removed and threads ended when this returns or raises."""
        with ExitStack() as undo:
            undo.callback(gc.unfreeze)
            gc.freeze()  # what start-up made stays: no checkpoint needs to walk it
            if self._sampler:
                undo.callback(self._sampler.stop)
                self._sampler.start()
            if self._runner.watchdog:
                undo.callback(self._runner.watchdog.stop)
                self._runner.watchdog.start()
            undo.callback(self.halt)  # comes first
            self._leader.start()
            self._runner.run()
        if self._leader.error:
            raise self._leader.error

    def halt(self) -> None:
        """Remove every fault, then end what could inject another, and keep what was counted.

        Doing it again changes nothing, and does what an interrupt cut short.
        """
        self._end_loop()
        self._news.tell_all()

    def end_hung(self, hang: Hang) -> None:
        """Halt on another thread, as the tests' thread never comes back; then `analyse`."""
        self._runner.abandon(hang)
        self._end_loop()
        self._leader.reason = f"{hang.test} hung and could not be interrupted"

    def _end_loop(self) -> None:
        self._stop_faults()
        self._leader.cancel()
        self._stop_faults()  # what the leader began meanwhile
        if self._sampler:
            self._sampler.stop()
        self._runner.flush()

    def _stop_faults(self) -> None:
        """Remove every fault; what cannot be removed is told, and tried again with the next call."""
        try:
            self._runner.stop()
        except ResilienceError as trouble:
            self._conductor.note(str(trouble))

    def analyse(self, interruption: str = "") -> None:
        """Judge the criteria; `interruption` says what ended the loop before its time."""
        self._conductor.enter(PhaseName.ANALYSIS)
        reason = interruption or self._leader.reason
        status = "interrupted" if interruption else "aborted" if reason else "complete"
        self._run = replace(self._run, status=status, reason=reason, ended=self._conductor.now())
        self._store.put(self._run)
        self._observe()
        data = self.data()
        for leak in leak_verdict(data).leaks:
            self._store.put(leak)
        for verdict in judge(data, self._limits, self._off):
            self._store.put(verdict)
        self._conductor.leave(PhaseName.ANALYSIS)

    def _observe(self) -> None:
        now = self._conductor.now()
        if self._sampler:
            self._store.put(Observer("sampler", now, self._sampler.cpu_seconds))
        self._store.put(Observer("conductor", now, self._leader.cpu_seconds))

    def data(self) -> RunData:
        """Return the record so far."""
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
