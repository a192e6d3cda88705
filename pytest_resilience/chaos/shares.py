"""How strong scenarios are at each intensity."""

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_resilience.errors import ScenarioError, requirement


@dataclass(frozen=True, slots=True)
class Shares:
    """How strong scenarios are unless told otherwise; shares above 0 and up to 1.

    Of the calls that provider_timeout, valuation_exception, latency_spike and intermittent_errors hit; of the
    time for which cpu_saturation keeps each core busy; of the memory below its ceiling that memory_pressure
    takes. `at_once` is how many scenarios a soak injects together.
    """

    provider_timeout: float
    valuation_exception: float
    latency_spike: float
    intermittent_errors: float = 0.1
    cpu: float = 1.0
    memory: float = 0.1
    at_once: int = 1

    def of(self, scenario: str) -> float:
        """Return the share of calls that `scenario` hits: all, where no intensity says less."""
        return float(getattr(self, scenario, 1.0))


INTENSITIES: Mapping[str, Shares] = {
    "low": Shares(0.05, 0.2, 0.02, cpu=0.25, memory=0.1, at_once=1),
    "medium": Shares(0.1, 0.5, 0.05, cpu=0.5, memory=0.25, at_once=2),
    "high": Shares(0.2, 0.7, 0.1, cpu=0.75, memory=0.5, at_once=3),
    "extreme": Shares(0.3, 0.9, 0.15, cpu=1.0, memory=1.0, at_once=4),
}


def shares_at(intensity: str) -> Shares:
    """Return the shares of an intensity: low, medium, high or extreme."""
    if intensity not in INTENSITIES:
        names = ", ".join(INTENSITIES)
        raise ScenarioError(requirement("intensity", f"one of {names}", intensity))
    return INTENSITIES[intensity]


EVERY_CALL = Shares(1, 1, 1)
"""A fault in a test hits all, unless told otherwise."""
