"""Real pybreaker breakers pass, are judged in virtual time, and come back as they were."""

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pybreaker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pybreaker import CircuitBreaker, CircuitBreakerListener, CircuitMemoryStorage

from pytest_resilience.breakers.bench import Bench
from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.drive import Drive
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.libraries import MODULES
from pytest_resilience.breakers.libraries.pybreaker_breakers import twin
from pytest_resilience.breakers.limits import MOST_CALLS
from pytest_resilience.breakers.scenarios import SCENARIOS
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.breakers.verify import BreakerReport, verify
from pytest_resilience.clock import ManualClock, SystemClock
from pytest_resilience.errors import ResilienceError

APPLICABLE = {"failure_threshold", "half_open_recovery", "forced_state_transitions", "concurrent_failures"}


SUPPORTED = f"Supported: {', '.join(sorted(MODULES))};"


def check(breaker: Any) -> BreakerReport:
    return verify("test_circuit", breaker, clock=SystemClock())


def verdicts(report: BreakerReport) -> dict[str, str]:
    return {result.scenario: result.verdict for result in report.results}


def fail() -> None:
    raise ConnectionError("down")


def attributes(breaker: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    storage = vars(breaker)["_state_storage"]
    return dict(vars(breaker)), dict(vars(storage))


@pytest.mark.parametrize("source", [CircuitBreaker, CircuitBreaker(), lambda: CircuitBreaker(2, 1)])
def test_a_right_breaker_passes_what_applies_to_it(source: object) -> None:
    """An instance, a class and a factory pass four scenarios; three do not apply, with a reason."""
    report = check(source)
    assert report.passed
    assert list(verdicts(report)) == list(SCENARIOS)
    for result in report.results:
        assert result.verdict == ("passed" if result.scenario in APPLICABLE else "not_applicable")
        assert result.breaker == "test_circuit"
        assert result.detail


def test_a_passed_scenario_tells_its_calls() -> None:
    """The detail of a result is the story of the calls, with the virtual time between them."""
    details = {result.scenario: result.detail for result in check(lambda: CircuitBreaker(3, 30)).results}
    assert details["failure_threshold"] == (
        "failing entered x2, healthy entered, failing entered x3, failing rejected, healthy rejected"
    )
    assert (
        "healthy rejected, 29.7s later, healthy rejected, 600ms later, failing entered"
        in (details["half_open_recovery"])
    )
    assert details["slow_call_threshold"] == "pybreaker does not time calls: a slow success is a success"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(0, 12), st.sampled_from([0.05, 1, 60, 86400.0]), st.booleans())
def test_every_sane_setting_passes(
    fail_max: int, success_threshold: int, reset_timeout: float, raises_new: bool
) -> None:
    """No setting of a right breaker is taken for a defect."""
    build = lambda: CircuitBreaker(  # noqa: E731
        fail_max, reset_timeout, success_threshold, throw_new_error_on_trip=raises_new
    )
    checker = Checker(subject_of("test_circuit", build))
    results = [checker.scenario(which) for which in SCENARIOS]
    assert [result.detail for result in results if result.verdict == "failed"] == []


def test_it_takes_no_real_waiting() -> None:
    """A breaker that stays open for a day is checked long before."""
    begun = time.monotonic()
    assert check(lambda: CircuitBreaker(reset_timeout=86400)).passed
    assert time.monotonic() - begun < 60


def test_a_breaker_that_never_rejects_fails() -> None:
    """With an open time of nothing a breaker protects nobody, and the report says which call got in."""
    report = check(lambda: CircuitBreaker(fail_max=2, reset_timeout=0))
    assert verdicts(report)["failure_threshold"] == "failed"
    assert report.verdict == (
        "breaker 'test_circuit': 0 of 4 applicable scenarios passed, 3 not applicable, "
        "none of 0 hazards failed"
    )
    assert {hazard.detail for hazard in report.hazards} == {
        "it fails failure_threshold and half_open_recovery, which each hazard begins with"
    }
    assert "failure_threshold: failed: expected a failing call to be rejected, but it entered" in str(report)


@pytest.mark.parametrize(
    ("fail_max", "success_threshold", "named"),
    [(MOST_CALLS + 1, 1, "fail_max"), (1, MOST_CALLS + 1, "success_threshold")],
)
def test_a_threshold_out_of_reach_is_no_success(fail_max: int, success_threshold: int, named: str) -> None:
    """What would take too many calls is not applicable, and a report without a success did not pass."""
    report = check(lambda: CircuitBreaker(fail_max, success_threshold=success_threshold))
    assert set(verdicts(report).values()) == {"not_applicable"}
    assert not report.passed
    assert f"{named}=10001 is more than the 10000 calls that a check makes" in str(report)


def test_the_failures_are_ones_that_the_breaker_counts() -> None:
    """A breaker that excludes connection errors is checked with another error."""
    assert check(lambda: CircuitBreaker(exclude=[ConnectionError, TimeoutError])).passed


def test_an_exclusion_that_raises_is_a_finding() -> None:
    """An exclusion that cannot look at the error keeps the breaker from ever opening."""
    report = check(lambda: CircuitBreaker(exclude=[lambda error: error.response.status == 404]))
    assert verdicts(report)["failure_threshold"] == "failed"
    assert "AttributeError" in str(report)


def test_transitions_are_measured_by_the_clock_that_is_passed() -> None:
    """Each state change is timed a hundred times, in seconds of the given clock."""

    class Ticking(ManualClock):
        def now(self) -> float:
            self.advance(0.25)
            return super().now()

    report = verify("test_circuit", lambda: CircuitBreaker(3), clock=Ticking())
    assert len(report.transitions) == 300
    assert {change.seconds for change in report.transitions} == {0.25}
    assert {change.change for change in report.transitions} == {
        "closed>open",
        "open>half_open>open",
        "open>half_open>closed",
    }
    assert report.verdict.endswith("slowest state change 250.000 ms")


def test_state_changes_are_fast() -> None:
    """The 99th percentile of a state change is far below the 0.1 s that a run allows."""
    costs = sorted(change.seconds for change in check(CircuitBreaker).transitions)
    assert 0 < costs[int(len(costs) * 0.99)] < 0.05


@pytest.mark.parametrize("state", ["closed", "open", "half-open"])
def test_an_instance_comes_back_as_it_was(state: str) -> None:
    """Settings, state, counts and time of opening are the same objects as before the check."""
    breaker = CircuitBreaker(fail_max=4, reset_timeout=45, success_threshold=2, name="mine")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            breaker.call(fail)
    {"closed": lambda: None, "open": breaker.open, "half-open": breaker.half_open}[state]()
    before = attributes(breaker)
    assert check(breaker).passed
    assert attributes(breaker) == before
    assert breaker.current_state == breaker.state.name == state
    assert (breaker.fail_counter, breaker.reset_timeout) == (2, 45)


class Interrupting(CircuitBreaker):
    """Interrupts the check at one of its calls."""

    calls = 0
    stop_at = 0
    learned = None

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        Interrupting.calls += 1
        self.learned = "new attribute"
        if Interrupting.calls == Interrupting.stop_at:
            self.reset_timeout = 1
            raise KeyboardInterrupt
        return super().call(func, *args, **kwargs)


@pytest.mark.parametrize("stop_at", [1, 2, 9, 14, 25, 300])
def test_an_instance_comes_back_after_an_interrupt(stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a check restores the instance and the clock of its library."""
    monkeypatch.setattr(Interrupting, "calls", 0)
    monkeypatch.setattr(Interrupting, "stop_at", stop_at)
    breaker = Interrupting(fail_max=3, reset_timeout=45)
    before, clock = attributes(breaker), vars(pybreaker)["datetime"]
    with pytest.raises(KeyboardInterrupt):
        check(breaker)
    assert attributes(breaker) == before
    assert "learned" not in vars(breaker)
    assert vars(pybreaker)["datetime"] is clock is datetime


def test_an_instance_is_checked_with_its_listeners() -> None:
    """The check runs on the user's own instance: its listeners hear it, and stay."""
    heard = []

    class Listener(CircuitBreakerListener):
        def state_change(self, cb: CircuitBreaker, old_state: object, new_state: Any) -> None:
            heard.append((cb, new_state.name))

    breaker = CircuitBreaker(fail_max=2, listeners=[Listener()])
    assert check(breaker).passed
    assert {(id(cb), state) for cb, state in heard} == {
        (id(breaker), state) for state in ("open", "closed", "half-open")
    }
    assert len(breaker.listeners) == 1


def test_a_listener_that_raises_is_a_finding() -> None:
    """A listener that fails on the first failure keeps the breaker from counting it."""

    class Broken(CircuitBreakerListener):
        def failure(self, cb: CircuitBreaker, exc: BaseException) -> None:
            raise KeyError("metrics")

    report = check(lambda: CircuitBreaker(fail_max=2, listeners=[Broken()]))
    assert verdicts(report)["half_open_recovery"] == "failed"
    assert "KeyError" in str(report)


def test_a_shared_storage_is_left_alone() -> None:
    """A storage outside of memory sees nothing of the check, and the result says so."""

    class Shared(pybreaker.CircuitBreakerStorage):
        state, counter, success_counter, opened_at = "closed", 1, 0, datetime.now(UTC)

    shared = Shared("shared")
    breaker = CircuitBreaker(fail_max=3, state_storage=shared)
    report = check(breaker)
    assert report.passed
    assert "checked on memory storage, to leave its Shared alone" in report.results[0].detail
    assert vars(breaker)["_state_storage"] is shared
    assert vars(shared) == {"_name": "shared"}


def test_a_storage_class_of_the_user_is_checked() -> None:
    """A defect in a user's own memory storage is found."""

    class Forgetful(CircuitMemoryStorage):
        def increment_counter(self) -> None:
            pass

    report = check(lambda: CircuitBreaker(fail_max=3, state_storage=Forgetful("closed")))
    assert verdicts(report)["failure_threshold"] == "failed"


def test_other_breakers_keep_the_real_time_during_a_check() -> None:
    """Only calls of the check see the moved clock, not other threads and not other calls of its own."""
    virtual = Hands()
    seen = {}
    with subject_of("test_circuit", CircuitBreaker).borrowed(virtual) as lend:
        breaker = lend()
        virtual.advance(1_000_000)

        def now() -> datetime:
            moved: datetime = vars(pybreaker)["datetime"].now(UTC)
            return moved

        def look() -> None:
            seen["in a call"] = now()
            thread = threading.Thread(target=lambda: seen.update(elsewhere=now()))
            thread.start()
            thread.join()

        with virtual:
            breaker.call(look)
        seen["outside"] = now()
    real = datetime.now(UTC)
    assert (seen["in a call"] - real).total_seconds() == pytest.approx(1_000_000, abs=60)
    assert (seen["outside"] - real).total_seconds() == pytest.approx(0, abs=60)
    assert (seen["elsewhere"] - real).total_seconds() == pytest.approx(0, abs=60)


def test_checks_in_several_threads_do_not_mix_their_clocks() -> None:
    """Checks that run at the same time all pass and leave the library's own clock behind."""
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(check(CircuitBreaker))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.passed for report in reports] == [True] * 4
    assert vars(pybreaker)["datetime"] is datetime


def test_a_twin_shares_nothing_that_changes() -> None:
    """A twin of an open instance starts closed; driving it leaves the instance as it was."""
    breaker = CircuitBreaker(fail_max=2, name="mine")
    breaker.open()
    before = attributes(breaker)
    other = twin(breaker)
    assert other.call(lambda: "answer") == "answer"
    assert (other.fail_max, other.name) == (2, "mine")
    assert vars(other)["_lock"] is not vars(breaker)["_lock"]
    assert attributes(breaker) == before


def test_a_drive_judges_entries_and_not_exceptions() -> None:
    """A call that raises what a rejection raises, but entered, is an entry."""
    hands = Hands()
    with subject_of("test_circuit", CircuitBreaker).borrowed(hands) as lend:
        adapter = lend()
        adapter.traits = replace(adapter.traits, failure=pybreaker.CircuitBreakerError)
        with Bench(adapter, hands, "sync") as bench:
            drive = Drive(bench)
            drive.failing(2, enter=True)
            assert drive.story == "failing entered x2"


def raising() -> None:
    raise OSError("no config")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, f"3. {SUPPORTED} describe your own by a BreakerAdapter."),
        (lambda: "closed", f"'closed'. {SUPPORTED} describe your own by a BreakerAdapter."),
        (logging.getLogger, f"{SUPPORTED} describe your own by a BreakerAdapter."),
        (raising, "Calling it raised OSError: no config."),
        (lambda needed: CircuitBreaker(), "missing 1 required positional argument: 'needed'."),
    ],
)
def test_what_is_no_breaker_is_refused(source: object, message: str) -> None:
    """The error names the breaker, the value and what is supported, in one line."""
    allowed = "Breaker 'test_circuit' must be a circuit breaker, or a function without arguments"
    with pytest.raises(ResilienceError, match=f"^{allowed} that returns one, not .*{re.escape(message)}$"):
        check(source)


def test_pybreaker_is_imported_only_when_a_breaker_is_checked() -> None:
    """Importing the checks costs nothing until one runs."""
    code = (
        "import sys, pytest_resilience.breakers.verify, pytest_resilience.breakers.cascade;"
        "sys.exit('pybreaker' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
