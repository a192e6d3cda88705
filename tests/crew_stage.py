"""A distributed soak on a manual clock: some runners, each on a thread, that take turns as time passes.

Crew, conductor, runners and faults are the real ones; what a worker says and hears goes through its plain
form.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from soak_stage import BEGAN, HALF, ON_CALLS, ORIGIN, FunctionSuite

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.clock import ManualClock
from pytest_resilience.services import Service, index_services
from pytest_resilience.soak import messages
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.crew import Crew
from pytest_resilience.soak.leader import POLL_SECONDS
from pytest_resilience.soak.legacy import Legacy
from pytest_resilience.soak.link import Handler, decode, encode
from pytest_resilience.soak.member import Member, Standing
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.phases import divide
from pytest_resilience.soak.reach import reach
from pytest_resilience.soak.resume import Past
from pytest_resilience.soak.runner import Runner
from pytest_resilience.soak.script import Abort
from pytest_resilience.soak.world import Task, World
from pytest_resilience.store.codec import KINDS
from pytest_resilience.store.records import Attempt, Record, Run, Worker
from pytest_resilience.store.run_data import RunData, gather

STEP_SECONDS = 0.05
PATIENCE_SECONDS = 60


class Killed(BaseException):
    """Raised in the thread of a worker that is gone, wherever it waits."""


class TurnClock(ManualClock):
    """Time for several threads of which one runs: who waits gives the turn to who wakes first."""

    def __init__(self) -> None:
        super().__init__(ORIGIN)
        self._changed = threading.Condition()
        self._wakes: dict[int, float] = {threading.get_ident(): ORIGIN}
        self._running = threading.get_ident()
        self.dead: set[int] = set()

    def begin(self, run: Callable[[], object]) -> int:
        """Let a thread take part; it has its first turn when the others wait."""

        def work() -> None:
            with self._changed:
                me = threading.get_ident()
                self._changed.wait_for(lambda: self._running == me, PATIENCE_SECONDS)
            try:
                run()
            except Killed:
                pass
            finally:
                self._leave()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert thread.ident is not None
        self._wakes[thread.ident] = self.now()
        return thread.ident

    def pass_by(self, seconds: float) -> None:
        """Let `seconds` go by."""
        self.wait(threading.Event(), seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        me, end = threading.get_ident(), self.now() + seconds
        while not event.is_set() and (left := end - self.now()) > 1e-9:
            with self._changed:
                self._wakes[me] = self.now() + min(STEP_SECONDS, left)
                self._pass_on()
                self._changed.wait_for(lambda: self._running == me, PATIENCE_SECONDS)
            if me in self.dead:
                raise Killed
        return event.is_set()

    def _pass_on(self) -> None:
        self._running, wake = min(self._wakes.items(), key=lambda item: item[1])
        self.advance(max(0.0, wake - self.now()))
        self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            del self._wakes[threading.get_ident()]
            self._pass_on()


class TestWorker:
    """One worker: its own world, and both ends of its link."""

    __test__ = False

    def __init__(
        self, stage: "CrewStage", name: str, world: World, bodies: Mapping[str, Callable[[], object]]
    ):
        self._stage, self.name, self.world = stage, name, world
        self.runner: Runner | None = None
        self.commands: list[Message] = []
        self.suite = FunctionSuite(stage.clock, bodies)  # type: ignore[arg-type]
        self.alive = True
        self.thread = 0

    # The runner's link

    def attach(self, handler: Handler) -> None:
        """The commands come by `send_command`."""

    def send(self, message: Message) -> None:
        if self.alive:
            self._stage.crew.receive(self.name, decode(encode(message)))

    # The crew's port

    def command(self, number: int, command: Message) -> None:
        """Carry out what the crew says."""
        if not self.alive:
            raise OSError("gone")
        command = decode(encode(command))
        self.commands.append(command)
        match command:
            case messages.Begin():
                self.runner = self._runner(command)
            case messages.Loop():
                assert self.runner is not None
                self.thread = self._stage.clock.begin(self._loop)
            case messages.Assign():
                pass
            case _ if self.runner is not None:
                self.runner.receive(command)
        self.send(messages.Done(number))

    def _runner(self, begin: messages.Begin) -> Runner:
        stage = self._stage
        return Runner(
            self.suite,
            self.world,
            self,
            clock=stage.clock,
            origin=stage.clock.now() - begin.at,
            seed=7,
            legacy=Legacy.told_by(begin),
            tasks=stage.tasks,
            between=lambda: None,
        )

    def _loop(self) -> None:
        assert self.runner is not None
        self.runner.run()
        self.send(messages.Ended(messages.DONE))

    def kill(self) -> None:
        """Die as by SIGKILL: nothing more is told, and the faults go with the process."""
        self.alive = False
        self._stage.clock.dead.add(self.thread)
        if self.world.chaos:
            self.world.chaos.sweep()
        self._stage.crew.gone(self.name)


@dataclass(frozen=True)
class _Port:
    worker: TestWorker

    def send(self, number: int, command: Message) -> None:
        self.worker.command(number, command)


@dataclass
class CrewStage:
    """A soak of `duration` seconds by several workers; `at` does things while it runs (run seconds)."""

    duration: float
    mode: str = "load"
    chosen: Sequence[str] = ON_CALLS
    tasks: Mapping[str, Task] = field(default_factory=dict)
    seed: int = 7
    past: Past | None = None
    killed_at: float = float("inf")

    def __post_init__(self) -> None:
        self.clock = TurnClock()
        self.workers: dict[str, TestWorker] = {}
        self.origin = ORIGIN - (self.past.elapsed if self.past else 0.0)
        self.records: list[Record] = list(self.past.records) if self.past else []
        self.said: list[str] = []
        self.reason = ""
        self._due: list[tuple[float, Callable[[], None]]] = []
        self.crew = Crew(
            self.clock,
            self.mode,
            get_rid=lambda member: self.workers[member.name].kill(),
            cause_of=lambda member: "it was killed",
            note=self.said.append,
        )

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Have something done at that time."""
        self._due.append((seconds, act))

    def worker(
        self,
        name: str,
        bodies: Mapping[str, Callable[[], object]],
        services: Iterable[Service] = (),
        breakers: Iterable[str] = (),
        identity: str = "",
    ) -> TestWorker:
        """Add a worker that has collected its tests and set up its world."""
        declared = index_services(services)
        chaos = (
            Chaos(declared.values(), seed=7, shares=HALF, clock=self.clock, chosen=self.chosen)
            if declared
            else None
        )
        world = World(declared, dict.fromkeys(breakers, object()), chaos)
        one = self.workers[name] = TestWorker(self, name, world, bodies)
        self.crew.add(name, _Port(one))
        tests = tuple(bodies)
        locations = tuple((test, 0, test) for test in tests)
        one.send(messages.Joined(tests, locations, ("",) * len(tests), "here", len(self.workers), "3.11"))
        self.crew.welcome()
        if self.member(name).standing is not Standing.IDLE:
            one.send(messages.Ready(tuple((*key, identity) for *key, _ in reach(world))))  # type: ignore[misc]
        return one

    def member(self, name: str) -> Member:
        return self.crew.roster.get(name)

    def play(self) -> "CrewStage":
        """Run the soak to its end."""
        self.conductor = Conductor(
            self.crew,
            clock=self.clock,
            origin=self.origin,
            past=self.past,
            duration=self.duration,
            budgets=divide(self.duration, {}),
            disabled={},
            seed=self.seed,
            store=self.records.append,
            say=self.said.append,
        )
        self.crew.attach(self._receive)
        script = self.conductor.script()
        self.crew.begin(self.origin, self.past)
        wait = next(script, None)
        while wait is not None:
            self.clock.pass_by(POLL_SECONDS)
            if self.conductor.now() >= self.killed_at:
                return self._die()
            self._tend()
            self.conductor.tick()
            try:
                while wait and (wait.ready() or self.conductor.now() >= wait.deadline):
                    wait = next(script, None)
            except Abort as end:
                self.reason, wait = str(end), None
        self.crew.send(messages.Stop())
        while self.crew.roster.standing(Standing.LOOPING):
            self.clock.pass_by(POLL_SECONDS)
        self.crew.look_after()
        return self

    def _die(self) -> "CrewStage":
        """Leave what was recorded; nobody records what becomes of the workers and their faults."""
        kept = list(self.records)
        for worker in self.workers.values():
            worker.kill()
        self.clock.pass_by(POLL_SECONDS)  # their threads notice
        self.records = kept
        return self

    def left_behind(self) -> RunData:
        """What the file has of the run when its processes are killed."""
        run = Run("t", "", self.seed, "medium", self.duration, "", "{}", "")
        progress, now = self.conductor.state.progress, self.conductor.now()
        number, began = (self.past.attempt.number, self.past.elapsed) if self.past else (1, 0.0)
        sign = Attempt(number, BEGAN, began, now, progress.rounds, progress.longest_round)
        before = self.past.data if self.past else None
        old: list[Record] = [run, *(before.attempts if before else ()), sign]
        if before:
            old += [*before.tallies, *before.failures, *before.seams]
        return gather([*old, *self.records])

    def _tend(self) -> None:
        for worker in self.workers.values():
            worker.send(messages.Heartbeat())
        due = [one for one in self._due if one[0] <= self.conductor.now()]
        for one in due:
            self._due.remove(one)
            one[1]()
        self.crew.look_after()
        self.crew.welcome()

    def _receive(self, message: Message) -> None:
        if isinstance(message, KINDS) and not isinstance(message, ChaosEvent):
            self.records.append(message)
        self.conductor.take(message)

    @cached_property
    def data(self) -> RunData:
        """What the run recorded."""
        ended = self.conductor.now()
        run = Run("t", "", self.seed, "medium", self.duration, "", "{}", "", "complete", "", ended)
        return gather([run, *self.records])

    def record(self, name: str) -> Worker:
        """Return the record of a worker."""
        return next(one for one in self.data.workers if one.name == name)
