"""The sampler: what it delivers, how it stops, and that it does not grow."""

import gc
import itertools
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import pytest

from pytest_resilience.clock import Clock, ManualClock, SystemClock
from pytest_resilience.memory.procfs import Sizes
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.sampler import CAPACITY, Deliver, Sampler, interval_for
from pytest_resilience.memory.signals import Signals, Whole


class Constants(Signals):
    """Signals that never change and cost nothing, so that only the sampler's own memory is seen."""

    def sizes(self) -> Sizes:
        return Sizes(50_000_000, 90_000_000, 7_000_000)

    def malloc_used(self) -> int:
        return 4_000_000

    def blocks(self) -> int:
        return 100_000

    def fds(self) -> None:
        return None

    def threads(self) -> int:
        return 2

    def children(self) -> int:
        return 0

    def gc_objects(self) -> int:
        return 10_000

    def children_pss(self) -> int:
        return 0

    def whole(self) -> Whole:
        return Whole(41_000_000, 43_000_000)

    def cgroup_used(self) -> None:
        return None

    def system_percent(self) -> float:
        return 41.5


class Cycle:
    """An object that only the garbage collector can free."""

    def __init__(self) -> None:
        self.itself = self


class Broken(Constants):
    """Signals whose second reading fails."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = threading.Event()
        self._count = itertools.count()

    def sizes(self) -> Sizes:
        if next(self._count):
            self.failed.set()
            raise RuntimeError("no memory of it")
        return Sizes(1, 1, 1)


def sampler(
    deliver: Deliver,
    clock: Clock,
    interval: float = 0.05,
    iteration: Callable[[], int] = lambda: 7,
    signals: Signals | None = None,
    complain: Callable[[str], None] | None = None,
) -> Sampler:
    """Build a sampler of a run that began at second 100 of the clock."""
    phase = "MEMORY_SOAK_TESTING"
    return Sampler(interval, clock, 100.0, iteration, lambda: phase, deliver, signals, complain=complain)


@pytest.mark.parametrize(
    ("duration", "interval"), [(1, 0.05), (60, 0.125), (4 * 3600, 30.0), (3600, 7.5), (1e9, 30.0)]
)
def test_a_run_has_about_480_samples(duration: float, interval: float) -> None:
    """The interval follows the duration, between 50 ms and 30 s."""
    assert interval_for(duration) == pytest.approx(interval)


def test_samples_arrive_in_order_and_complete() -> None:
    """Samples of the thread and checkpoints of the test's thread share one order; nothing is lost at stop."""
    received: list[Sample] = []
    clock = SystemClock()
    numbers = itertools.count()
    watch = Sampler(0.005, clock, clock.now(), lambda: next(numbers), lambda: "A", received.extend)
    watch.start()
    costs = [watch.checkpoint() for _ in range(20)]
    deadline = time.monotonic() + 5
    while len(received) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    watch.stop()
    times = [sample.at for sample in received]
    assert times == sorted(times)
    assert sum(sample.checkpoint for sample in received) == 20
    assert len(received) == next(numbers)
    assert all(cost > 0 for cost in costs)
    assert 0 < watch.cpu_seconds < 5


def test_no_sample_is_taken_while_it_is_held() -> None:
    """What is done meanwhile is not the tests'; a checkpoint is taken anyway, and samples go on after."""
    received: list[Sample] = []
    clock = SystemClock()
    watch = Sampler(0.002, clock, clock.now(), lambda: 0, lambda: "A", received.extend)
    with watch.held():
        watch.start()
        time.sleep(0.1)
        watch.checkpoint()
    released = clock.now()
    while clock.now() < released + 0.1:
        time.sleep(0.01)
    watch.stop()
    assert received[0].checkpoint
    assert len(received) > 1
    assert not any(sample.checkpoint for sample in received[1:])


def test_a_checkpoint_reads_everything() -> None:
    """At a checkpoint garbage is gone and each signal has a value."""
    received: list[Sample] = []
    watch = sampler(received.extend, ManualClock(101.5))
    garbage = Cycle()
    gone = weakref.ref(garbage)
    del garbage
    watch.checkpoint()
    assert gone() is None
    watch.stop()
    (sample,) = received
    assert (sample.at, sample.phase, sample.checkpoint, sample.iteration) == (
        1.5,
        "MEMORY_SOAK_TESTING",
        True,
        7,
    )
    assert sample.gc_objects is not None
    assert sample.gc_objects > 1000
    assert sample.system_percent is not None


def test_an_ordinary_sample_does_not_count_containers() -> None:
    """Between checkpoints the costly signal is not read, and one that cannot be read is None."""
    received: list[Sample] = []
    watch = sampler(received.extend, ManualClock(102.0), signals=Constants())
    watch.sample()
    watch.stop()
    assert received == [
        Sample(
            at=2.0,
            phase="MEMORY_SOAK_TESTING",
            checkpoint=False,
            iteration=7,
            rss=50_000_000,
            vms=90_000_000,
            shared=7_000_000,
            uss=41_000_000,
            pss=43_000_000,
            children_pss=0,
            malloc_used=4_000_000,
            blocks=100_000,
            threads=2,
            children=0,
            system_percent=41.5,
        )
    ]


def test_many_checkpoints_between_two_deliveries_are_kept() -> None:
    """A full buffer is handed on at once."""
    received: list[Sample] = []
    watch = sampler(received.extend, ManualClock(100.0), signals=Constants())
    for _ in range(CAPACITY + 1):
        watch.sample()
    assert len(received) == CAPACITY
    watch.stop()
    assert len(received) == CAPACITY + 1


def test_deliveries_come_about_twice_a_second() -> None:
    """At 20 samples per second a delivery brings about 10 of them."""
    sizes: list[int] = []
    clock = ManualClock(100.0)
    enough = threading.Event()

    def deliver(samples: Sequence[Sample]) -> None:
        sizes.append(len(samples))
        if len(sizes) == 5:
            enough.set()

    watch = sampler(deliver, clock, signals=Constants())
    watch.start()
    assert enough.wait(10)
    watch.stop()
    assert sizes[1:5] == pytest.approx([10] * 4, abs=1)


def test_stop_is_idempotent_and_works_before_start() -> None:
    """Stopping twice, or without a start, is no error; a checkpoint after it does nothing."""
    received: list[Sample] = []
    watch = sampler(received.extend, ManualClock(100.0))
    watch.stop()
    watch.stop()
    assert watch.checkpoint() == 0.0
    assert received == []


def test_a_failure_of_the_thread_is_raised_at_stop() -> None:
    """What the thread failed with is not lost, and the samples before it arrive."""
    received: list[Sample] = []
    broken = Broken()
    watch = sampler(received.extend, SystemClock(), signals=broken)
    watch.start()
    assert broken.failed.wait(10)
    with pytest.raises(RuntimeError, match="no memory of it"):
        watch.stop()
    watch.stop()
    assert [sample.rss for sample in received] == [1]


@pytest.mark.parametrize("fails", [Sampler.start, Sampler.checkpoint])
def test_a_failure_is_told_at_once_where_somebody_listens(fails: Callable[[Sampler], object]) -> None:
    """On the thread or at a checkpoint: once, then nothing is sampled any more, and stopping is no error."""
    told: list[str] = []
    broken = Broken()
    watch = sampler(lambda _: None, SystemClock(), 0.001, signals=broken, complain=told.append)
    broken.sizes()
    fails(watch)
    deadline = time.monotonic() + 10
    while not told:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert watch.checkpoint() == 0.0
    watch.stop()
    assert told == ["memory is not sampled any more: RuntimeError: no memory of it"]


def test_a_million_samples_leave_no_memory() -> None:
    """From sample 1,000 to 1,000,000 the sampler allocates no block that it does not give back."""
    clock = ManualClock(100.0)
    watch = sampler(lambda _: None, clock, signals=Constants())

    def take(samples: int) -> None:
        for _ in range(samples):
            clock.advance(0.125)
            watch.sample()

    take(1_000)
    gc.collect()
    before = sys.getallocatedblocks()
    take(999_000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 50
    watch.stop()
