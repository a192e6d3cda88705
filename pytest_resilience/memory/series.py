"""One signal over a run, as points that the vote can judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from pytest_resilience.memory.patterns import TRAITS
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.thinning import is_thinned, lowest
from pytest_resilience.memory.trend import Point

Window: TypeAlias = tuple[float, float]

HOUR = 3600.0
NEEDED = 32
NEEDED_ITERATIONS = 32


@dataclass(frozen=True, slots=True)
class Series:
    """The readings of one signal: `points` over the iterations, or over the time where too few ran."""

    signal: str
    points: Sequence[Point]
    times: Sequence[float]
    iterates: bool

    @property
    def range(self) -> float:
        heights = [y for _, y in self.points]
        return max(heights) - min(heights)

    def per_hour(self, slope: float, begins: int) -> float:
        """Turn a slope over x into a rate per hour, at the mean pace from reading `begins` on."""
        seconds = self.times[-1] - self.times[begins]
        return slope * (self.points[-1][0] - self.points[begins][0]) / seconds * HOUR if seconds else 0.0


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
    return {series.signal: series for series in read if len(series.points) >= NEEDED}


def _series(
    samples: Sequence[Sample], window: Window | None, signal: str, own: float, thinned: bool
) -> Series:
    read = [sample for sample in samples if getattr(sample, signal) is not None]
    rows = within(lowest(read, signal) if thinned else read, window)
    ran = [later.iteration - earlier.iteration for earlier, later in pairwise(rows)]
    iterates = sum(ran) >= NEEDED_ITERATIONS
    points = [
        (row.iteration if iterates else row.at, getattr(row, signal) - own * row.iteration) for row in rows
    ]
    return Series(signal, points, [row.at for row in rows], iterates)
