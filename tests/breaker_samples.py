"""Breakers of each supported library, as users set them up; docs/breakers.md shows what becomes of them."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TypeAlias

import aiobreaker
import circuitbreaker
import interlock
import nopanic
import purgatory
import pybreaker
import pyresilience

Make: TypeAlias = Callable[[], object]

OPEN_SECONDS = 30.0
FAILURES = 5


def of_pybreaker() -> pybreaker.CircuitBreaker:
    return pybreaker.CircuitBreaker(FAILURES, OPEN_SECONDS)


def of_circuitbreaker() -> circuitbreaker.CircuitBreaker:
    return circuitbreaker.CircuitBreaker(FAILURES, OPEN_SECONDS)


def of_aiobreaker() -> aiobreaker.CircuitBreaker:
    return aiobreaker.CircuitBreaker(FAILURES, timedelta(seconds=OPEN_SECONDS))


def of_purgatory() -> purgatory.SyncCircuitBreakerFactory:
    return purgatory.SyncCircuitBreakerFactory(FAILURES, OPEN_SECONDS)


def of_purgatory_async() -> purgatory.AsyncCircuitBreakerFactory:
    return purgatory.AsyncCircuitBreakerFactory(FAILURES, OPEN_SECONDS)


def of_pyresilience() -> pyresilience.CircuitBreakerConfig:
    return pyresilience.CircuitBreakerConfig(FAILURES, OPEN_SECONDS, ignore_on=[LookupError])


def of_pyresilience_window() -> pyresilience.CircuitBreakerConfig:
    return pyresilience.CircuitBreakerConfig(
        recovery_timeout=OPEN_SECONDS,
        ignore_on=[LookupError],
        sliding_window_size=10,
        minimum_calls=FAILURES,
        failure_rate_threshold=0.5,
        slow_call_duration=2.0,
        slow_call_rate_threshold=0.5,
    )


def of_interlock() -> interlock.CircuitBreaker:
    return interlock_with(slow_call_duration_threshold=600.0, max_concurrent_probes=2)


def of_interlock_slow() -> interlock.CircuitBreaker:
    return interlock_with(
        slow_call_duration_threshold=2.0,
        slow_call_rate_threshold=0.5,
        wait_duration_backoff_multiplier=2.0,
        wait_duration_in_open_max=4 * OPEN_SECONDS,
    )


def interlock_with(**settings: float) -> interlock.CircuitBreaker:
    config = interlock.Config(
        minimum_number_of_calls=FAILURES,
        window_size=10,
        permitted_calls_in_half_open=2,
        wait_duration_in_open=OPEN_SECONDS,
        **settings,  # type: ignore[arg-type]
    )
    return interlock.CircuitBreaker(name="sample", config=config)


def of_nopanic() -> nopanic.CircuitBreaker:
    return nopanic.CircuitBreaker(
        min_calls=FAILURES, window=60.0, reset_timeout=OPEN_SECONDS, half_open_max_calls=2, name="sample"
    )


def of_nopanic_slow() -> nopanic.CircuitBreaker:
    return nopanic.CircuitBreaker(
        min_calls=FAILURES,
        window=60.0,
        reset_timeout=OPEN_SECONDS,
        slow_call_duration=2.0,
        slow_call_threshold=0.5,
        name="sample",
    )


SAMPLES: Mapping[str, Make] = MappingProxyType(
    {
        "pybreaker": of_pybreaker,
        "circuitbreaker": of_circuitbreaker,
        "aiobreaker": of_aiobreaker,
        "purgatory": of_purgatory,
        "purgatory (async)": of_purgatory_async,
        "pyresilience": of_pyresilience,
        "pyresilience (window)": of_pyresilience_window,
        "interlock-cb": of_interlock,
        "interlock-cb (slow calls, backoff)": of_interlock_slow,
        "nopanic": of_nopanic,
        "nopanic (slow calls)": of_nopanic_slow,
    }
)
"""By the name of the library, and of the kind where it has several."""
