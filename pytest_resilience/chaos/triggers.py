"""Triggers: which calls a fault hits, decided by the seed and the call's index alone.

There is no shared generator: the order in which threads call changes nothing about which indexes fire.
"""

import math
import struct
import sys
from bisect import bisect_left
from collections.abc import Container, Sequence
from dataclasses import dataclass
from hashlib import blake2b, shake_128
from typing import Protocol, TypeAlias

from pytest_resilience.errors import ScenarioError, requirement

SHARE_PERIOD = 4096
"""A share's decisions repeat after this many calls, or after 1 / share calls if that is more."""

_NEVER_AGAIN = sys.maxsize


@dataclass(frozen=True, slots=True)
class Schedule:
    """The decisions of a trigger: call `index` (from 0) fires if `index % period in firing`."""

    period: int
    order: Sequence[int]
    firing: Container[int]

    def fires(self, index: int) -> bool:
        return index % self.period in self.firing

    def rank(self, index: int) -> int:
        """Count the calls before `index` that fire."""
        cycles, rest = divmod(index, self.period)
        return cycles * len(self.order) + bisect_left(self.order, rest)


class Trigger(Protocol):
    """Which calls a fault hits; made by `share`, `nth`, `every`, `first` and `window`."""

    @property
    def fires_by(self) -> int:
        """The call, counted from 1, by which the first one is hit."""

    def schedule(self, seed: str) -> Schedule:
        """Decide for every call index."""


@dataclass(frozen=True, slots=True)
class Share:
    """A seeded share of the calls, the first one at call ceil(1 / p) at the latest."""

    p: float

    @property
    def fires_by(self) -> int:
        return math.ceil(1 / self.p)

    def schedule(self, seed: str) -> Schedule:
        if self.p == 1:
            return _ordinals(range(1), period=1)
        period = max(SHARE_PERIOD, self.fires_by)
        forced = int(draw(seed, -1) * self.fires_by)
        drawn = _drawn(seed, self.p) if period == SHARE_PERIOD else []
        if not drawn or drawn[0] >= self.fires_by:
            drawn.insert(0, forced)
        return Schedule(period, tuple(drawn), frozenset(drawn))

    def __str__(self) -> str:
        return f"share {self.p:g}"


@dataclass(frozen=True, slots=True)
class Ordinals:
    """The calls from `start` to `stop`, counted from 1 and both included, again after each `period` calls."""

    text: str
    start: int
    stop: int
    period: int = _NEVER_AGAIN

    @property
    def fires_by(self) -> int:
        return self.start

    def schedule(self, seed: str) -> Schedule:
        return _ordinals(range(self.start - 1, self.stop), self.period)

    def __str__(self) -> str:
        return self.text


AnyTrigger: TypeAlias = Share | Ordinals
"""What `share`, `nth`, `every`, `first` and `window` make."""


def share(p: float) -> AnyTrigger:
    """Hit a seeded share `p` of the calls, above 0 and up to 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 < p <= 1:
        raise ScenarioError(requirement("share", "a number above 0 and up to 1", p))
    return Share(p)


def nth(n: int) -> AnyTrigger:
    """Hit the n-th call only."""
    return Ordinals(f"call {n}", _position("nth", n), n)


def every(n: int) -> AnyTrigger:
    """Hit each n-th call."""
    return Ordinals(f"every {n} calls", _position("every", n), n, period=n)


def first(n: int) -> AnyTrigger:
    """Hit the first n calls, then recover."""
    return Ordinals(f"first {n} calls", 1, _position("first", n))


def window(start: int, stop: int) -> AnyTrigger:
    """Hit the calls from number `start` to number `stop`, both included."""
    if _position("window stop", stop) < _position("window start", start):
        raise ScenarioError(requirement("window stop", f"at least its start, {start}", stop))
    return Ordinals(f"calls {start} to {stop}", start, stop)


def draw(seed: str, index: int) -> float:
    """Return a number from 0 up to 1 that depends on `seed` and `index` alone."""
    digest = blake2b(f"{seed}/{index}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "little") / (1 << 48)


def _position(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < _NEVER_AGAIN:
        raise ScenarioError(requirement(name, "a whole number from 1", value, "Calls are counted from 1."))
    return value


def _ordinals(indexes: range, period: int) -> Schedule:
    few = len(indexes) <= SHARE_PERIOD
    return Schedule(period, indexes, frozenset(indexes) if few else indexes)  # a set answers in half the time


def _drawn(seed: str, p: float) -> list[int]:
    words = struct.unpack(f"<{SHARE_PERIOD}I", shake_128(seed.encode()).digest(4 * SHARE_PERIOD))
    limit = p * (1 << 32)
    return [index for index, word in enumerate(words) if word < limit]
