"""Measure what a state change of a breaker costs the call that causes it."""

from contextlib import suppress

from pytest_resilience.breakers.adapter import Adapter
from pytest_resilience.breakers.dependency import Dependency
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.limits import MARGIN
from pytest_resilience.breakers.records import Transition
from pytest_resilience.clock import Clock

# Enough for a 99th percentile, within a bounded number of calls.
MOST_ROUNDS = 100
MOST_CALLS = 20_000


def measure_transitions(name: str, breaker: Adapter, time: Hands, clock: Clock) -> tuple[Transition, ...]:
    """Take a breaker that passed its scenarios through its states, and time each changing call by `clock`."""
    rounds = max(1, min(MOST_ROUNDS, MOST_CALLS // breaker.traits.threshold))
    lap = _Lap(name, breaker, time, clock)
    return tuple(transition for _ in range(rounds) for transition in lap.run())


class _Lap:
    def __init__(self, name: str, breaker: Adapter, time: Hands, clock: Clock) -> None:
        self._name = name
        self._breaker = breaker
        self._time = time
        self._clock = clock
        self._dependency = Dependency(breaker.traits.failure)

    def run(self) -> tuple[Transition, ...]:
        """Go once through closed, open, half-open, open, half-open, closed."""
        traits = self._breaker.traits
        self._calls(traits.threshold - 1, healthy=False)
        opened = self._timed("closed>open", healthy=False)
        self._outlast_open()
        reopened = self._timed("open>half_open>open", healthy=False)
        self._outlast_open()
        self._calls(traits.successes_to_close - 1, healthy=True)
        change = "open>half_open>closed" if traits.successes_to_close == 1 else "half_open>closed"
        return opened, reopened, self._timed(change, healthy=True)

    def _outlast_open(self) -> None:
        self._time.advance((1 + MARGIN) * self._breaker.traits.open_seconds)

    def _timed(self, change: str, *, healthy: bool) -> Transition:
        begun = self._clock.now()
        self._calls(1, healthy=healthy)
        return Transition(self._name, change, self._clock.now() - begun)

    def _calls(self, calls: int, *, healthy: bool) -> None:
        self._dependency.healthy = healthy
        for _ in range(calls):
            with self._time, suppress(Exception):
                self._breaker.call(self._dependency)
