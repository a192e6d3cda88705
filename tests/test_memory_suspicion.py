"""Suspicions while a run goes on: told once, of the phase that is judged, in bounded memory."""

import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import pytest

from pytest_resilience.memory.columns import Columns
from pytest_resilience.memory.records import OwnSlope, Sample
from pytest_resilience.memory.suspicion import CAPACITY, Suspect, Suspicion
from pytest_resilience.units import MIB

JUDGED, OTHER = "MEMORY_SOAK_TESTING", "CHAOS_INJECTION"


class Watch:
    """A suspicion whose judging costs nothing, and what it told."""

    def __init__(self, cpu: Callable[[], float] = lambda: 0.0) -> None:
        self.told: list[Suspect] = []
        self.suspicion = Suspicion(lambda phase: phase == JUDGED, self.told.append, cpu)

    def take(self, samples: Iterator[Sample], count: int) -> None:
        """Have so many samples, four at a time as they are delivered."""
        while batch := list(islice(samples, min(4, count))):
            self.suspicion.take(batch)
            count -= len(batch)


def growing(per_sample: int, phase: str = JUDGED, process: str = "") -> Iterator[Sample]:
    """Yield samples, eight a second, whose malloc memory grows (of another process its RSS)."""
    for index in range(100_000):
        size = 10 * MIB + per_sample * index
        sample = Sample(index / 8, phase, checkpoint=False, iteration=index * 10, rss=50 * MIB)
        if process:
            yield replace(sample, rss=size, process=process, pid=7)
        else:
            yield replace(sample, malloc_used=size, blocks=10**5)


def test_steady_growth_is_suspect_and_told_once() -> None:
    """It trips soon after the samples that are needed, in words that promise nothing."""
    watch = Watch()
    watch.take(growing(20_000), 400)
    assert [(one.signal, one.process) for one in watch.told] == [("malloc_used", "")]
    assert watch.told[0].at < 8
    assert watch.told[0].line == "suspect: malloc_used keeps growing; the verdict comes at the end"


def test_a_watched_process_is_suspect_by_its_name() -> None:
    """Its resident memory is all that can be seen."""
    watch = Watch()
    watch.take(growing(100_000, process="server"), 200)
    assert [one.line for one in watch.told] == [
        "suspect: rss of process server keeps growing; the verdict comes at the end"
    ]


def test_what_is_not_judged_or_stands_still_is_not_suspect() -> None:
    """Faults distort other phases."""
    watch = Watch()
    watch.take(growing(20_000, phase=OTHER), 200)
    watch.take(growing(0), 200)
    assert watch.told == []


def test_what_the_loop_leaves_behind_is_not_suspect() -> None:
    """The calibration is subtracted here too."""
    watch = Watch()
    watch.suspicion.subtract([OwnSlope("malloc_used", 2_000.0, 800)])
    watch.take(growing(20_000), 200)
    assert watch.told == []


def test_a_long_run_is_kept_in_bounded_memory() -> None:
    """From sample 1,000 to 8,000 nothing is allocated that is not given back, and growth is still seen."""
    watch = Watch(cpu=time.thread_time)
    slow = growing(200)
    watch.take(slow, 1_000)
    gc.collect()
    before = sys.getallocatedblocks()
    watch.take(slow, 7_000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 200
    assert [one.signal for one in watch.told] == ["malloc_used"]


def test_halving_keeps_every_second_sample() -> None:
    """The first of them stays the first."""
    columns = Columns(CAPACITY)
    for index in range(9):
        columns.append(float(index), "A", index, {"rss": index}, process="p", pid=index)
    columns.halve()
    kept = [(one.at, one.rss, one.pid) for one in columns.samples()]
    assert kept == [(2.0 * number, 2 * number, 2 * number) for number in range(5)]


def test_growth_that_may_be_a_cycle_is_told_as_one_that_does_not_trip_yet() -> None:
    """Who holds it can be looked for early; it is no suspect for people."""
    watch = Watch()

    def climbing_saw() -> Iterator[Sample]:
        for index in range(2_000):
            size = 50 * MIB + 600_000 * (index // 150) + 10_000 * (index % 150)
            yield Sample(index / 8, JUDGED, False, index * 10, rss=90 * MIB, malloc_used=size, blocks=10**5)

    watch.take(climbing_saw(), 380)
    assert {(one.signal, one.trips) for one in watch.told} >= {("malloc_used", False)}


def checkpoints(blocks: Sequence[int], phase: str = JUDGED) -> Iterator[Sample]:
    """Yield what is read after garbage collections, 100 iterations apart."""
    for index, count in enumerate(blocks):
        yield Sample(float(index), phase, True, index * 100, rss=90 * MIB, blocks=count)


def test_what_rises_from_checkpoint_to_checkpoint_is_sought_at_once() -> None:
    """Six are enough, of which one may stand out; it does not trip, and is told once."""
    for rising in ([0, 400, 800, 1200, 1600, 2000, 2400], [0, 400, 1200, 800, 1600, 2000, 2400]):
        watch = Watch()
        watch.take(checkpoints(rising[:5]), 5)
        assert watch.told == []
        watch.take(islice(checkpoints(rising), 5, None), 2)
        assert watch.told == [Suspect("blocks", "", 5.0, trips=False)]


@pytest.mark.parametrize(
    "blocks",
    [
        [5] * 20,
        [0, 900, 400, 1300, 800, 1700, 1200, 2100],
        [2000, 1600, 1200, 800, 400, 0],
        [*range(0, 1000, 60)],
        [0, 1500, 2100, 2400, 2550, 2600, 2650, 2660],
        [0, 9] * 8 + [*range(20, 9000, 1000)],
    ],
)
def test_what_does_not_rise_lastingly_is_not_sought(blocks: list[int]) -> None:
    """Nor what is as little as noise, fades as a warm-up does, or begins late: that is soon judged."""
    watch = Watch()
    watch.take(checkpoints(blocks), len(blocks))
    assert watch.told == []


def test_rises_of_two_phases_are_not_put_together() -> None:
    """A phase that is not judged has none, and the loop's own growth is none."""
    watch = Watch()
    watch.take(checkpoints([0, 1000, 2000]), 3)
    watch.take(checkpoints([*range(3000, 9000, 1000)], OTHER), 6)
    watch.take(checkpoints([9000, 10000, 11000]), 3)
    assert watch.told == []
    watch.suspicion.subtract([OwnSlope("blocks", 10.0, 800)])
    watch.take(checkpoints([0], OTHER), 1)
    watch.take(checkpoints([*range(0, 7000, 1000)]), 7)
    assert watch.told == []
