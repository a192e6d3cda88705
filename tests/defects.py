"""Defects of released libraries that a tester has to find, and libraries that it must not accuse."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from breaker_samples import SAMPLES

from pytest_resilience.breakers.explore import Counterexample, explore

KNOWN_DEFECTS: Mapping[str, tuple[str, Callable[[Counterexample], bool]]] = MappingProxyType(
    {
        "pybreaker replaces a KeyboardInterrupt": (
            "pybreaker",
            lambda one: one.kind.startswith("base_exception replaced"),
        ),
        "pybreaker never trips on async def": (
            "pybreaker",
            lambda one: one.kind == "coroutine_function_missed",
        ),
        "circuitbreaker closes on a cancelled probe": (
            "circuitbreaker",
            lambda one: one.kind.startswith("must be rejected") and "cancelled" in one.kind,
        ),
        "a late success closes circuitbreaker": (
            "circuitbreaker",
            lambda one: one.kind == "must be rejected after ok with overlap",
        ),
        "circuitbreaker takes a recovery_timeout of 0 for 30": (
            "circuitbreaker",
            lambda one: one.kind == "falsy_open_time",
        ),
        "a late failure re-opens a recovered aiobreaker": (
            "aiobreaker",
            lambda one: one.kind == "must enter after failure with overlap",
        ),
    }
)
"""By what it is: the sample, and how its counterexample is known."""

RIGHT = ("interlock-cb", "interlock-cb (slow calls, backoff)")


def finds(defect: str, seed: int, examples: int) -> bool:
    """Explore the library of a defect; tell whether it was found."""
    sample, shows = KNOWN_DEFECTS[defect]
    return any(map(shows, explore(sample, SAMPLES[sample], seed=seed, examples=examples).counterexamples))
