"""The smallest leak that a run would have found: leaks are laid over its own noise, and the vote is asked.

The noise is what a series has above its own lower envelope. Stretches of it are redrawn (a moving block
bootstrap), as if the run had been repeated twenty times; a leak counts as found at 95 % if it is found in all
but one of them. As one run is only one draw of its noise, what noise adds is told three times.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TypeAlias

from pytest_resilience.memory.trend import Point, envelope, theil_sen
from pytest_resilience.memory.vote import WARM_UP, Thresholds, decide

Heights: TypeAlias = Sequence[float]

REPEATS = 20
MISSES = 1
MARGIN = 3.0
STRETCHES = 6
BASE_BLOCKS = 16
MOST_POINTS = 480
DOUBLINGS = 40
HALVINGS = 3


def level(points: Sequence[Point], lows: Sequence[Point]) -> list[Point]:
    """Return a series without its own growth, that of its `lows`: a leak must be found without its help."""
    slope = max(0.0, theil_sen(lows))
    return [(x, y - slope * x) for x, y in points]


def smallest_slope(points: Sequence[Point], floor: float, thresholds: Thresholds) -> float | None:
    """Return the least growth per unit of x that would have been found at 95 %; None if none would.

    Args:
        points: a series without growth of its own, see `level`.
        floor: growth over the run that never counts, in the unit of the signal.
        thresholds: what the vote asks for.
    """
    points = envelope(points, MOST_POINTS)
    span = points[-1][0] - points[0][0]
    if span <= 0:
        return None
    repeats = list(_repeats(points))
    xs = [x for x, _ in points]

    def found(slope: float) -> bool:
        misses = 0
        for heights in repeats:
            leaking = [(x, y + slope * x) for x, y in zip(xs, heights, strict=True)]
            misses += decide(leaking, floor, thresholds).outcome != "leak"
            if misses > MISSES:
                return False
        return True

    least = _least(found, floor / span)
    if least is None:
        return None
    quiet = floor / span / (1 - WARM_UP)
    return least + (MARGIN - 1) * max(0.0, least - quiet)


def _least(found: Callable[[float], bool], start: float) -> float | None:
    """Return the least value, to a tenth, from which on `found` is true."""
    high = start
    for _ in range(DOUBLINGS):
        if found(high):
            break
        high *= 2
    else:
        return None
    step = 2**0.5
    for _ in range(HALVINGS):
        if found(high / step):
            high /= step
        step **= 0.5
    return high


def _repeats(points: Sequence[Point]) -> Iterator[Heights]:
    """Yield the series as other runs might have had it: the same course, with stretches of noise redrawn."""
    base, draw = _course(points), Random(0)
    noise = [y - low for (_, y), low in zip(points, base, strict=True)]
    cut = int(len(points) * WARM_UP)
    stretch = max(1, (len(points) - cut) // STRETCHES)
    for _ in range(REPEATS):
        other = noise[:cut]
        while len(other) < len(noise):
            start = draw.randrange(cut, len(noise) - stretch + 1)
            other += noise[start : start + stretch]
        yield [low + over for low, over in zip(base, other, strict=False)]


def _course(points: Sequence[Point]) -> Heights:
    """Return the lower envelope at each x, drawn as straight lines from low to low."""
    lows = envelope(points, BASE_BLOCKS)
    lows = [(points[0][0], lows[0][1]), *lows, (points[-1][0], lows[-1][1])]
    course: list[float] = []
    place = 0
    for x, _ in points:
        while place < len(lows) - 2 and x > lows[place + 1][0]:
            place += 1
        (x1, y1), (x2, y2) = lows[place : place + 2]
        course.append(y1 + (y2 - y1) * (x - x1) / (x2 - x1) if x2 > x1 else y2)
    return course
