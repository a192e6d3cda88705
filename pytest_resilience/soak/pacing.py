"""When the next iteration may start: the rate that was asked for, and the rest between two."""

from dataclasses import dataclass
from random import Random

from pytest_resilience.rates import RateProfile, ThinkTime, parse_rate, parse_think_time
from pytest_resilience.settings import Settings

CATCH_UP_SECONDS = 1.0
"""What is late by more is left out: a burst after a fault would be a load that nobody asked for."""


@dataclass(frozen=True)
class Load:
    """How much a soak asks of the suite; None is no limit, and no rest."""

    rate: RateProfile | None = None
    think_time: ThinkTime | None = None


NO_LIMIT = Load()


def load_of(settings: Settings) -> Load:
    """Return the load that was asked for."""
    return Load(
        parse_rate(settings.rate, "soak_rate") if settings.rate else None,
        parse_think_time(settings.think_time, "soak_think_time") if settings.think_time else None,
    )


class Pacer:
    """Tells when the next iteration is due (run seconds).

    Each iteration takes a token of a schedule that is fixed from the start of the run on, so that lateness
    of one does not move the others: nothing drifts. A suite that is too slow runs as fast as it can.

    Args:
        share: of the rate that this runner has; the others have the rest.
        seed: draws the think times.
    """

    def __init__(self, load: Load, *, share: float, seed: int) -> None:
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
        most = max(1.0, asked - self._asked(max(0.0, now - CATCH_UP_SECONDS)))
        self._tokens = max(self._tokens, asked - most) + 1

    def ended(self, now: float) -> None:
        """Draw the rest that follows an iteration."""
        if self._think is not None:
            self._rested = now + self._random.uniform(self._think.low, self._think.high)

    def _asked(self, seconds: float) -> float:
        assert self._rate is not None
        return self._share * self._rate.iterations_by(seconds)
