"""The seven breaker scenarios, each a script of calls that a right breaker follows."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from pytest_resilience.breakers.drive import Drive
from pytest_resilience.breakers.flight import NotPossibleError

THREADS = 8
EXTRA_THREADS = 4
MOST_ROUNDS = 8

Script: TypeAlias = Callable[[Drive], None]
"""Drives a breaker; raises Mismatch if it goes another way, NotPossibleError if it cannot be tried."""


def failure_threshold(drive: Drive) -> None:
    """Open at exactly the threshold; a success in between starts the count anew."""
    threshold = drive.traits.threshold
    if drive.traits.consecutive:
        drive.failing(threshold - 1, enter=True)
        drive.healthy(1, enter=True)
    drive.failing(threshold, enter=True)
    drive.failing(1, enter=False)
    drive.healthy(1, enter=False)


def error_rate_threshold(drive: Drive) -> None:
    """Open where the share of failures is above the rate, and not where it is below; forget old calls."""
    traits = drive.traits
    if traits.error_rate is None:
        raise NotPossibleError("the breaker counts failures and knows no error rate")
    calls, above, below = traits.threshold, *_around(traits.error_rate, traits.threshold)
    drive.healthy(calls - above, enter=True)
    drive.failing(above, enter=True)
    drive.healthy(1, enter=False)
    drive.recover()
    drive.healthy(calls - below, enter=True)
    drive.failing(below, enter=True)
    drive.healthy(1, enter=True)
    if traits.window_seconds is not None:
        drive.wait(2 * traits.window_seconds)
        drive.failing(calls - 1, enter=True)
        drive.wait(2 * traits.window_seconds)
        drive.failing(min(1, calls - 1), enter=True)
        drive.healthy(1, enter=True)


def slow_call_threshold(drive: Drive) -> None:
    """Open where the share of slow successes is above the rate, and not where it is below."""
    traits = drive.traits
    if traits.slow_rate is None or traits.slow_seconds is None:
        raise NotPossibleError("the breaker does not time calls: a slow success is a success")
    calls, above, below = traits.threshold, *_around(traits.slow_rate, traits.threshold)
    if traits.window_seconds is not None and traits.window_seconds <= 2 * traits.slow_seconds:
        drive.slow_together(calls)  # fast ones are forgotten by the time that slow ones end
        drive.healthy(1, enter=False)
        return
    drive.healthy(calls - above, enter=True)
    drive.slow_together(above)
    drive.healthy(1, enter=False)
    drive.recover()
    drive.healthy(calls - below, enter=True)
    drive.slow_together(below)
    drive.healthy(1, enter=True)


def half_open_recovery(drive: Drive) -> None:
    """Reject for the open time; failed probes open again, enough good ones close."""
    traits = drive.traits
    drive.trip()
    drive.wait_until_probe()
    # A breaker that decides after several probes takes good ones before bad ones into account.
    for good in sorted({0, traits.successes_to_close - 1}) if traits.failures_to_reopen == 1 else [0]:
        drive.healthy(good, enter=True)
        drive.fail_probes()
        drive.healthy(1, enter=False)
        drive.wait_until_probe()
    drive.healthy(traits.successes_to_close, enter=True)
    drive.closed()
    drive.trip()


def exponential_backoff(drive: Drive) -> None:
    """Stay open longer after each failed probe, up to the cap; start anew once closed."""
    traits = drive.traits
    if traits.backoff_factor == 1.0:
        raise NotPossibleError("the breaker stays open for the same time after every failed probe")
    drive.trip()
    drive.wait_until_probe()
    for _ in range(_rounds_to_cap(traits.backoff_factor, traits.backoff_cap, traits.open_seconds)):
        drive.fail_probes()
        drive.wait_until_probe()
    drive.healthy(traits.successes_to_close, enter=True)
    drive.closed()
    drive.trip()
    drive.wait_until_probe()
    drive.healthy(1, enter=True)


def forced_state_transitions(drive: Drive) -> None:
    """Obey open, close and half-open by hand, and behave in each as when it went there by itself."""
    traits = drive.traits
    if not {"force_open", "force_closed", "force_half_open"} & traits.can:
        raise NotPossibleError("the breaker cannot be brought into a state by hand")
    if "force_open" in traits.can:
        drive.force("open")
        drive.healthy(1, enter=False)
        if traits.forced_open_stays:
            drive.wait(2 * traits.open_seconds)
            drive.healthy(1, enter=False)
    else:
        drive.trip()
    if "force_closed" in traits.can:
        drive.force("closed")
    elif traits.forced_open_stays:
        return
    else:
        drive.wait_until_probe()
        drive.healthy(traits.successes_to_close, enter=True)
    drive.trip()
    if "force_half_open" in traits.can:
        drive.force("half_open")
        drive.fail_probes()
        drive.healthy(1, enter=False)
        drive.force("half_open")
        drive.healthy(traits.successes_to_close, enter=True)
        drive.closed()
        drive.trip()


def concurrent_failures(drive: Drive) -> None:
    """Lose no failure of calls that fail at the same time, and trip once however many there are."""
    together = min(drive.traits.threshold, THREADS)
    for calls in (together, together + EXTRA_THREADS):
        drive.failing(drive.traits.threshold - together, enter=True)
        drive.failing_at_once(calls, enter=together)
        drive.healthy(1, enter=False)
        drive.wait_until_probe()
        # A success more would count against the next failures where a rate decides.
        drive.healthy(drive.traits.successes_to_close + drive.traits.consecutive, enter=True)
        drive.closed()


def _around(rate: float, calls: int) -> tuple[int, int]:
    """Return the fewest of `calls` that are above the rate (or all, if none are), and the most below it."""
    return min(calls, math.floor(rate * calls) + 1), max(0, math.ceil(rate * calls) - 1)


def _rounds_to_cap(factor: float, cap: float | None, seconds: float) -> int:
    """Return how many failed probes show the growth, and that it ends at the cap."""
    if cap is None:
        return MOST_ROUNDS // 2
    to_cap = math.ceil(math.log(cap / seconds, factor)) if factor > 1 else 0
    return min(MOST_ROUNDS, to_cap + 2)


SCENARIOS: Mapping[str, Script] = MappingProxyType(
    {
        "failure_threshold": failure_threshold,
        "error_rate_threshold": error_rate_threshold,
        "slow_call_threshold": slow_call_threshold,
        "half_open_recovery": half_open_recovery,
        "exponential_backoff": exponential_backoff,
        "forced_state_transitions": forced_state_transitions,
        "concurrent_failures": concurrent_failures,
    }
)
