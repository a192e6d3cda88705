"""One signal over a run, as points that the vote can judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low
from typing import TypeAlias

from pytest_resilience.memory.patterns import TRAITS, Trait, trait_of
from pytest_resilience.memory.records import ITSELF, Reading, Sample
from pytest_resilience.memory.thinning import is_thinned, lowest
from pytest_resilience.memory.trend import Point
from pytest_resilience.units import KIB

Window: TypeAlias = tuple[float, float]

HEAP = ("malloc_used", "blocks")
"""What the allocators have handed out: cycles that wait for the collector count in it."""

HOUR = 3600.0
NEEDED = 32
NEEDED_ITERATIONS = 32
NEEDED_COLLECTED = 20
"""Readings after garbage collection: without temporaries in them fewer tell as much."""

THREAD_CACHE = 64 * KIB


@dataclass(frozen=True, slots=True)
class Series:
    """The readings of one signal: `points` over the iterations, or over the time where too few ran.

    `collected` are the places of those right after a garbage collection.
    """

    signal: str
    points: Sequence[Point]
    times: Sequence[float]
    iterates: bool
    process: str = ITSELF
    threads: int = 1
    collected: Sequence[int] = ()

    @property
    def floor(self) -> float:
        """Growth over the run that is noise, in the signal's unit.

        Each thread has a cache of freed memory that counts as used (in glibc up to 240 KB); it fills slowly.
        """
        per_thread = THREAD_CACHE if self.signal == "malloc_used" else 0
        return self.trait.floor + per_thread * (self.threads - 1)

    @property
    def trait(self) -> Trait:
        return trait_of(self.signal, self.process)

    @property
    def suffices(self) -> bool:
        """Tell whether there are enough readings to judge."""
        return len(self.points) >= NEEDED or len(self.collected) >= NEEDED_COLLECTED

    @property
    def range(self) -> float:
        heights = [y for _, y in self.points]
        return max(heights) - min(heights)

    def per_hour(self, slope: float, begins: int) -> float:
        """Turn a slope over x into a rate per hour, at the mean pace from reading `begins` on."""
        seconds = self.times[-1] - self.times[begins]
        return slope * (self.points[-1][0] - self.points[begins][0]) / seconds * HOUR if seconds else 0.0

    def after_collection(self) -> "Series | None":
        """Return only what was read right after a garbage collection; None if that is too little."""
        if len(self.collected) < NEEDED_COLLECTED:
            return None
        points = [self.points[place] for place in self.collected]
        return replace(
            self, points=points, times=[self.times[place] for place in self.collected], collected=()
        )

    def over_time(self) -> "Series":
        """Return the same over the time, for growth that does not depend on the iterations."""
        points = [(at, y) for at, (_, y) in zip(self.times, self.points, strict=True)]
        return replace(self, points=points, iterates=False)

    def changes_pace(self, factor: float) -> bool:
        """Tell whether the iterations of one half took this many times as long as those of the other."""
        half = len(self.points) // 2
        first, second = self._pace(0, half), self._pace(half, -1)
        return max(first, second) > factor * min(first, second)

    def _pace(self, start: int, end: int) -> float:
        seconds = self.times[end] - self.times[start]
        return (self.points[end][0] - self.points[start][0]) / seconds if seconds else 0.0


def within(samples: Sequence[Sample], window: Window | None) -> Sequence[Sample]:
    """Return the samples of the window (start and end in seconds of the run); all if it is None."""
    return [sample for sample in samples if window is None or window[0] <= sample.at <= window[1]]


def read_series(
    samples: Sequence[Sample], own_slope: Mapping[str, float], window: Window | None = None
) -> dict[str, Series]:
    """Return each signal that was read often enough in the window, less what the plugin itself adds."""
    start = window[0] if window else min((sample.at for sample in samples), default=0.0)
    thinned = is_thinned(samples, start)
    read = (_series(samples, window, signal, own_slope.get(signal, 0.0), thinned) for signal in TRAITS)
    return {series.signal: series for series in read if series.suffices}


def _series(
    samples: Sequence[Sample], window: Window | None, signal: str, own: float, thinned: bool
) -> Series:
    read = [sample for sample in samples if getattr(sample, signal) is not None]
    rows = within(lowest(read, signal) if thinned else read, window)
    iterates = _iterates(rows)
    points = [
        (row.iteration if iterates else row.at, getattr(row, signal) - own * row.iteration) for row in rows
    ]
    process = samples[0].process if samples else ITSELF
    collected = [place for place, row in enumerate(rows) if row.checkpoint] if signal in HEAP else ()
    times = [row.at for row in rows]
    return Series(signal, points, times, iterates, process, _threads(samples, window), collected)


def _threads(samples: Sequence[Sample], window: Window | None) -> int:
    """Return how many threads the process usually had."""
    counts = [sample.threads for sample in within(samples, window) if sample.threads]
    return median_low(counts) if counts else 1


def read_gauges(readings: Sequence[Reading], window: Window | None = None) -> dict[str, Series]:
    """Return each signal of the user's own that was read often enough in the window."""
    by_name: dict[str, list[Reading]] = {}
    for one in readings:
        if window is None or window[0] <= one.at <= window[1]:
            by_name.setdefault(one.signal, []).append(one)
    return {name: _gauge(name, rows) for name, rows in by_name.items() if len(rows) >= NEEDED}


def _gauge(name: str, rows: Sequence[Reading]) -> Series:
    iterates = _iterates(rows)
    points = [(row.iteration if iterates else row.at, row.value) for row in rows]
    return Series(name, points, [row.at for row in rows], iterates)


def _iterates(rows: Sequence[Sample | Reading]) -> bool:
    """Tell whether enough iterations ran to relate growth to them."""
    return sum(later.iteration - earlier.iteration for earlier, later in pairwise(rows)) >= NEEDED_ITERATIONS
