"""A thread that watches the memory of this process without adding to it."""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from pytest_resilience.clock import Clock
from pytest_resilience.descriptors import exhausted
from pytest_resilience.memory.calibrate import own_slopes
from pytest_resilience.memory.columns import Columns
from pytest_resilience.memory.gauges import GaugeReader
from pytest_resilience.memory.readers import Counts, OutsideReader, OwnReader
from pytest_resilience.memory.records import CHECKPOINTS, ITSELF, Observer, OwnSlope, Sample
from pytest_resilience.memory.signals import Signals, open_signals
from pytest_resilience.memory.suspicion import Suspicion

Deliver: TypeAlias = Callable[[Sequence[Sample]], None]

SAMPLES_PER_RUN = 480
SHORTEST_INTERVAL = 0.05
LONGEST_INTERVAL = 30.0
DELIVERY_SECONDS = 0.5
CAPACITY = 256


def interval_for(duration_seconds: float) -> float:
    """Return the seconds between samples that give a run of this duration about 480 of them."""
    return min(LONGEST_INTERVAL, max(SHORTEST_INTERVAL, duration_seconds / SAMPLES_PER_RUN))


class Sampler:
    """Samples this process every `interval` seconds, and hands the samples on about twice a second.

    A signal that is costly to read is read less often, so that the thread stays under 1 % of a core;
    containers are counted at checkpoints only. `checkpoint_seconds` is the CPU time of these, which the
    tests' thread spent.

    Args:
        interval: seconds between two samples.
        clock: of the run.
        origin: what the clock showed when the run began.
        iteration: returns how many iterations have run; called from the sampler's thread.
        phase: returns the name of the current phase; called from the sampler's thread.
        deliver: takes the samples, in order, mostly on the sampler's thread; one call at a time. It must
            pass them on, not keep them: a list of them in this process looks like a leak.
        signals: what to read; by default this process's.
        processes: reads the processes that are watched beside this one.
        gauges: reads what the user declared.
        suspicion: says early what looks like a leak.
        calibration_seconds: that a calibration may take.
        complain: is told once if a reading fails, after which nothing is sampled any more; without it `stop`
            raises what failed.
    """

    def __init__(
        self,
        interval: float,
        clock: Clock,
        origin: float,
        iteration: Callable[[], int],
        phase: Callable[[], str],
        deliver: Deliver,
        signals: Signals | None = None,
        *,
        processes: Sequence[OutsideReader] = (),
        gauges: GaugeReader | None = None,
        suspicion: Suspicion | None = None,
        calibration_seconds: float = 1.0,
        complain: Callable[[str], None] | None = None,
    ) -> None:
        self.cpu_seconds = self.checkpoint_seconds = 0.0
        self._interval = interval
        self._clock = clock
        self._origin = origin
        self._iteration = iteration
        self._phase = phase
        self._deliver = deliver
        self._signals = signals or open_signals()
        self._own = OwnReader(self._signals)
        self._processes, self._gauges = processes, gauges
        self._suspicion, self._calibration_seconds = suspicion, calibration_seconds
        self._complain = complain
        self._columns = Columns(CAPACITY)
        self._writing = threading.Lock()
        self._delivering = threading.Lock()
        self._stopping, self._held = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="resilience-sampler", daemon=True)

    def start(self) -> None:
        """Begin to sample; a sampler starts once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling and deliver what is left; raise what the thread failed with. May be called again."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._signals.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self._hand_on()

    def checkpoint(self) -> float:
        """Collect garbage, then read every signal; return the seconds that this took.

        Call it from the test's thread between two iterations; it does nothing after stop().
        """
        if self._stopping.is_set() or exhausted():
            return 0.0
        began, cpu = self._clock.now(), time.thread_time()
        gc.collect()
        try:
            self._record(self._own.checkpoint(began), self._signals.system_percent(), checkpoint=True)
        except Exception as failure:
            self._give_up(failure)
        self.checkpoint_seconds += time.thread_time() - cpu
        return self._clock.now() - began

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the thread take no sample while the block lasts: what is done there is not the tests'."""
        self._held.set()
        try:
            yield
        finally:
            self._held.clear()

    def calibrate(self, run_empty: Callable[[], None]) -> tuple[OwnSlope, ...]:
        """Measure what an empty iteration leaves behind; nothing if that takes too long.

        Call it from the test's thread; see `calibrate.own_slopes`.
        """
        until = self._clock.now() + self._calibration_seconds
        slopes = own_slopes(run_empty, self._own.settled, lambda: self._clock.now() < until)
        if self._suspicion:
            self._suspicion.subtract(slopes)
        return slopes

    def observers(self, at: float) -> tuple[Observer, ...]:
        """Return what the watching cost until `at` (run seconds)."""
        thread = Observer("sampler", at, self.cpu_seconds)
        return thread, Observer(CHECKPOINTS, at, self.checkpoint_seconds)

    def sample(self) -> None:
        """Take one ordinary sample, as the thread does at each interval."""
        now = self._clock.now()
        self._record(self._own.sample(now), self._own.system_percent(now))
        for process in self._processes:
            counts = process.sample(now)
            if counts is not None:
                self._record(counts, process=process.name, pid=process.pid)
        if self._gauges:
            self._gauges.sample(now, now - self._origin, self._phase(), self._iteration())

    def _sample_unless_exhausted(self) -> None:
        """Take a sample; while a fault has taken the process's descriptors, leave it out."""
        try:
            self.sample()
        except OSError:
            if not exhausted():
                raise

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as failure:
            self._give_up(failure)

    def _give_up(self, failure: BaseException) -> None:
        """Take no more samples."""
        self._stopping.set()
        if self._complain:
            self._complain(f"memory is not sampled any more: {type(failure).__name__}: {failure}")
        else:
            self._failure = failure

    def _loop(self) -> None:
        due = deliver_at = self._clock.now()
        while not self._clock.wait(self._stopping, due - self._clock.now()):
            if not self._held.is_set():
                self._sample_unless_exhausted()
            now = self._clock.now()
            if now >= deliver_at:
                self._hand_on()
                deliver_at = now + DELIVERY_SECONDS
            due = max(due + self._interval, now)
            self.cpu_seconds = time.thread_time()

    def _record(
        self,
        counts: Counts,
        system: float | None = None,
        *,
        checkpoint: bool = False,
        process: str = ITSELF,
        pid: int = 0,
    ) -> None:
        phase, iteration = self._phase(), self._iteration()
        if self._columns.full:
            self._hand_on()
        with self._writing:
            at = self._clock.now() - self._origin
            self._columns.append(
                at, phase, iteration, counts, system, checkpoint=checkpoint, process=process, pid=pid
            )

    def _hand_on(self) -> None:
        with self._delivering:
            with self._writing:
                samples = self._columns.drain()
            if samples:
                self._deliver(samples)
            if samples and self._suspicion and not self._stopping.is_set():
                self._suspicion.take(samples)
            if self._gauges:
                self._gauges.hand_on()
