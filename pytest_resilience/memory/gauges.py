"""Signals that the user declares: a queue's length, a pool's size, a cache's."""

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pytest_resilience.errors import ResilienceError, requirement
from pytest_resilience.memory.paced import Paced
from pytest_resilience.memory.patterns import TRAITS
from pytest_resilience.memory.records import Reading

CAPACITY = 256
SHARE = 0.001

KeepReadings: TypeAlias = Callable[[Sequence[Reading]], None]


@dataclass(frozen=True)
class Gauge:
    """A signal by its name; `read` returns its value now, and is called on the sampler's thread."""

    name: str
    read: Callable[[], float]


def declared_gauges(given: object) -> tuple[Gauge, ...]:
    """Return what the fixture resilience_signals gives; raise ResilienceError if it is wrong."""
    if not isinstance(given, Mapping):
        fix = 'Return {"queue length": queue.qsize}.'
        raise ResilienceError(requirement("resilience_signals", "a mapping from names", given, fix))
    return tuple(_checked(name, read) for name, read in given.items())


def _checked(name: object, read: object) -> Gauge:
    if not (isinstance(name, str) and name.strip()) or name in TRAITS:
        constraint = "a name of your own" if name in TRAITS else "a non-empty string"
        raise ResilienceError(requirement("Each name of resilience_signals", constraint, name))
    if not callable(read):
        fix = "Give a function, such as queue.qsize or lambda: len(cache)."
        raise ResilienceError(requirement(f"resilience_signals[{name!r}]", "callable", read, fix))
    return Gauge(name, read)


class GaugeReader:
    """Reads the gauges at most once in `every` seconds, and each less often the more it costs.

    One that raises or gives no number is told once to `complain`, and not read again.
    """

    def __init__(
        self, gauges: Sequence[Gauge], every: float, keep: KeepReadings, complain: Callable[[str], None]
    ) -> None:
        self._names = [gauge.name for gauge in gauges]
        self._paced = [Paced(gauge.read, SHARE) for gauge in gauges]
        self._every, self._keep, self._complain = every, keep, complain
        self._due, self._size = float("-inf"), 0
        self._broken: set[str] = set()
        self._at, self._value = array("d", [0.0]) * CAPACITY, array("d", [0.0]) * CAPACITY
        self._iteration, self._which = array("q", [0]) * CAPACITY, array("q", [0]) * CAPACITY
        self._phase = [""] * CAPACITY

    def sample(self, now: float, at: float, phase: str, iteration: int) -> None:
        """Read what is due `now` (the clock's seconds); `at` are the seconds of the run."""
        if now < self._due:
            return
        self._due = now + self._every
        for which, name in enumerate(self._names):
            value = None if name in self._broken else self._read(which, now)
            if value is not None:
                self._append(which, value, at, phase, iteration)

    def hand_on(self) -> None:
        """Hand on what was read since the last time."""
        rows, self._size = range(self._size), 0
        if rows:
            self._keep([self._reading(row) for row in rows])

    def _read(self, which: int, now: float) -> float | None:
        name = self._names[which]
        try:
            value = self._paced[which].read(now)
            if value is None or math.isfinite(value):
                return value
            fault = f"gave {value!r}"
        except Exception as error:  # it is the user's, and must not end the sampler
            fault = f"raised {type(error).__name__}: {error}"
        self._broken.add(name)
        self._complain(f"resilience_signals[{name!r}] {fault}; it is not read any more")
        return None

    def _append(self, which: int, value: float, at: float, phase: str, iteration: int) -> None:
        if self._size == CAPACITY:
            self.hand_on()
        row = self._size
        self._at[row], self._value[row], self._phase[row] = at, value, phase
        self._iteration[row], self._which[row] = iteration, which
        self._size = row + 1

    def _reading(self, row: int) -> Reading:
        name = self._names[self._which[row]]
        return Reading(self._at[row], self._phase[row], self._iteration[row], name, self._value[row])
