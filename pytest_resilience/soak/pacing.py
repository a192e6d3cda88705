"""When the next iteration may start: the rate that was asked for, and the rest between two."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from pytest_resilience.rates import RateProfile, ThinkTime, parse_rate, parse_think_time
from pytest_resilience.store.records import SoakTest

CATCH_UP_SECONDS = 1.0
"""What is late by more is left out: a burst after a fault would be a load that nobody asked for."""


@dataclass(frozen=True)
class Load:
    """How much a soak asks of the suite; None is no limit, and no rest."""

    rate: RateProfile | None = None
    think_time: ThinkTime | None = None

    @classmethod
    def read(cls, rate: str, think_time: str) -> "Load":
        """Read what a user wrote, where an empty text is none; raise SettingsError if it is wrong."""
        return cls(
            parse_rate(rate, "soak_rate") if rate else None,
            parse_think_time(think_time, "soak_think_time") if think_time else None,
        )


NO_LIMIT = Load()


def most_rounds(duration: float, a_round: int, load: Load) -> float:
    """Return how many rounds, of so many iterations, the load leaves room for in `duration` seconds."""
    most = math.inf
    if load.rate:
        most = load.rate.iterations_by(duration) / a_round
    if load.think_time:
        most = min(most, 2 * duration / (load.think_time.low + load.think_time.high) / a_round)
    return most


def rounds_wanted(iterations: float, marks: Iterable[SoakTest]) -> int:
    """Return in how many rounds each of the tests has at least so many iterations."""
    return math.ceil(iterations / min((mark.weight for mark in marks), default=1))


def too_few_rounds(wanted: int, rounds: float) -> str:
    """Say that the iterations that were asked for will hardly be reached."""
    room = f"it needs {wanted:,} rounds, the run has room for {rounds:,.0f}"
    return f"fewest_iterations looks impossible: {room}. Soak longer, or make soak_min_iterations smaller."


class Pacer:
    """Tells when the next iteration is due (run seconds).

    Each iteration takes a token of a schedule that is fixed from the start of the run on, so that lateness
    of one does not move the others: nothing drifts. A suite that is too slow runs as fast as it can.

    Args:
        share: of the rate that this runner has; the others have the rest.
        seed: draws the think times.
        began: when this runner began; what was asked for before, others had to do.
    """

    def __init__(self, load: Load, *, share: float, seed: int, began: float = 0.0) -> None:
        self._began = began
        self._rate, self._think, self._share = load.rate, load.think_time, share
        self._random = Random(f"think time:{seed}")
        self._tokens = self._rested = 0.0

    @property
    def due(self) -> float:
        """Return when the next iteration may start."""
        if self._rate is None:
            return self._rested
        return max(self._rested, self._rate.time_of(self._tokens / self._share))

    def started(self, now: float) -> None:
        """Take a token; leave out those that are too old to be caught up with."""
        if self._rate is None:
            return
        asked = self._asked(now)
        since = max(self._began, now - CATCH_UP_SECONDS)
        most = max(1.0, asked - self._asked(since))
        self._tokens = max(self._tokens, asked - most) + 1

    def resume(self, now: float) -> None:
        """Leave out what fell due while something else had to be done, such as the checks of breakers."""
        if self._rate is not None:
            self._tokens = max(self._tokens, self._asked(now))

    def ended(self, now: float) -> None:
        """Draw the rest that follows an iteration."""
        if self._think is not None:
            self._rested = now + self._random.uniform(self._think.low, self._think.high)

    def _asked(self, seconds: float) -> float:
        assert self._rate is not None
        return self._share * self._rate.iterations_by(seconds)
