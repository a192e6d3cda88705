"""The leading half of a soak: store, conductor and verdicts; the tests are looped behind a link."""

import json
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime

from pytest_resilience._version import __version__
from pytest_resilience.chaos.records import ChaosEvent, Seam
from pytest_resilience.errors import StoreError
from pytest_resilience.memory.records import Observer
from pytest_resilience.settings import Settings
from pytest_resilience.soak.abort import AbortWatch, loader
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.criteria import judge, limits_of, switched_off
from pytest_resilience.soak.leader import Leader
from pytest_resilience.soak.link import Link
from pytest_resilience.soak.live import Now
from pytest_resilience.soak.memory_evidence import leaks
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.news import News
from pytest_resilience.soak.pacing import Load, rounds_wanted
from pytest_resilience.soak.phases import PhaseName, divide, parse_budgets
from pytest_resilience.soak.pulse import Pulse
from pytest_resilience.soak.resume import (
    Past,
    begin,
    carry_on,
    check_attempt,
    check_tests,
    check_unfinished,
)
from pytest_resilience.soak.run_setup import RunSetup
from pytest_resilience.soak.watchdog import STILL_HANGING
from pytest_resilience.store.codec import KINDS
from pytest_resilience.store.layout import RunFolder
from pytest_resilience.store.lock import RunLock
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Attempt, Hang, Note, Record, Run, SoakTest
from pytest_resilience.store.run_data import RunData
from pytest_resilience.store.run_store import RunStore
from pytest_resilience.units import format_duration
from pytest_resilience.workers import MAIN

SWITCHES = {
    PhaseName.CHAOS: "enable_chaos_testing",
    PhaseName.BREAKERS: "enable_circuit_breaker_testing",
    PhaseName.CASCADES: "enable_cascading_failure_testing",
}

MOST_HANGS_WITH_STACKS = 10
"""Shown and logged; the stacks of all are in the store."""


class LedRun:
    """The leading half of a soak of `tests`; who loops them is behind `link`.

    Once they have been run, call `analyse`, then `close`. News of events are told to who calls `tell_news`.

    Raises:
        RunChangedError: the run to be resumed is not that of these tests.
        StoreError: the record cannot be made, another process has it, or the run cannot be resumed.
    """

    def __init__(self, link: Link, tests: Iterable[SoakTest], setup: RunSetup) -> None:
        self._say = setup.say
        self._hangs, self._tests, self._news = 0, tuple(tests), News(setup.tell)
        self._settings, self._folder, self._clock = setup.settings, setup.folder, setup.clock
        settings, clock = setup.settings, setup.clock
        self._load = Load.read(settings.rate, settings.think_time)
        self._limits, self._off = limits_of(settings), switched_off(settings)
        with ExitStack() as undo:
            undo.enter_context(RunLock(setup.folder.lock))
            self._past = self._read_past(setup) if setup.attempt > 1 else None
            self._origin = clock.now() - (self._past.elapsed if self._past else 0.0)
            self._store = self._open_store(setup)
            undo.callback(self._is_recorded)
            self._undo = undo.pop_all()
        self._conductor = self._make_conductor(link, setup.say)
        watch = self._make_watch()
        self._leader = Leader(self._conductor, clock, lambda: self._store.trouble or watch(), self._beat)
        self._pulse = self._make_pulse()
        link.attach(self._receive)
        if self._store.warning:
            self._conductor.note(self._store.warning)

    def _read_past(self, setup: RunSetup) -> Past:
        data = read(self._folder.database)
        check_unfinished(data.run)
        check_attempt(data, setup.attempt)
        check_tests(data, [one.test for one in self._tests])
        return carry_on(data, setup.began)

    def _open_store(self, setup: RunSetup) -> RunStore:
        """Open the record; whoever reads it from now on finds a run."""
        database, log, past = self._folder.database, self._folder.log, self._past
        if past is not None:
            self._run, self._attempt = past.data.run, past.attempt
            return RunStore(database, log, first=past.records, forget=past.forgotten)
        self._run = describe(self._settings, self._folder.test_id, setup.began, setup.command)
        first = begin(self._run, self._tests, setup.began)
        self._attempt = next(record for record in first if isinstance(record, Attempt))
        return RunStore(database, log, first=first)

    def _make_pulse(self) -> Pulse:
        return Pulse(
            self._attempt,
            self._conductor.now,
            lambda: self._conductor.state.progress,
            self._observers,
            self._put,
            [one for one in self._past.data.observers if one.worker == MAIN] if self._past else (),
        )

    def _beat(self) -> None:
        self._pulse.tick()

    def _put(self, record: Record) -> None:
        """Keep a record; that this is impossible is told by the store's trouble, which ends the run."""
        with suppress(StoreError):
            self._store.put(record)

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
            past=self._past,
            store=self._keep,
            say=say,
            rounds_wanted=rounds_wanted(self._limits["fewest_iterations"].value, self._tests),
            load=self._load,
        )

    def _keep(self, record: Record) -> None:
        if isinstance(record, ChaosEvent):
            self._news.take(record)
        self._put(record)

    def _make_watch(self) -> AbortWatch:
        conductor, load = self._conductor, loader(self._folder.database)
        return AbortWatch(
            self._limits, self._off, load, lambda: conductor.state.system_percent, conductor.now
        )

    def _receive(self, message: Message) -> None:
        if isinstance(message, Seam) and self._past:
            message = self._past.added_up(message)
        if isinstance(message, KINDS) and not isinstance(message, ChaosEvent):
            self._put(message)
        if isinstance(message, Note):
            self._say(message.text)
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
            phase=self._conductor.phase,
            elapsed=self._conductor.now(),
            total=self._run.duration_seconds,
            iterations=state.progress.iterations,
            failures=state.progress.failures,
            failures_outside=state.progress.failures_outside,
            fault=", ".join(f"{event.scenario} on {event.service}" for event in state.active()),
            rss=state.rss,
        )

    @property
    def folder(self) -> RunFolder:
        return self._folder

    def note(self, text: str) -> None:
        """Show a line to the user and keep it in the run's log."""
        self._conductor.note(text)

    @property
    def failures_outside(self) -> int:
        """How many iterations failed outside faults."""
        return self._conductor.state.progress.failures_outside

    @property
    def broken(self) -> bool:
        """Whether the suite failed before chaos, which ends the run."""
        return bool(self._conductor.broken())

    def tell_news(self) -> None:
        """Tell what became of events since the last time."""
        self._news.tell_all()

    def analyse(self, interruption: str = "") -> None:
        """Judge the criteria; `interruption` says what ended the loop before its time."""
        self._conductor.enter(PhaseName.ANALYSIS)
        self._pulse.beat()
        data = replace(self.data(), run=self._ended(interruption))
        found, verdicts = tuple(leaks(data)), judge(data, self._limits, self._off)
        self._judged = replace(data, leaks=found, verdicts=verdicts)
        records: tuple[Record, ...] = (*found, *verdicts)
        for record in records:
            self._put(record)
        self._conductor.leave(PhaseName.ANALYSIS)
        self._put(self._judged.run)  # last: a process that dies before leaves a run that can be resumed

    def _ended(self, interruption: str) -> Run:
        """Return the record of the run with how it ended; what can be put right leaves it unfinished."""
        reason = interruption or self._leader.reason
        status = "interrupted" if interruption else "aborted" if reason else "complete"
        if trouble := self._store.trouble:
            status, reason = "interrupted", f"stopped: {trouble}"
        elif self._past and status == "aborted" and not self._conductor.opened:
            status, reason = "interrupted", f"not resumed: {reason}"
        return replace(self._run, status=status, reason=reason, ended=self._conductor.now())

    def _observers(self) -> Iterator[Observer]:
        yield Observer("conductor", self._conductor.now(), self._leader.cpu_seconds)

    def data(self) -> RunData:
        """Return what is recorded: up to now, or as far as that was possible."""
        with suppress(StoreError):
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
            readable = self._is_recorded()
        return read(self._folder.database) if readable else self._judged, failure

    def _is_recorded(self) -> bool:
        """End the record; tell whether all of it could be written."""
        try:
            self._store.close()
        except StoreError:
            return False
        return True


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
