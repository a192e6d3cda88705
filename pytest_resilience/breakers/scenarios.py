"""The seven breaker scenarios, each a script of calls that a right breaker follows."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pytest_resilience.breakers.drive import Drive, Mismatch
from pytest_resilience.breakers.records import BreakerResult

THREADS = 8
EXTRA_THREADS = 4


def failure_threshold(drive: Drive) -> None:
    """Open at exactly the threshold; a success in between starts the count anew."""
    threshold = drive.traits.threshold
    drive.failing(threshold - 1, enter=True)
    drive.healthy(1, enter=True)
    drive.failing(threshold, enter=True)
    drive.failing(1, enter=False)
    drive.healthy(1, enter=False)


def half_open_recovery(drive: Drive) -> None:
    """Reject for the open time; a failed probe opens again, enough good ones close."""
    _trip(drive)
    drive.wait_until_probe()
    for good in sorted({0, drive.traits.successes_to_close - 1}):
        drive.healthy(good, enter=True)
        drive.failing(1, enter=True)
        drive.healthy(1, enter=False)
        drive.wait_until_probe()
    drive.healthy(drive.traits.successes_to_close, enter=True)
    _trip(drive)


def forced_state_transitions(drive: Drive) -> None:
    """Obey open, close and half-open by hand, and behave in each as when it went there by itself."""
    drive.force("open")
    drive.healthy(1, enter=False)
    drive.force("closed")
    _trip(drive)
    drive.force("half_open")
    drive.failing(1, enter=True)
    drive.healthy(1, enter=False)
    drive.force("half_open")
    drive.healthy(drive.traits.successes_to_close, enter=True)
    _trip(drive)


def concurrent_failures(drive: Drive) -> None:
    """Lose no failure of calls that fail at the same time, and trip once however many there are."""
    together = min(drive.traits.threshold, THREADS)
    for calls in (together, together + EXTRA_THREADS):
        drive.failing(drive.traits.threshold - together, enter=True)
        drive.failing_at_once(calls, enter=together)
        drive.healthy(1, enter=False)
        drive.wait_until_probe()
        drive.healthy(drive.traits.successes_to_close + 1, enter=True)


def _trip(drive: Drive) -> None:
    drive.failing(drive.traits.threshold, enter=True)
    drive.healthy(1, enter=False)


# None: no library that is supported has the feature; its adapter says so.
SCENARIOS: Mapping[str, Callable[[Drive], None] | None] = MappingProxyType(
    {
        "failure_threshold": failure_threshold,
        "error_rate_threshold": None,
        "slow_call_threshold": None,
        "half_open_recovery": half_open_recovery,
        "exponential_backoff": None,
        "forced_state_transitions": forced_state_transitions,
        "concurrent_failures": concurrent_failures,
    }
)


def run_scenario(breaker: str, scenario: str, drive: Drive) -> BreakerResult:
    """Run one scenario; what the breaker lacks is not applicable, never passed."""
    script = SCENARIOS[scenario]
    lacking = drive.traits.lacks.get(scenario)
    if lacking is not None or script is None:
        reason = lacking or "the library of this breaker has no such feature"
        return BreakerResult(breaker, scenario, "not_applicable", reason)
    try:
        script(drive)
    except Mismatch as mismatch:
        detail = f"{mismatch}; calls: {drive.story}"
        return BreakerResult(breaker, scenario, "failed", _remarked(detail, drive))
    return BreakerResult(breaker, scenario, "passed", _remarked(drive.story, drive))


def _remarked(detail: str, drive: Drive) -> str:
    return f"{detail} ({drive.traits.remark})" if drive.traits.remark else detail
