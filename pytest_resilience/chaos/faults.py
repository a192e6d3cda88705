"""Faults: what happens to a call that a trigger picked. Pure data; taps carry it out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_resilience.service_errors import ErrorSpec


@dataclass(frozen=True, slots=True)
class Effect:
    """What one firing does.

    Wait `wait` seconds, raise `error` if there is one, else let the call through, and then wait `stretch`
    times as long as it took, but at least `floor` seconds.
    """

    wait: float = 0.0
    error: ErrorSpec | None = None
    stretch: float = 0.0
    floor: float = 0.0


class Fault(Protocol):
    """What goes wrong with a call."""

    def effect(self, rank: int, chance: float) -> Effect:
        """Say what firing number `rank` (from 0) does; `chance` from 0 up to 1 is drawn for its call."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The call is let through `seconds` later."""

    seconds: float

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(wait=self.seconds)


@dataclass(frozen=True, slots=True)
class Spike:
    """The call takes `low` to `high` times its normal latency, and at least `floor` seconds more.

    If `normal` (seconds) is unknown, the call's own latency counts.
    """

    low: float
    high: float
    floor: float
    normal: float | None = None

    def effect(self, rank: int, chance: float) -> Effect:
        more = self.low + (self.high - self.low) * chance - 1
        if self.normal is None:
            return Effect(stretch=more, floor=self.floor)
        return Effect(wait=max(self.floor, more * self.normal))


@dataclass(frozen=True, slots=True)
class Raise:
    """The call raises one of `errors`, each in its turn."""

    errors: Sequence[ErrorSpec]

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(error=self.errors[rank % len(self.errors)])


@dataclass(frozen=True, slots=True)
class Hang:
    """The call hangs for `seconds`, or until the fault is removed, and then raises `error`."""

    seconds: float
    error: ErrorSpec

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(wait=self.seconds, error=self.error)
