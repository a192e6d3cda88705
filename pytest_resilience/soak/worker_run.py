"""The looping half of a distributed soak: one worker's runner and sampler, led over a link."""

from contextlib import ExitStack
from queue import SimpleQueue

from pytest_resilience.clock import Clock
from pytest_resilience.collector import start_up_frozen
from pytest_resilience.memory.sampler import Sampler
from pytest_resilience.settings import Settings
from pytest_resilience.soak import messages
from pytest_resilience.soak.legacy import Legacy
from pytest_resilience.soak.limits import Limit
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.pacing import Load
from pytest_resilience.soak.reach import reach
from pytest_resilience.soak.run import sampler_of, stop_attributing
from pytest_resilience.soak.runner import Runner
from pytest_resilience.soak.tasks import soak_tasks
from pytest_resilience.soak.watchdog import Rescue, Watchdog
from pytest_resilience.soak.worker_end import Channel, WorkerEnd
from pytest_resilience.soak.worker_pulse import WorkerPulse
from pytest_resilience.soak.world import Suite, World
from pytest_resilience.store.records import Hang

LEADER_GONE = "the process that led the soak is gone"


class Dismissed(Exception):  # noqa: N818
    """The soak is over before this worker could begin, or it was told to end at once."""


class WorkerRun:
    """What a worker does: `join`, then `expect` its tests, then `loop`, all on the tests' thread.

    Args:
        number: of the worker, so that not all run their tests in the same order.
        rate_share: how much of the run's rate this worker has.
    """

    def __init__(
        self, channel: Channel, settings: Settings, clock: Clock, number: int, rate_share: float = 1.0
    ) -> None:
        self._settings, self._clock, self._number = settings, clock, number
        self._load, self._rate_share = Load.read(settings.rate, settings.think_time), rate_share
        self._orders: SimpleQueue[Message] = SimpleQueue()
        self._runner: Runner | None = None
        self._sampler: Sampler | None = None
        self._suite: Suite | None = None
        self._rescue: Rescue | None = None
        self._world = World()
        self.told_to_end = False
        self.end = WorkerEnd(channel, self._lose)
        self.end.attach(self._obey)
        self.pulse = WorkerPulse(self.end, clock, self._undo)
        self.end.listen()

    def join(self, joined: messages.Joined) -> tuple[str, ...] | None:
        """Report for work; return the tests to loop (None is all). Raise Dismissed."""
        self.end.send(joined)
        assigned = self._next()
        assert isinstance(assigned, messages.Assign)
        return assigned.tests

    def stand_by(self) -> None:
        """Have nothing to do until the soak is over."""
        self._next()

    def loop(self, suite: Suite, world: World, rescue: Rescue) -> None:
        """Loop the suite until the leader ends it; faults are removed when this returns or raises.

        Raise Dismissed, and what the suite raises.
        """
        self._suite, self._world, self._rescue = suite, world, rescue
        for mark in world.marks.values():
            self.end.send(mark)
        self.end.send(messages.Ready(tuple(reach(world))))
        self._next()
        runner = self._runner
        assert runner is not None  # Begin came before Loop
        with ExitStack() as undo:
            undo.enter_context(start_up_frozen())
            undo.callback(self._finish, runner)
            if self._sampler:
                undo.callback(self._sampler.stop)
                undo.callback(stop_attributing, runner)
                self._sampler.start()
            if runner.watchdog:
                undo.callback(runner.watchdog.stop)
                runner.watchdog.start()
            runner.run()

    def give_up(self, hang: Hang) -> None:
        """Count an iteration that cannot be interrupted, and have this worker replaced; on another thread."""
        assert self._runner is not None
        self._runner.abandon(hang)
        self._runner.flush()
        self.end.send(messages.Stuck(hang.test, hang.seconds, hang.stacks))

    def _finish(self, runner: Runner) -> None:
        runner.stop()
        runner.flush()
        if self._sampler:
            now = self._clock.now() - self._origin
            for observer in self._sampler.observers(now):
                self.end.send(observer)

    def _next(self) -> Message:
        order = self._orders.get()
        if isinstance(order, (messages.Stop, messages.Halt)):
            raise Dismissed
        return order

    # On the thread of the commands

    def _obey(self, command: Message) -> None:
        match command:
            case messages.Begin():
                self._begin(command)
            case messages.Assign() | messages.Loop():
                self._orders.put(command)
            case messages.Stop() | messages.Halt():
                self.told_to_end = True
                self._orders.put(command)
                if isinstance(command, messages.Halt):
                    self.pulse.expire()
                if self._runner:
                    self._runner.stop()
            case _ if self._runner:
                self._runner.receive(command)

    def _begin(self, begin: messages.Begin) -> None:
        """Make the runner: its clock shows the run's time."""
        assert self._suite is not None
        self._origin = self._clock.now() - begin.at
        seed = self._settings.seed or 0
        self._runner = Runner(
            self._suite,
            self._world,
            self.end,
            clock=self._clock,
            origin=self._origin,
            seed=seed + self._number,
            legacy=Legacy.told_by(begin),
            tasks=soak_tasks(self._clock, seed, self._settings),
            between=lambda: None,
            load=self._load,
            rate_share=self._rate_share,
        )
        self.end.attach(self._obey)  # the runner has attached itself
        if self._settings.enable_memory_monitoring:
            self._sampler = sampler_of(
                self._runner, self._world, self.end, self._settings, self._clock, self._origin
            )
        self._runner.watchdog = self._make_watchdog(self._runner)

    def _make_watchdog(self, runner: Runner) -> Watchdog | None:
        """Have hangs noticed early: whoever runs many workers does not see that one of them stands still."""
        if not self._settings.iteration_timeout or self._rescue is None:
            return None
        return Watchdog(
            Limit(self._settings.iteration_timeout, runner.longest_pass),
            clock=self._clock,
            origin=self._origin,
            calm_since=runner.calm_since,
            owner=runner.owner,
            rescue=self._rescue,
            keep=self.end.send,
        )

    # When the leader is gone

    def _lose(self) -> None:
        """On the connection's thread: leave, with all faults removed."""
        self._orders.put(messages.Halt())
        self.pulse.expire()

    def _undo(self) -> None:
        if self._runner:
            self._runner.stop()
        elif self._world.chaos:
            self._world.chaos.sweep()
