"""Robust statistics of points (x, y): slopes, a test for a trend, lower envelopes and turning points.

Plain Python on purpose: the detector looks at a few hundred points once per run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean, median
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]


def theil_sen(points: Sequence[Point]) -> float:
    """Return the median of the slopes of all pairs (Theil 1950, Sen 1968); 0 without two different x."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    return median(slopes) if slopes else 0.0


def r_squared(points: Sequence[Point]) -> float:
    """Return how well a rising line fits, from 0 to 1; 0 for a series that is constant or falls."""
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    xx = math.fsum((x - mean_x) ** 2 for x, _ in points)
    yy = math.fsum((y - mean_y) ** 2 for _, y in points)
    xy = math.fsum((x - mean_x) * (y - mean_y) for x, y in points)
    return min(1.0, xy * xy / (xx * yy)) if xx and yy and xy > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Kendall:
    """How monotonic a series is: `tau` from -1 to 1; `z`, its distance from chance in standard deviations."""

    tau: float
    z: float


def mann_kendall(values: Sequence[float]) -> Kendall:
    """Test a series for a monotonic trend, corrected for ties (Mann 1945, Kendall 1975)."""
    count = len(values)
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    ties = sum(_spread(values.count(value)) for value in set(values))
    variance = (_spread(count) - ties) / 18
    if variance <= 0 or not score:
        return Kendall(0.0, 0.0)
    return Kendall(score / math.comb(count, 2), (score - math.copysign(1, score)) / math.sqrt(variance))


def _spread(count: int) -> int:
    return count * (count - 1) * (2 * count + 5)


def envelope(points: Sequence[Point], count: int) -> list[Point]:
    """Return the lowest point of each of `count` blocks: what stays when temporaries are gone."""
    size, count = len(points), min(count, len(points))
    bounds = [index * size // count for index in range(count + 1)]
    return [min(points[start:end], key=_height) for start, end in pairwise(bounds)]


def quarter_growths(points: Sequence[Point]) -> list[float]:
    """Return by how much y grew in each quarter of the points, interpolated at the quarters' bounds."""
    bounds = [_height_at(points, quarter * (len(points) - 1) / 4) for quarter in range(5)]
    return [later - earlier for earlier, later in pairwise(bounds)]


def _height_at(points: Sequence[Point], position: float) -> float:
    index = min(int(position), len(points) - 2)
    (_, low), (_, high) = points[index : index + 2]
    return low + (high - low) * (position - index)


def fade_ratio(points: Sequence[Point]) -> float:
    """Return the slope of the second half as a share of the first half's: 1 is steady, 0 has ended."""
    half = len(points) // 2
    early, late = theil_sen(points[: half + 1]), theil_sen(points[-half - 1 :])
    if early <= 0:
        return math.inf if late > 0 else 0.0
    return max(0.0, late / early)


def troughs(points: Sequence[Point], reversal: float) -> list[Point]:
    """Return the low turning points; a turn is a move back of at least `reversal`.

    The first is the lowest point before the first rise, each later one ends a fall.
    """
    found: list[Point] = []
    low = high = points[0]
    falling = True
    for point in points[1:]:
        if falling:
            low = min(low, point, key=_height)
            if point[1] - low[1] >= reversal:
                found.append(low)
                falling, high = False, point
        else:
            high = max(high, point, key=_height)
            if high[1] - point[1] >= reversal:
                falling, low = True, point
    return [*found, low] if falling else found


def _height(point: Point) -> float:
    return point[1]
