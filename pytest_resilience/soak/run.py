"""One soak in one process: sampler and runner beside the half that leads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from pytest_resilience.clock import Clock
from pytest_resilience.collector import start_up_frozen
from pytest_resilience.errors import ResilienceError
from pytest_resilience.memory.allocations import Allocations, available
from pytest_resilience.memory.attribute import Attribution
from pytest_resilience.memory.gauges import GaugeReader
from pytest_resilience.memory.readers import OutsideReader
from pytest_resilience.memory.records import Observer, Reading, Sample
from pytest_resilience.memory.sampler import Sampler, interval_for
from pytest_resilience.memory.suspicion import Suspect, Suspicion
from pytest_resilience.settings import Settings
from pytest_resilience.soak.attributing import Attributing, Surroundings
from pytest_resilience.soak.led_run import LedRun
from pytest_resilience.soak.legacy import NOTHING
from pytest_resilience.soak.limits import Limit
from pytest_resilience.soak.link import Link, Loopback
from pytest_resilience.soak.live import Now
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.run_setup import RunSetup
from pytest_resilience.soak.runner import Runner
from pytest_resilience.soak.tasks import soak_tasks
from pytest_resilience.soak.watchdog import Rescue, Watchdog
from pytest_resilience.soak.world import Suite, World
from pytest_resilience.store.records import Hang, Note, SoakTest

LONGEST_CALIBRATION = 5.0
CALIBRATION_SHARE = 0.03
"""Of the run: on a busy machine the empty iterations of a calibration take a good second."""
LOOKING_SHARE, FEWEST_LOOKING_SECONDS, MOST_LOOKING_SECONDS = 0.1, 5.0, 30.0
"""Of the run, that the search for culprits may take; the fewest seconds are for signals that have tripped."""


class SoakRun(LedRun):
    """A soak of `suite` in this process.

    Call `loop` (it returns when the run is over), then `analyse`, then `close`, all on the tests' thread.

    Args:
        between: called between two iterations, on the tests' thread.
        rescue: ends an iteration that hangs; without it none is watched.
    """

    def __init__(
        self,
        suite: Suite,
        world: World,
        setup: RunSetup,
        *,
        between: Callable[[], None],
        rescue: Rescue | None = None,
    ) -> None:
        runner_end, conductor_end = Loopback.pair()
        tests = [world.marks.get(test, SoakTest(test)) for test in suite.tests]
        super().__init__(conductor_end, tests, setup)
        self._runner = self._make_runner(runner_end, suite, world, between)
        self._sampler = (
            sampler_of(self._runner, world, runner_end, setup.settings, setup.clock, self._origin)
            if setup.settings.enable_memory_monitoring
            else None
        )
        self._runner.watchdog = self._make_watchdog(rescue, runner_end) if rescue else None

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
            legacy=self._past.legacy if self._past else NOTHING,
            tasks=soak_tasks(self._clock, seed, self._settings),
            between=rest,
            load=self._load,
        )

    def _make_watchdog(self, rescue: Rescue, link: Loopback) -> Watchdog | None:
        if not self._settings.iteration_timeout:
            return None
        return Watchdog(
            Limit(self._settings.iteration_timeout),
            clock=self._clock,
            origin=self._origin,
            calm_since=self._runner.calm_since,
            owner=self._runner.owner,
            rescue=rescue,
            keep=link.send,
        )

    def now(self) -> Now:
        """Return where the soak is, to the last iteration."""
        return replace(super().now(), phase=self._runner.phase, iterations=self._runner.iterations)

    @property
    def failures_outside(self) -> int:
        return self._runner.failures_outside

    def loop(self) -> None:
        """Run all phases that loop; faults are removed and threads ended when this returns or raises."""
        with ExitStack() as undo:
            undo.enter_context(start_up_frozen())
            if self._sampler:
                undo.callback(self._sampler.stop)
                undo.callback(stop_attributing, self._runner)
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

    def _observers(self) -> Iterator[Observer]:
        if self._sampler:
            yield from self._sampler.observers(self._conductor.now())
        yield from super()._observers()


def stop_attributing(runner: Runner) -> None:
    """End what still looks for culprits, on the tests' thread."""
    if isinstance(runner.memory, Attributing):
        runner.memory.close()


def is_judged(phase: str) -> bool:
    """Tell whether leaks are looked for in a phase; faults distort the others."""
    return phase == PhaseName.MEMORY


def sampler_of(
    runner: Runner, world: World, link: Link, settings: Settings, clock: Clock, origin: float
) -> Sampler:
    """Return the sampler of the process in which `runner` loops; what it sees goes over `link`.

    The runner has its checkpoints, and behind them the search for culprits.
    """

    def deliver(records: Sequence[Sample | Reading]) -> None:
        for record in records:
            link.send(record)

    def suspect(found: Suspect) -> None:
        if found.trips:
            complain(found.line)
        attributing.suspect(found)

    def complain(text: str) -> None:
        link.send(Note(now(), text))

    def now() -> float:
        return clock.now() - origin

    usual = interval_for(duration := settings.duration_seconds or 0.0)
    sampler = Sampler(
        settings.memory_interval or usual,
        clock,
        origin,
        lambda: runner.iterations,
        lambda: runner.phase,
        deliver,
        processes=[OutsideReader(one, complain) for one in world.processes],
        gauges=GaugeReader(world.gauges, usual, deliver, complain) if world.gauges else None,
        suspicion=Suspicion(is_judged, suspect),
        calibration_seconds=min(LONGEST_CALIBRATION, CALIBRATION_SHARE * duration),
        complain=complain,
    )
    around = _surroundings(runner, link, complain, now, sampler)
    own = _attribution_of(duration)
    attributing = Attributing(sampler, world.processes, around, runner.checkpoints, duration, own)
    runner.memory = attributing
    return sampler


def _surroundings(
    runner: Runner,
    link: Link,
    complain: Callable[[str], None],
    now: Callable[[], float],
    sampler: Sampler,
) -> Surroundings:
    return Surroundings(
        link.send,
        complain,
        now,
        sampler.held,
        judged=lambda: is_judged(runner.phase),
        round_seconds=lambda: runner.round_seconds,
    )


def _attribution_of(duration: float) -> Attribution:
    """Return what looks who holds what leaks, for a bounded part of the run."""
    early = min(MOST_LOOKING_SECONDS, LOOKING_SHARE * duration)
    most = max(early, FEWEST_LOOKING_SECONDS)
    allocations = Allocations() if available() else None
    return Attribution(allocations=allocations, most_seconds=most, early_seconds=early)
