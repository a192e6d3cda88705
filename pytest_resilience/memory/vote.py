"""Does one series grow without end? A vote of four tests, and the two cases in which it cannot tell.

The tests look at the lower envelope (the minimum of each block), because temporaries and uncollected
cycles come and go above it. Growth that fades is a warm-up or a cache that fills, however significant it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Literal, TypeAlias

from pytest_resilience.memory.trend import (
    Point,
    envelope,
    fade_ratio,
    mann_kendall,
    quarter_growths,
    r_squared,
    theil_sen,
    troughs,
)

Outcome: TypeAlias = Literal["steady", "leak", "late", "sawtooth"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What each test asks for; tests/benchmarks/bench_detector.py tunes them with leave-one-workload-out.

    The defaults are on the cautious side of what it chooses: they also ignore growth like a logarithm's.

    Args:
        r_squared: of the line through the envelope.
        z: of the Mann-Kendall test on the envelope (1.96 is a chance of 1 in 40 for growth).
        persistence: growth of each quarter, as a share of the quarter before it.
        lasting: slope of the second half, as a share of the slope of the first half.
        votes: how many of the four tests must agree; that growth lasts must be one of them.
    """

    r_squared: float = 0.8
    z: float = 1.96
    persistence: float = 0.25
    lasting: float = 0.65
    votes: int = 3


DEFAULTS = Thresholds()
WARM_UP = 0.25
HALF = 0.5
HALF_LASTING = 0.85
LATE = 0.75
BLOCKS = 16
LATE_BLOCKS = 8
FINE_BLOCKS = 64
FEWEST_FINE_BLOCKS = 24
SMALLEST_BLOCK = 4
JUMPS = 3
JUMPS_SHARE = 0.8
REVERSAL = 0.25
TEETH = 3
REST = 2 / 3
EVEN_TEETH = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """The vote on one stretch of a series: its envelope, the growth over it, and the tests that say leak."""

    points: Sequence[Point]
    growth: float
    votes: int
    lasts: float
    confidence: float

    def says_leak(self, floor: float, votes: int, lasting: float) -> bool:
        agreed = self.votes >= votes and self.lasts >= lasting
        return agreed and self.growth >= floor and not _is_a_few_jumps(self.points)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the vote says about a series, and the stretch that it rests on (which begins at `begins`)."""

    outcome: Outcome
    evidence: Evidence
    begins: int


def decide(points: Sequence[Point], floor: float, thresholds: Thresholds = DEFAULTS) -> Finding:
    """Decide whether the series leaks; growth below `floor` never counts.

    Args:
        points: (x, y), where x is the iteration or the time; at least a few dozen.
        floor: growth that is noise for this signal, in its unit.
        thresholds: what the tests ask for.
    """
    found = _spread(points) >= floor and (
        _leak_after_warm_up(points, floor, thresholds)
        or _teeth(points, floor, thresholds)
        or _late_onset(points, floor, thresholds)
    )
    return found or Finding("steady", _weigh(points, WARM_UP, BLOCKS, thresholds), _cut(points, WARM_UP))


def _leak_after_warm_up(points: Sequence[Point], floor: float, thresholds: Thresholds) -> Finding | None:
    whole = _weigh(points, WARM_UP, BLOCKS, thresholds)
    if whole.says_leak(floor, thresholds.votes, thresholds.lasting):
        return Finding("leak", whole, _cut(points, WARM_UP))
    half = _weigh(points, HALF, BLOCKS, thresholds)
    if half.says_leak(floor, votes=4, lasting=HALF_LASTING) and _new_height(points, HALF, floor):
        return Finding("leak", half, _cut(points, HALF))
    return None


def _late_onset(points: Sequence[Point], floor: float, thresholds: Thresholds) -> Finding | None:
    tail = _weigh(points, LATE, LATE_BLOCKS, thresholds)
    if tail.says_leak(floor, thresholds.votes, thresholds.lasting) and _new_height(points, LATE, floor):
        return Finding("late", tail, _cut(points, LATE))
    return None


def _teeth(points: Sequence[Point], floor: float, thresholds: Thresholds) -> Finding | None:
    """Judge a sawtooth longer than the blocks by its troughs; the first one is the start of the run."""
    count = min(FINE_BLOCKS, len(points) // SMALLEST_BLOCK)
    if count < FEWEST_FINE_BLOCKS:
        return None
    fine = envelope(points, count)
    amplitude = _spread(fine)
    lows = troughs(fine, REVERSAL * amplitude) if amplitude >= floor else []
    rises = [later[1] - earlier[1] for earlier, later in pairwise(lows)]
    if not rises or min(rises) <= 0:
        return None
    evidence = _measure(lows, thresholds)
    if len(rises) < TEETH:
        climbs = rises[-1] >= floor and not _is_flat(fine, floor)
        return Finding("sawtooth", evidence, 0) if climbs else None
    after_start = rises[1:]
    even = min(after_start) >= EVEN_TEETH * fmean(after_start)
    lasts = evidence.lasts >= thresholds.lasting
    return Finding("leak", evidence, 0) if even and lasts and sum(after_start) >= floor else None


def _is_flat(lows: Sequence[Point], floor: float) -> bool:
    """Tell whether the series has come to rest: a tooth would go on to climb."""
    return _spread(lows[_cut(lows, REST) :]) < floor


def _spread(points: Sequence[Point]) -> float:
    heights = [y for _, y in points]
    return max(heights) - min(heights)


def _weigh(points: Sequence[Point], start: float, blocks: int, thresholds: Thresholds) -> Evidence:
    stretch = points[_cut(points, start) :]
    return _measure(envelope(stretch, min(blocks, max(2, len(stretch) // 2))), thresholds)


def _measure(lows: Sequence[Point], thresholds: Thresholds) -> Evidence:
    fit, trend = r_squared(lows), mann_kendall([y for _, y in lows])
    quarters, ratio = quarter_growths(lows), fade_ratio(lows)
    persistence = _persistence(quarters)
    tests = (
        fit >= thresholds.r_squared,
        trend.z >= thresholds.z and theil_sen(lows) > 0,
        persistence >= thresholds.persistence,
        ratio >= thresholds.lasting,
    )
    strengths = (fit, max(0.0, trend.tau), min(1.0, persistence), min(1.0, ratio))
    return Evidence(lows, lows[-1][1] - lows[0][1], sum(tests), ratio, fmean(strengths))


def _is_a_few_jumps(lows: Sequence[Point]) -> bool:
    """Tell whether nearly all growth came at three instants, as when modules are loaded late."""
    settled = list(accumulate((y for _, y in reversed(lows)), min))[::-1]
    rises = sorted(later - earlier for earlier, later in pairwise(settled))
    return sum(rises[-JUMPS:]) >= JUMPS_SHARE * sum(rises)


def _persistence(quarters: Sequence[float]) -> float:
    """Return the smallest growth of a quarter as a share of the one before; 0 if a quarter did not grow."""
    if min(quarters) <= 0:
        return 0.0
    return min(later / earlier for earlier, later in pairwise(quarters))


def _new_height(points: Sequence[Point], start: float, floor: float) -> bool:
    """Tell whether the series ends above everything before the stretch: else it may be one more tooth."""
    cut = _cut(points, start)
    before = max(y for _, y in envelope(points[:cut], FINE_BLOCKS))
    return min(y for _, y in points[-max(1, len(points) // 32) :]) >= before + floor


def _cut(points: Sequence[Point], share: float) -> int:
    return int(len(points) * share)
