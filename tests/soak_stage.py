"""A whole soak on one thread and a manual clock: hours in seconds, with real faults on a real function.

Conductor, link, runner and chaos engine are the real ones. The suite is a set of functions, and the conductor
is polled whenever time passes, as its thread does in a real run.
"""

import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.chaos.scenario import CustomScenario
from pytest_resilience.chaos.scenarios import TEN
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.chaos.shares import Shares
from pytest_resilience.clock import ManualClock
from pytest_resilience.services import Service, index_services
from pytest_resilience.soak import messages
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.leader import POLL_SECONDS
from pytest_resilience.soak.legacy import NOTHING
from pytest_resilience.soak.link import Loopback
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.pacing import NO_LIMIT, Load
from pytest_resilience.soak.phases import PhaseName, divide, parse_budgets
from pytest_resilience.soak.resume import Past
from pytest_resilience.soak.runner import Runner
from pytest_resilience.soak.script import Abort
from pytest_resilience.soak.world import Task, World
from pytest_resilience.store.codec import KINDS
from pytest_resilience.store.records import Attempt, Phase, Record, Run, SoakTest
from pytest_resilience.store.run_data import RunData, gather

ORIGIN = 1000.0
BEGAN = "2026-01-02T03:04:05.000+00:00"
SPECTATOR_SECONDS = 0.0005
HALF = Shares(0.5, 0.5, 0.5, 0.5)
ON_CALLS = tuple(one.name for one in TEN if one.way(SeamKind.CALLS))
"""The scenarios that act within the manual clock's world: nothing outside this process is touched."""


class Killed(BaseException):
    """Stands for SIGKILL: nobody cleans up, and nothing more is recorded."""


def fetch(key: str) -> str:
    """The dependency that faults hit."""
    return key.upper()


def recall(key: str) -> str:
    """Another dependency."""
    return key.lower()


def post(text: str) -> int:
    """A third one."""
    return len(text)


def never_called() -> None:
    """A seam that no test reaches."""


ODDS = Service(
    "odds",
    calls=["soak_stage:fetch"],
    errors=[ConnectionResetError],
    timeout=0.2,
    timeout_error=TimeoutError,
)

CACHE = Service("cache", calls=["soak_stage:recall"], errors=[OSError], timeout=0.1)
MAIL = Service("mail", calls=["soak_stage:post"], errors=[ConnectionError], timeout=0.1)


class SharedClock(ManualClock):
    """Time that passes in small steps, so that whoever else lives in it has its turn.

    The thread that made it lets time pass; others that wait, such as a spreading cascade, see it pass.
    """

    def __init__(self) -> None:
        super().__init__(ORIGIN)
        self._owner = threading.get_ident()
        self.others: Callable[[], None] = lambda: None

    def pass_by(self, seconds: float) -> None:
        """Let `seconds` go by."""
        self.wait(threading.Event(), seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        end = self.now() + seconds
        if threading.get_ident() != self._owner:
            while self.now() < end and not event.wait(SPECTATOR_SECONDS):
                pass
            return event.is_set()
        while not event.is_set() and (left := end - self.now()) > 1e-9:
            self.advance(min(POLL_SECONDS, left))
            self.others()
        return event.is_set()


Body = Callable[[], object]


@dataclass
class FunctionSuite:
    """Soak tests that are functions; one that raises fails, one that returns Status.SKIPPED is skipped."""

    clock: SharedClock
    bodies: Mapping[str, Body]

    @property
    def tests(self) -> Sequence[str]:
        return tuple(self.bodies)

    def run(self, test: str, following: str) -> Outcome:
        assert following in self.bodies
        began = self.clock.now()
        try:
            status = Status.SKIPPED if self.bodies[test]() is Status.SKIPPED else Status.PASSED
        except Exception as error:
            text = traceback.format_exc()
            return Outcome(
                Status.FAILED, self.clock.now() - began, "call", type(error).__name__, lambda: text
            )
        return Outcome(status, self.clock.now() - began)


@dataclass
class Stage:
    """Everything that a soak of `duration` seconds needs; `bodies` are added before `play`."""

    duration: float
    services: Sequence[Service] = ()
    breakers: Sequence[str] = ()
    tasks: Mapping[str, Task] = field(default_factory=dict)
    budgets: Sequence[str] = ()
    disabled: Mapping[PhaseName, str] = field(default_factory=dict)
    seed: int = 7
    shares: Shares = HALF
    max_concurrent: int = 3
    auto_recovery: bool = True
    chosen: Sequence[str] = ON_CALLS
    custom: Sequence[CustomScenario] = ()
    load: Load = NO_LIMIT
    rounds_wanted: int = 1
    marks: Mapping[str, SoakTest] = field(default_factory=dict)
    past: Past | None = None
    killed_at: float | None = None

    def __post_init__(self) -> None:
        self.clock = SharedClock()
        self.bodies: dict[str, Body] = {}
        self.records: list[Record] = list(self.past.records) if self.past else []
        self.origin = ORIGIN - (self.past.elapsed if self.past else 0.0)
        self.commands: list[tuple[float, Message]] = []
        self.said: list[str] = []
        self.iterations: list[tuple[float, float]] = []
        self.reason = ""
        services = index_services(self.services)
        self.chaos = Chaos(
            services.values(),
            seed=self.seed,
            shares=self.shares,
            clock=self.clock,
            max_concurrent=self.max_concurrent,
            chosen=self.chosen,
            scenarios=self.custom,
        )
        self.world = World(
            services,
            dict.fromkeys(self.breakers, object()),
            self.chaos if self.services else None,
            self.marks,
        )

    def test(
        self, seconds: float = 0.5, *, calls: bool = False, name: str = "test_shop.py::test_quote"
    ) -> None:
        """Add a soak test that works for `seconds` and then, if asked to, calls the dependency."""

        def body() -> None:
            self.clock.pass_by(seconds)
            if calls:
                assert fetch("a") == "A"

        self.bodies[name] = body

    def play(self) -> "Stage":
        """Run the soak to its end."""
        runner_end, conductor_end = Loopback.pair()
        self.conductor = Conductor(
            conductor_end,
            clock=self.clock,
            origin=self.origin,
            past=self.past,
            duration=self.duration,
            budgets=divide(self.duration, parse_budgets(self.budgets)),
            disabled=self.disabled,
            staying=None if self.auto_recovery else self.max_concurrent,
            seed=self.seed,
            store=self.records.append,
            say=self.said.append,
            rounds_wanted=self.rounds_wanted,
            load=self.load,
        )
        suite = FunctionSuite(self.clock, {name: self._timed(body) for name, body in self.bodies.items()})
        self.runner = Runner(
            suite,
            self.world,
            runner_end,
            clock=self.clock,
            origin=self.origin,
            legacy=self.past.legacy if self.past else NOTHING,
            seed=self.seed,
            tasks=self.tasks,
            between=self.poll,
            load=self.load,
        )
        conductor_end.attach(self._receive)
        runner_end.attach(self._obey)
        self.script = self.conductor.script()
        self._wait = next(self.script, None)
        self.clock.others = self.poll
        try:
            self.runner.run()
        except Killed:
            self._die()
        self.ended = self.conductor.now()
        return self

    def _die(self) -> None:
        """Leave what was recorded; that the faults are gone with the process is recorded by nobody."""
        kept, self._wait = list(self.records), None
        self.script.close()
        self.chaos.sweep()
        self.records = kept

    def left_behind(self) -> RunData:
        """What the file has of the run when its process is killed."""
        run = Run("t", "", self.seed, "medium", self.duration, "", "{}", "")
        progress, number = self.conductor.state.progress, self.past.attempt.number if self.past else 1
        began = self.past.elapsed if self.past else 0.0
        sign = Attempt(number, BEGAN, began, self.ended, progress.rounds, progress.longest_round)
        before = self.past.data if self.past else None
        old: list[Record] = [run, *(before.attempts if before else ()), sign]
        if before:
            old += [*before.tallies, *before.failures, *before.seams]
        return gather([*old, *self.records])

    def poll(self) -> None:
        """Let the conductor do what is due, as its thread does."""
        if self._wait is None:
            return
        if self.killed_at is not None and self.conductor.now() >= self.killed_at:
            raise Killed
        self.conductor.tick()
        if reason := self.conductor.broken():
            self._abort(reason)
        while self._wait is not None and (self._wait.ready() or self.conductor.now() >= self._wait.deadline):
            try:
                self._wait = next(self.script, None)
            except Abort as end:
                self.reason, self._wait = str(end), None
        if self._wait is None:
            self.conductor.send(messages.Stop())

    def _abort(self, reason: str) -> None:
        """End the script as the leader does when the run must end."""
        self._wait, self.reason = None, reason
        with suppress(Abort):
            self.script.throw(Abort(reason))

    def interrupt(self) -> None:
        """End the soak as Ctrl-C does."""
        self.runner.stop()
        self._wait = None
        self.script.close()

    @cached_property
    def data(self) -> RunData:
        """What the run recorded."""
        run = Run("t", "", self.seed, "medium", self.duration, "", "{}", "", "complete", "", self.ended)
        return gather([run, *self.marks.values(), *self.records])

    @property
    def longest_iteration(self) -> float:
        return max(ended - began for began, ended in self.iterations)

    def phase(self, name: PhaseName) -> Phase:
        """Return the record of a phase."""
        phase = self.data.phase(name)
        assert phase is not None
        return phase

    def sent(self, kind: type[Message]) -> list[float]:
        """Return when commands of a kind were sent."""
        return [at for at, command in self.commands if isinstance(command, kind)]

    def _timed(self, body: Body) -> Body:
        def timed() -> object:
            began = self.conductor.now()
            try:
                return body()
            finally:
                self.iterations.append((began, self.conductor.now()))

        return timed

    def _receive(self, message: Message) -> None:
        if isinstance(message, KINDS) and not isinstance(message, ChaosEvent):
            self.records.append(message)
        self.conductor.take(message)

    def _obey(self, command: Message) -> None:
        self.commands.append((self.clock.now() - self.origin, command))
        self.runner.receive(command)


def schedule(events: Iterable[ChaosEvent]) -> list[tuple[str, str, float]]:
    """Return what was injected where and when."""
    return [(event.event_id, event.service, event.armed_at) for event in events]
