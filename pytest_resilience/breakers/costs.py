"""What state changes cost, in figures: percentiles over the measured ones."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_resilience.breakers.records import Transition


@dataclass(frozen=True, slots=True)
class TransitionCost:
    """What one state change of one breaker cost, in seconds, over the times it was measured."""

    breaker: str
    change: str
    measured: int
    p50_seconds: float
    p99_seconds: float
    longest_seconds: float


def transition_costs(transitions: Iterable[Transition]) -> tuple[TransitionCost, ...]:
    """Return the figures of each state change of each breaker, in the order in which they came."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for one in transitions:
        seconds.setdefault((one.breaker, one.change), []).append(one.seconds)
    return tuple(_cost(breaker, change, sorted(measured)) for (breaker, change), measured in seconds.items())


def _cost(breaker: str, change: str, ordered: Sequence[float]) -> TransitionCost:
    p50, p99 = percentile(ordered, 0.5), percentile(ordered, 0.99)
    return TransitionCost(breaker, change, len(ordered), p50, p99, ordered[-1])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least of some ordered values that at least `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
