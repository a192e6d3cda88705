"""How many iterations a second a soak asks for, and how long it rests between two: as users write them."""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

from pytest_resilience.errors import SettingsError, requirement
from pytest_resilience.units import SECONDS, duration_or_zero

EXAMPLE = "a rate such as 50/s or 600/min, or stages such as 0s: 10/s, 10m: 100/s"

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|sec|min|m|h)")
_UNITS = {"s": SECONDS["s"], "sec": SECONDS["s"], "min": SECONDS["m"], "m": SECONDS["m"], "h": SECONDS["h"]}


class Point(NamedTuple):
    """At `at` (seconds since the run began), so many iterations per second."""

    at: float
    rate: float


@dataclass(frozen=True)
class RateProfile:
    """A rate over time: linear between its points, and constant after the last.

    The first point is at 0 and the rate of the last is above 0. Two points at one time are a jump.
    """

    points: tuple[Point, ...]

    def rate_at(self, seconds: float) -> float:
        """Return the iterations per second at a time; at a jump, those after it."""
        before = self.points[max(0, bisect_right(self.points, seconds, key=_time) - 1)]
        after = next((point for point in self.points if point.at > seconds), None)
        if after is None:
            return before.rate
        return before.rate + (after.rate - before.rate) * (seconds - before.at) / (after.at - before.at)

    def iterations_by(self, seconds: float) -> float:
        """Return how many iterations are asked for from the start of the run up to a time."""
        place = max(0, bisect_right(self.points, seconds, key=_time) - 1)
        begun = self.points[place]
        return self._sums[place] + (begun.rate + self.rate_at(seconds)) / 2 * (seconds - begun.at)

    def time_of(self, iterations: float) -> float:
        """Return the first time (in seconds) by which so many iterations are asked for."""
        sums = self._sums
        place = next((place for place, total in enumerate(sums[1:]) if iterations <= total), len(sums) - 1)
        begun, missing = self.points[place], max(0.0, iterations - sums[place])
        return begun.at + _seconds_for(missing, begun.rate, self._slope(place))

    def _slope(self, place: int) -> float:
        if place + 1 == len(self.points):
            return 0.0
        begun, ends = self.points[place], self.points[place + 1]
        return (ends.rate - begun.rate) / (ends.at - begun.at) if ends.at > begun.at else 0.0

    @cached_property
    def _sums(self) -> list[float]:
        """Return the iterations that are asked for up to each point."""
        areas = ((begun.rate + ends.rate) / 2 * (ends.at - begun.at) for begun, ends in pairwise(self.points))
        return list(accumulate(areas, initial=0.0))


def _time(point: Point) -> float:
    return point.at


def _seconds_for(area: float, rate: float, slope: float) -> float:
    """Solve rate*x + slope/2*x*x = area for its smallest x, without loss of digits."""
    speed = rate + math.sqrt(max(0.0, rate * rate + 2 * slope * area))
    return 2 * area / speed if speed > 0 else 0.0


def parse_rate(text: str, name: str = "rate") -> RateProfile:
    """Read `50/s`, `600/min`, or stages `0s: 10/s, 10m: 100/s`; raise SettingsError for anything else."""
    stages = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    if len(stages) == 1 and ":" not in stages[0]:
        return _checked([Point(0.0, _rate(stages[0], text, name))], text, name)
    points = []
    for stage in stages:
        at, colon, rate = stage.partition(":")
        if not colon:
            raise SettingsError(requirement(name, EXAMPLE, text, f"{stage!r} has no time before it."))
        points.append(Point(duration_or_zero(at, f"{name}: the time of {stage!r}"), _rate(rate, text, name)))
    return _checked(points, text, name)


def _rate(written: str, text: str, name: str) -> float:
    match = _RATE.fullmatch(written.strip().lower())
    if match is None:
        raise SettingsError(requirement(name, EXAMPLE, text, "Give a number, and /s, /min or /h."))
    return float(match[1]) / _UNITS[match[2]]


def _checked(points: list[Point], text: str, name: str) -> RateProfile:
    """Return the profile; raise SettingsError for one that nobody can follow."""
    wrong = next(iter(_mistakes(points)), None)
    if wrong:
        raise SettingsError(requirement(name, wrong[0], text, wrong[1]))
    return RateProfile(tuple(points))


def _mistakes(points: list[Point]) -> Iterable[tuple[str, str]]:
    times = [point.at for point in points]
    if not points:
        yield EXAMPLE, "It is empty."
        return
    if not all(math.isfinite(number) for point in points for number in point):
        yield "finite", "Give a smaller number."
    if times[0] != 0:
        yield "stages that begin at 0s", f"Begin with 0s: {points[0].rate:g}/s."
    if times != sorted(times):
        yield "stages in the order of their times", "A time is since the start of the run, not a duration."
    if any(times.count(at) > 2 for at in times):
        yield "at most two rates at one time", "Two are a jump from the first to the second."
    if points[-1].rate <= 0:
        yield "above 0/s in the end", "The last rate holds to the end of the run."


@dataclass(frozen=True)
class ThinkTime:
    """A rest between two iterations, drawn evenly between `low` and `high` (seconds)."""

    low: float
    high: float


def parse_think_time(text: str, name: str = "think time") -> ThinkTime:
    """Read `100ms` or `50ms..200ms`; raise SettingsError for anything else."""
    first, dots, last = text.partition("..")
    low = duration_or_zero(first, name)
    high = duration_or_zero(last, name) if dots else low
    if high <= 0:
        raise SettingsError(requirement(name, "above 0", text, "Leave it out for no rest."))
    if low > high:
        fix = f"Write {last.strip()}..{first.strip()}."
        raise SettingsError(requirement(name, "a shorter time, two dots and a longer one", text, fix))
    return ThinkTime(low, high)
