"""The runner: loops the suite's soak tests and does what the conductor says."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from pytest_resilience.chaos.engine import Injection, Watch
from pytest_resilience.clock import Clock
from pytest_resilience.collector import refreeze
from pytest_resilience.errors import ResilienceError, ScenarioError
from pytest_resilience.soak import messages
from pytest_resilience.soak.calibration import Memory, calibrate
from pytest_resilience.soak.candidates import candidates
from pytest_resilience.soak.checkpoints import Checkpoints
from pytest_resilience.soak.legacy import NOTHING, Legacy
from pytest_resilience.soak.link import Link
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.pacing import NO_LIMIT, Load, Pacer
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.recovery import RecoveryWatch, latency_limit
from pytest_resilience.soak.rounds import Rounds
from pytest_resilience.soak.telemetry import Telemetry
from pytest_resilience.soak.watchdog import HungIteration, Iteration, Watchdog
from pytest_resilience.soak.windows import EventWindows
from pytest_resilience.soak.world import Suite, Task, World
from pytest_resilience.store.records import Hang

FLUSH_SECONDS = 0.25
SOON_SECONDS = 1e-6
BEFORE_CHAOS = (PhaseName.INITIALIZATION, PhaseName.BASELINE)


class Runner:
    """Runs on the thread that owns the tests; `receive` may be called on any thread.

    Args:
        origin: what the clock showed when the run began.
        legacy: what it takes over from processes that looped before it.
        tasks: what to do for a command that pauses the suite.
        between: called between two iterations.
        load: how many iterations are asked for.
        rate_share: how much of the rate this runner has; the others have the rest.
    """

    def __init__(
        self,
        suite: Suite,
        world: World,
        link: Link,
        *,
        clock: Clock,
        origin: float,
        seed: int,
        legacy: Legacy = NOTHING,
        tasks: Mapping[str, Task],
        between: Callable[[], None],
        load: Load = NO_LIMIT,
        rate_share: float = 1.0,
    ) -> None:
        self.memory: Memory | None = None
        self.watchdog: Watchdog | None = None
        self._suite, self._world, self._link = suite, world, link
        self._clock, self._origin = clock, origin
        self._between, self._tasks = between, tasks
        weights = {test: mark.weight for test, mark in world.marks.items()}
        self._rounds = Rounds(suite.tests, seed, weights, begin=legacy.rounds_drawn)
        self._survived = {test: mark.survived for test, mark in world.marks.items()}
        pacer = Pacer(load, share=rate_share, seed=seed, began=self._now())
        self._pacer = pacer if load != NO_LIMIT else None
        self._windows = EventWindows()
        self._telemetry = Telemetry(self.owner)
        self.longest_pass = self._telemetry.longest_pass
        self._phase: str = PhaseName.INITIALIZATION
        self._previous = ""
        self._stopping, self._entered = threading.Event(), threading.Event()
        self._seams: Watch | None = None
        self._injections: dict[str, Injection] = {}
        self._recovering: dict[str, RecoveryWatch] = {}
        self._overlapped: set[str] = set()
        self._task: Message | None = None
        self.checkpoints = Checkpoints()
        self._next_flush = self._longest_calm_round = self.round_seconds = 0.0
        self._take_over(legacy)
        link.attach(self.receive)

    def _take_over(self, legacy: Legacy) -> None:
        self._trial = legacy.trial
        self._telemetry.restore(legacy)
        self._completed_rounds, self._longest_round = legacy.rounds, legacy.longest_round
        if self._world.chaos:
            self._world.chaos.carry_on(legacy.normal_seconds, legacy.injected)

    @property
    def phase(self) -> str:
        return self._phase

    @property
    def iterations(self) -> int:
        return self._telemetry.iterations

    @property
    def failures_outside(self) -> int:
        return self._telemetry.failures_outside

    def owner(self, test: str, started: float, ended: float) -> str:
        """Return the event to which a failure of a test in that time belongs, or an empty string."""
        return self._windows.owner(started, ended, self._survived.get(test, ()))

    def calm_since(self) -> float:
        """Return since when no fault is armed (run seconds); infinity while one is."""
        return self._windows.calm_since()

    def run(self) -> None:
        """Loop until told to stop."""
        order, upcoming = list(self._suite.tests), self._rounds.next()
        if self._trial:
            self._try_out(order, upcoming[0])
        else:
            self._round(order, upcoming[0])
        for slope in calibrate(self.memory, self._suite, upcoming[0]):
            self._link.send(slope)
        self._link.send(self._declared())
        if self._trial:  # others may still be trying out their tests: nothing counts before the run goes on
            self._wait_for(self._entered)
        self._resume_pace()
        while not self._stopping.is_set():
            order, upcoming = upcoming, self._rounds.next()
            self._round(order, upcoming[0])
        self.flush()
        self._link.send(messages.Finished("loop"))

    def stop(self) -> None:
        """Remove every fault and end the loop after the running iteration; never raises."""
        self._stopping.set()
        if self._seams:
            self._seams.stop()
        if self._world.chaos:
            self._world.chaos.sweep()

    def _now(self) -> float:
        return self._clock.now() - self._origin

    def _declared(self) -> messages.Declared:
        services, chaos = self._world.services, self._world.chaos
        return messages.Declared(
            tests=tuple(self._suite.tests),
            services=tuple(services),
            breakers=tuple(self._world.breakers),
            edges=sum(len(service.needs) for service in services.values()),
            candidates=tuple(candidates(services.values(), chaos.soaked)) if chaos else (),
            at_once=chaos.at_once if chaos else 1,
        )

    def _try_out(self, order: Sequence[str], afterwards: str) -> None:
        """Run each test once, to see whether the run can go on in this process; that counts for nothing.

        If one fails, wait for the end that the conductor makes of it.
        """
        for test, following in zip(order, (*order[1:], afterwards), strict=True):
            if self._stopping.is_set():
                return
            outcome = self._suite.run(test, following)
            if outcome.status is Status.FAILED:
                how = f"fails at once in the process that is to resume the run ({outcome.crash})"
                self._link.send(messages.Broken(test, how))
                self._wait_for(self._stopping)
            self._between()

    def _wait_for(self, event: threading.Event) -> None:
        while not (self._stopping.is_set() or self._clock.wait(event, FLUSH_SECONDS)):
            self._between()

    # The loop

    def _round(self, order: Sequence[str], afterwards: str) -> None:
        self._pace()
        started, calm, rested = self._now(), self._is_calm, 0.0
        recovering = tuple(self._recovering.items())
        outcomes: list[tuple[str, Outcome]] = []
        for test, following in zip(order, (*order[1:], afterwards), strict=True):
            if outcomes:
                self._pace()
            if self._stopping.is_set():
                return
            outcomes.append((test, self._iterate(test, following)))
            rested += self._rest()
        self._completed_rounds += 1
        self.round_seconds = self._now() - started
        took = self.round_seconds - rested
        self._longest_round = max(self._longest_round, took)
        if calm and self._is_calm:
            self._longest_calm_round = max(self._longest_calm_round, took)
        for event_id, watch in recovering:
            self._judge_recovery(event_id, watch, started, outcomes)

    @property
    def _is_calm(self) -> bool:
        return not (self._injections or self._recovering)

    def _pace(self) -> None:
        """Wait until the next iteration is due, and do meanwhile what is due between two."""
        if self._pacer is None:
            return
        while (left := self._pacer.due - self._now()) > SOON_SECONDS and not self._stopping.is_set():
            self._clock.wait(self._stopping, min(left, FLUSH_SECONDS))
            if left > FLUSH_SECONDS:
                self._rest()

    def _resume_pace(self) -> None:
        if self._pacer:
            self._pacer.resume(self._now())

    def _iterate(self, test: str, following: str) -> Outcome:
        began_in, started = self._phase, self._now()
        if self._pacer:
            self._pacer.started(started)
        outcome = self._run(test, following, started)
        ended = self._now()
        if self._pacer:
            self._pacer.ended(ended)
        event_id = self._telemetry.add(test, self._phase, outcome, started, ended)
        if outcome.status is Status.FAILED and began_in in BEFORE_CHAOS and not event_id:
            self.flush()
            self._link.send(messages.Broken(test, self._how_broken(test)))
        self._previous = test
        return outcome

    def _how_broken(self, test: str) -> str:
        """Tell a test that never passes from one that fails again, or after another one."""
        if not self._completed_rounds:
            return "fails at once"
        how = "passes once, fails when repeated"
        return (
            how
            if self._previous == test
            else f"{how}, or after another test (pytest {self._previous} {test})"
        )

    def _run(self, test: str, following: str, started: float) -> Outcome:
        watchdog = self.watchdog
        if watchdog is None:
            return self._suite.run(test, following)
        watchdog.current = Iteration(test, self._phase, started)
        try:
            outcome = self._suite.run(test, following)
        except HungIteration:
            outcome = watchdog.failure()
        except BaseException:
            watchdog.current = None
            raise
        return watchdog.end(outcome)

    def abandon(self, hang: Hang) -> None:
        """Count the iteration that hangs as a failure, on another thread: the tests' own never comes back."""
        assert self.watchdog is not None
        ended = hang.started + hang.seconds
        self._telemetry.add(hang.test, hang.phase, self.watchdog.failure(), hang.started, ended)

    def _judge_recovery(
        self, event_id: str, watch: RecoveryWatch, started: float, outcomes: Sequence[tuple[str, Outcome]]
    ) -> None:
        if watch.round_recovers(started, outcomes) and self._recovering.pop(event_id, None) is watch:
            self._windows.close(event_id, started)
            self._link.send(messages.Recovered(event_id, started))

    def _rest(self) -> float:
        """Do what is due between two iterations; return the seconds that took: they are not the suite's."""
        now = self._now()
        if self._task is not None:
            self._run_task()
        if now >= self.checkpoints.next:
            self._checkpoint()
        if now >= self._next_flush:
            self.flush()
            self._next_flush = now + FLUSH_SECONDS
        self._between()
        return self._now() - now

    def flush(self) -> None:
        """Send all that the loop has counted since the last time."""
        for record in self._telemetry.drain():
            self._link.send(record)
        for event_id, injection in list(self._injections.items()):
            self._count(event_id, injection)
        self._link.send(self._progress())

    def _count(self, event_id: str, injection: Injection) -> None:
        """Tell what a fault has done so far; if the supervisor lost it, its removal will say so."""
        injection.settle()
        if injection.mistake:
            self._link.send(messages.Mistaken(event_id, injection.mistake))
        with suppress(ScenarioError):
            touched = injection.touched
            self._link.send(messages.Fired(event_id, touched.reached, touched.fired))

    def _progress(self) -> messages.Progress:
        telemetry = self._telemetry
        return messages.Progress(
            at=self._now(),
            iterations=telemetry.iterations,
            rounds=self._completed_rounds,
            failures=telemetry.failures,
            failures_outside=telemetry.failures_outside,
            longest_round=self._longest_round,
            longest_calm_round=self._longest_calm_round,
        )

    def _checkpoint(self) -> None:
        if self.checkpoints.begins:
            refreeze()
        cost = self.memory.checkpoint() if self.memory else 0.0
        self.checkpoints.taken(self._now(), cost)

    def _run_task(self) -> None:
        task, self._task = self._task, None
        for message in self._tasks[type(task).__name__](self._world):
            self._link.send(message)
        self._resume_pace()
        self._link.send(messages.Finished(type(task).__name__))

    # What the conductor says

    def receive(self, command: Message) -> None:
        """Do what the conductor says; on its thread."""
        try:
            self._obey(command)
        except ResilienceError as wrong:
            self._link.send(messages.Trouble(str(wrong)))

    def _obey(self, command: Message) -> None:
        match command:
            case messages.EnterPhase(phase):
                plan = (command.checkpoint_seconds, command.due, command.checkpoint_share)
                self.checkpoints.plan(self._now(), *plan)
                self._phase = phase
                self._entered.set()
            case messages.WatchSeams(active):
                self._watch_seams(active)
            case messages.Inject():
                self._inject(command)
            case messages.Remove(event_id):
                self._remove(event_id)
            case messages.Overlap(event_id):
                self._overlapped.add(event_id)
                self._windows.open(event_id, self._now())
            case messages.AwaitRecovery(event_id):
                self._windows.open(event_id, self._now())
                self._recovering[event_id] = RecoveryWatch(self._now(), self._limits())
            case messages.Settle(event_id):
                self._recovering.pop(event_id, None)
                self._windows.close(event_id, self._now())
            case messages.Stop():
                self.stop()
            case _:
                self._task = command

    def _watch_seams(self, active: bool) -> None:
        chaos = self._world.chaos
        if chaos is None:
            return
        self._link.send(self._progress())
        if active:
            self._seams = chaos.watch()
        elif self._seams:
            seams, self._seams = self._seams.stop(), None
            for seam in seams:
                self._link.send(seam)

    def _inject(self, wanted: messages.Inject) -> None:
        event_id = wanted.event_id
        if self._world.chaos is None or self._stopping.is_set():
            return
        self._windows.open(event_id, self._now(), wanted.scenario)
        try:
            injection = self._world.chaos.inject(
                wanted.scenario, wanted.target, seam=wanted.seam, must_fire=False
            )
        except ResilienceError:
            self._windows.forget(event_id)
            raise
        self._injections[event_id] = injection
        self._report(event_id, injection)

    def _remove(self, event_id: str) -> None:
        injection = self._injections.pop(event_id, None)
        if injection is None:
            if event_id in self._overlapped:
                self._recovering[event_id] = RecoveryWatch(self._now(), self._limits())
            return
        try:
            injection.remove()
        except ResilienceError as failure:
            self._link.send(messages.Trouble(str(failure)))
            injection.remove()  # asked again, the supervisor tries again, or there is nothing left to undo
        self._windows.remove(event_id, self._now())
        self._recovering[event_id] = RecoveryWatch(self._now(), self._limits())
        self._count(event_id, injection)
        self._report(event_id, injection)

    def _report(self, event_id: str, injection: Injection) -> None:
        """Tell what an event is, under the conductor's name for it."""
        self._link.send(replace(injection.record(self._origin), event_id=event_id))
        for metrics in injection.metrics:
            self._link.send(replace(metrics, event_id=event_id))

    def _limits(self) -> Mapping[str, float]:
        """Return the longest latency of each test in the steady state; a test without a baseline has none."""
        baselines = {test: self._telemetry.baseline(test) for test in self._suite.tests}
        return {test: latency_limit(baseline) for test, baseline in baselines.items() if baseline.count}
