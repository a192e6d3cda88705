"""The tester's own test: breakers that are broken in one way each are caught, by the scenario that should."""

import threading
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pybreaker
import pytest
from pybreaker import CircuitBreaker

from pytest_resilience.breakers.cascade import run_cascades
from pytest_resilience.breakers.verify import BreakerReport, verify
from pytest_resilience.clock import SystemClock

EXECUTION_PLAN: dict[str, list[str]] = {
    "frontend": ["api_gateway"],
    "api_gateway": ["auth_service", "data_service"],
    "auth_service": ["database"],
    "data_service": ["database", "external_api"],
    "database": [],
    "external_api": [],
}


class NeverOpens(CircuitBreaker):
    def _inc_counter(self) -> None:
        pass


class OpensOneLate(CircuitBreaker):
    def open(self) -> bool:
        if self.fail_counter == self.fail_max:
            return True
        return super().open()


class OpensOneEarly(CircuitBreaker):
    def _inc_counter(self) -> None:
        super()._inc_counter()
        if self.fail_counter == self.fail_max - 1:
            super()._inc_counter()


class LetsCallsThroughWhileOpen(CircuitBreaker):
    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(func, *args, **kwargs)
        except pybreaker.CircuitBreakerError:
            return func(*args, **kwargs)


class EntersAndClaimsRejection(CircuitBreaker):
    """Only counting the entries shows it: its exceptions and its state are those of a right one."""

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.current_state == pybreaker.STATE_OPEN:
            func(*args, **kwargs)
        return super().call(func, *args, **kwargs)


class NeverCloses(CircuitBreaker):
    def close(self) -> None:
        pass


class NeverProbes(CircuitBreaker):
    def half_open(self) -> None:
        raise pybreaker.CircuitBreakerError("still open")


class LosesTheFailingProbe(CircuitBreaker):
    def open(self) -> bool:
        if self.current_state == pybreaker.STATE_HALF_OPEN:
            return True
        return super().open()


class OpensForHalfTheTime(CircuitBreaker):
    def half_open_early(self) -> bool:
        opened, now = self._state_storage.opened_at, vars(pybreaker)["datetime"].now(UTC)
        return opened is not None and (now - opened).total_seconds() >= self.reset_timeout / 2

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.current_state == pybreaker.STATE_OPEN and self.half_open_early():
            self.half_open()
        return super().call(func, *args, **kwargs)


class ClosesOneProbeEarly(CircuitBreaker):
    def half_open(self) -> None:
        super().half_open()
        self._state_storage.increment_success_counter()


class KeepsOldFailures(CircuitBreaker):
    """A success does not start the count of failures anew."""

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        before = self.fail_counter
        result = super().call(func, *args, **kwargs)
        if self.current_state == pybreaker.STATE_CLOSED:
            for _ in range(before):
                self._inc_counter()
        return result


class IgnoresForcing(CircuitBreaker):
    """Opens by itself, but not by hand."""

    def open(self) -> bool:
        if self.fail_counter >= self.fail_max or self.current_state == pybreaker.STATE_HALF_OPEN:
            return super().open()
        return True


class RaisesWhenForced(CircuitBreaker):
    def open(self) -> bool:
        if self.fail_counter == 0:
            raise RuntimeError("not today")
        return super().open()


class LosesFailuresOfOverlappingCalls(CircuitBreaker):
    """Calls do not wait for each other, and a failure is counted by read, pause and write."""

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.state.call(func, *args, **kwargs)

    def _inc_counter(self) -> None:
        seen = self.fail_counter
        time.sleep(0.002)
        vars(self._state_storage)["_fail_counter"] = seen + 1


class HangsUnderLoad(CircuitBreaker):
    """A call that comes while another thread is inside does not return until the end of the test."""

    inside = threading.RLock()
    end_of_test = threading.Event()

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self.inside.acquire(blocking=False):
            self.end_of_test.wait()
            return None
        try:
            return super().call(func, *args, **kwargs)
        finally:
            self.inside.release()


CAUGHT_BY = [
    (NeverOpens, "failure_threshold", "expected a failing call to be rejected, but it entered"),
    (OpensOneLate, "failure_threshold", "expected a failing call to be rejected, but it entered"),
    (
        OpensOneEarly,
        "failure_threshold",
        "to enter the dependency, but it was rejected (CircuitBreakerError:",
    ),
    (LetsCallsThroughWhileOpen, "failure_threshold", "but it entered"),
    (EntersAndClaimsRejection, "failure_threshold", "expected a failing call to be rejected, but it entered"),
    (NeverCloses, "half_open_recovery", "expected a failing call to enter"),
    (
        NeverProbes,
        "half_open_recovery",
        "expected a failing call to enter the dependency, but it was rejected",
    ),
    (LosesTheFailingProbe, "half_open_recovery", "expected a healthy call to be rejected, but it entered"),
    (OpensForHalfTheTime, "half_open_recovery", "expected a healthy call to be rejected, but it entered"),
    (
        ClosesOneProbeEarly,
        "half_open_recovery",
        "expected a healthy call to be rejected, but it entered",
    ),
    (KeepsOldFailures, "failure_threshold", "expected a failing call to enter"),
    (IgnoresForcing, "forced_state_transitions", "expected a healthy call to be rejected"),
    (RaisesWhenForced, "forced_state_transitions", "forced open, but it raised RuntimeError: not today"),
    (LosesFailuresOfOverlappingCalls, "concurrent_failures", "expected a healthy call to be rejected"),
]


def check(breaker: object) -> BreakerReport:
    return verify("test_circuit", breaker, clock=SystemClock())


def failures(report: BreakerReport) -> dict[str, str]:
    return {result.scenario: result.detail for result in report.results if result.verdict == "failed"}


@pytest.mark.parametrize(
    ("mutant", "scenario", "message"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_broken_breaker_fails_the_scenario_that_it_breaks(
    mutant: type[CircuitBreaker], scenario: str, message: str
) -> None:
    """Each mutant fails, with what was expected, what was observed and the calls until then."""
    report = check(lambda: mutant(fail_max=3, reset_timeout=30, success_threshold=2))
    assert not report.passed
    assert message in failures(report)[scenario]
    assert "; calls: " in failures(report)[scenario]
    assert report.transitions == ()


@pytest.mark.parametrize("mutant", [LosesFailuresOfOverlappingCalls, IgnoresForcing, RaisesWhenForced])
def test_only_the_broken_thing_is_blamed(mutant: type[CircuitBreaker]) -> None:
    """What a sequential script cannot see, or what only forcing shows, fails in one scenario alone."""
    assert len(failures(check(lambda: mutant(fail_max=3)))) == 1


def test_a_breaker_that_hangs_is_a_finding_and_does_not_hang_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls that never return are counted and reported."""
    monkeypatch.setattr("pytest_resilience.breakers.drive.HUNG_SECONDS", 0.1)
    found = failures(check(lambda: HangsUnderLoad(fail_max=3)))
    HangsUnderLoad.end_of_test.set()
    assert found.keys() == {"concurrent_failures"}
    assert "hung" in found["concurrent_failures"]


@pytest.mark.parametrize(
    ("mutant", "problem"),
    [
        (NeverOpens, "still calling after 3 failures"),
        (EntersAndClaimsRejection, "still calling after 3 failures"),
        (LetsCallsThroughWhileOpen, "still calling after 3 failures"),
        (OpensForHalfTheTime, "let calls in while open"),
        (NeverProbes, "not every breaker let calls in again"),
        (NeverCloses, "never closed, one failure opened them again"),
    ],
)
def test_a_broken_breaker_fails_the_cascades(mutant: type[CircuitBreaker], problem: str) -> None:
    """A cascade passes only if it is contained and every breaker is closed after the heal."""
    report = run_cascades(EXECUTION_PLAN, lambda: mutant(fail_max=3, success_threshold=2), seed=1)
    applicable = [cascade for cascade in report.cascades if cascade.verdict != "not_applicable"]
    assert {cascade.verdict for cascade in applicable} == {"failed"}
    assert all(problem in cascade.detail for cascade in applicable)
    assert {cascade.seconds_to_closed for cascade in applicable} == {None}
