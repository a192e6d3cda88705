"""However a library's breaker is set up, it is accused of nothing that it does rightly."""

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from typing import Any

import aiobreaker
import circuitbreaker
import interlock
import nopanic
import purgatory
import pyresilience
from checked_breakers import checked
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from interlock import Config, WindowType

from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.scenarios import SCENARIOS
from pytest_resilience.breakers.subject import subject_of

Make = Callable[[], object]

SECONDS = st.sampled_from([0.05, 1.0, 30.0, 86400.0])
CALLS = st.integers(1, 12)
SHARES = st.sampled_from([0.01, 0.3, 0.5, 0.99, 1.0])


def of_aiobreaker(fail_max: int, seconds: float) -> object:
    return aiobreaker.CircuitBreaker(fail_max, timedelta(seconds=seconds))


def of_interlock(**chosen: Any) -> object:
    """Make one of settings that fit together: no more at once than in all, no more calls than are kept."""
    probes = max(chosen["permitted_calls_in_half_open"], chosen["max_concurrent_probes"])
    size = max(chosen["window_size"], chosen["minimum_number_of_calls"])
    fitting = {**chosen, "permitted_calls_in_half_open": probes, "window_size": size}
    return interlock.CircuitBreaker(name="drawn", config=Config(**fitting))


def of_pyresilience(**chosen: Any) -> object:
    least = min(chosen["minimum_calls"], chosen["sliding_window_size"])
    return pyresilience.CircuitBreakerConfig(**{**chosen, "minimum_calls": least})


def made(kind: Callable[..., object], **drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Make]:
    return st.fixed_dictionaries(drawn).map(lambda chosen: partial(kind, **chosen))


ANY_BREAKER = st.one_of(
    made(circuitbreaker.CircuitBreaker, failure_threshold=CALLS, recovery_timeout=SECONDS),
    made(of_aiobreaker, fail_max=CALLS, seconds=SECONDS),
    made(purgatory.SyncCircuitBreakerFactory, default_threshold=CALLS, default_ttl=SECONDS),
    made(
        of_pyresilience,
        failure_threshold=CALLS,
        recovery_timeout=SECONDS,
        success_threshold=CALLS,
        sliding_window_size=st.integers(0, 8),
        minimum_calls=st.integers(0, 8),
        failure_rate_threshold=SHARES,
        slow_call_duration=SECONDS,
        slow_call_rate_threshold=SHARES,
    ),
    made(
        of_interlock,
        minimum_number_of_calls=CALLS,
        window_size=CALLS,
        window_type=st.sampled_from(WindowType),
        failure_rate_threshold=SHARES,
        permitted_calls_in_half_open=CALLS,
        max_concurrent_probes=CALLS,
        wait_duration_in_open=SECONDS,
        slow_call_duration_threshold=SECONDS,
        slow_call_rate_threshold=SHARES,
        wait_duration_backoff_multiplier=st.sampled_from([1.0, 1.5, 3.0]),
        wait_duration_in_open_max=st.sampled_from([None, 86400.0, 864000.0]),
    ),
    made(
        nopanic.CircuitBreaker,
        min_calls=CALLS,
        failure_threshold=SHARES,
        reset_timeout=SECONDS,
        half_open_max_calls=CALLS,
        window=st.sampled_from([1.0, 30.0, 1000.0]),
        slow_call_duration=st.none() | SECONDS,
        slow_call_threshold=SHARES,
    ),
)

WHOLE_RATE = partial(
    of_pyresilience,
    success_threshold=4,
    sliding_window_size=8,
    minimum_calls=1,
    failure_rate_threshold=1.0,
)
LOW_RATE = partial(
    of_pyresilience,
    success_threshold=1,
    sliding_window_size=2,
    minimum_calls=2,
    failure_rate_threshold=0.01,
)
LARGE_HERD = partial(nopanic.CircuitBreaker, half_open_max_calls=11, min_calls=1, failure_threshold=0.01)
SHORT_WINDOW = partial(
    of_interlock,
    minimum_number_of_calls=10,
    window_size=2,
    window_type=WindowType.TIME_BASED,
    permitted_calls_in_half_open=6,
    max_concurrent_probes=2,
    wait_duration_in_open=1.0,
    slow_call_duration_threshold=30.0,
    slow_call_rate_threshold=0.01,
    failure_rate_threshold=0.01,
    wait_duration_backoff_multiplier=1.5,
)


@cache
def known_hazards() -> dict[str, set[str]]:
    """Return the hazards that a library falls for; test_breakers_truth.py shows that it does."""
    known: dict[str, set[str]] = defaultdict(set)
    for one in checked():
        known[one.library] |= {name for name, (verdict, _) in one.verdicts.items() if verdict == "failed"}
    return known


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@example(WHOLE_RATE)
@example(LOW_RATE)
@example(LARGE_HERD)
@example(SHORT_WINDOW)
@given(ANY_BREAKER)
def test_no_setting_is_taken_for_a_defect(make: Make) -> None:
    """Every scenario passes or does not apply, and no hazard is found that the library has not got anyway."""
    subject = subject_of("drawn", make)
    checker = Checker(subject)
    scenarios = [checker.scenario(name) for name in SCENARIOS]
    assert [one for one in scenarios if one.verdict == "failed"] == []
    hazards = [checker.hazard(hazard) for hazard in HAZARDS.values()]
    fallen = [one for one in hazards if one.verdict == "failed"]
    assert [one for one in fallen if one.hazard not in known_hazards()[subject.library.name]] == []
