"""Hazards on real breakers: known defects are found, results repeat, and nothing is left behind."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pybreaker
import pytest
from breaker_samples import SAMPLES

from pytest_resilience.breakers.checks import Checker, merged
from pytest_resilience.breakers.checks import Judgement as J
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.limits import MOST_CALLS_OF_HAZARDS
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.breakers.records import HazardResult
from pytest_resilience.breakers.subject import subject_of

FD = Path("/proc/self/fd")


def hazards_of(sample: str) -> Mapping[str, HazardResult]:
    """Return all hazards of a breaker as users set it up."""
    checker = Checker(subject_of(sample, SAMPLES[sample]))
    return {name: checker.hazard(hazard) for name, hazard in HAZARDS.items()}


KNOWN = [
    ("pybreaker", "interrupt_replaced", "wrong", "Expected the caller to get KeyboardInterrupt, but it got"),
    ("pybreaker", "coroutine_function_missed", "wrong", "calls: failing coroutine entered x6"),
    ("pybreaker", "waits_for_hung_probe", "wrong", "call A enters, call B is blocked"),
    (
        "circuitbreaker",
        "cancelled_probe_closes",
        "wrong",
        "cancelled, failing entered, healthy entered",
    ),
    ("circuitbreaker", "late_success_while_open", "wrong", "A ends well, healthy entered"),
    ("circuitbreaker", "falsy_open_time", "wrong", "open time 0, failing x1, 1ms later, healthy"),
    ("aiobreaker", "late_probe_failure_after_recovery", "wrong", "B ends in failure, healthy rejected"),
    ("aiobreaker", "clock_set_back", "strict", "the wall clock is set back by an hour or more"),
    ("purgatory", "memory_kept_by_rejections", "wrong", "healthy rejected x350"),
    ("nopanic", "slot_lost_by_raising_predicate", "wrong", "in that call the predicate raised"),
    ("pyresilience", "herd_in_half_open", "strict", "all 8 entered"),
]


@pytest.mark.parametrize(("sample", "hazard", "level", "evidence"), KNOWN)
def test_known_defects_are_found(sample: str, hazard: str, level: str, evidence: str) -> None:
    """Each is told with the sentence of the hazard, what was expected, and the calls that show it."""
    found = Checker(subject_of(sample, SAMPLES[sample])).hazard(HAZARDS[hazard])
    assert (found.verdict, found.level) == ("failed", level)
    assert found.detail.startswith(f"{HAZARDS[hazard].explanation} ")
    assert "; calls: " in found.detail
    assert evidence in found.detail


@pytest.mark.parametrize("sample", ["pybreaker", "nopanic", "purgatory (async)"])
def test_results_repeat(sample: str) -> None:
    """Threads in lock-step and a private loop: the same calls in the same order, each time."""
    first, second = hazards_of(sample), hazards_of(sample)
    for name in HAZARDS:
        told = [re.sub(r"[\d.]+ blocks|0x\w+", "", run[name].detail) for run in (first, second)]
        assert told[0] == told[1], name


@pytest.mark.skipif(not FD.is_dir(), reason="open files are counted in /proc")
def test_nothing_is_left_behind() -> None:
    """No thread, no open file and no moved clock, sync and async, whatever the hazards did."""
    hazards_of("aiobreaker")  # what the first use imports and opens
    clock = vars(pybreaker)["datetime"]
    threads, files = set(threading.enumerate()), len(list(FD.iterdir()))
    for sample in ("pybreaker", "aiobreaker", "circuitbreaker", "purgatory"):
        hazards_of(sample)
    assert set(threading.enumerate()) <= threads
    assert len(list(FD.iterdir())) <= files
    assert vars(pybreaker)["datetime"] is clock


INTERRUPTED = """
import threading, time, pybreaker
from datetime import datetime
from pytest_resilience.breakers.verify import verify
from pytest_resilience.clock import SystemClock

print("begun", flush=True)
try:
    while True:
        verify("x", pybreaker.CircuitBreaker(), clock=SystemClock())
except KeyboardInterrupt:
    deadline = time.monotonic() + 5
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    alone = threading.active_count() == 1
    print("stopped", alone, pybreaker.datetime is datetime)
"""


@pytest.mark.parametrize("after", [0.05, 0.21, 0.4])
def test_ctrl_c_ends_a_check_at_once(after: float) -> None:
    """A real SIGINT in the middle of a check is the user's: threads end, and the clock is put back."""
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == "stopped True True\n"


def test_hazards_of_a_breaker_that_takes_too_many_calls_are_spared() -> None:
    """What would take minutes does not apply, with the reason; it is no success."""
    many = MOST_CALLS_OF_HAZARDS + 1
    checker = Checker(subject_of("patient", lambda: pybreaker.CircuitBreaker(many)))
    found = checker.hazard(HAZARDS["herd_in_half_open"])
    assert found.verdict == "not_applicable"
    assert found.detail == "threshold: 1001 calls are more than the 1000 for which hazards are tried"


def test_what_cannot_be_tried_says_why() -> None:
    """A breaker that is described by its calls alone is not accused of what was not tried."""
    checker = Checker(subject_of("mine", BreakerAdapter(Own, call=Own.call, threshold=2, open_seconds=9)))
    reasons = {name: checker.hazard(hazard) for name, hazard in HAZARDS.items()}
    details = {name: one.detail for name, one in reasons.items() if one.verdict == "not_applicable"}
    assert details["cancelled_probe_closes"] == "a sync call cannot be cancelled"
    assert details["slot_lost_by_raising_listener"] == "its adapter cannot add a listener"
    assert details["closed_streams_open"] == "its adapter cannot 'generate'"
    assert details["ignored_probe_closes"].startswith("the breaker ignores no error")
    assert details["falsy_open_time"] == "its adapter cannot make a breaker with an open time of 0"


class Own:
    """A breaker whose clock is injected."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._inner = pybreaker.CircuitBreaker(fail_max=2, reset_timeout=0)
        self._clock = clock
        self._opened: float | None = None

    def call(self, function: Callable[[], object]) -> object:
        now = self._clock()
        if self._opened is not None and now - self._opened < 9:
            raise RuntimeError("open")
        try:
            return self._inner.call(function)
        except pybreaker.CircuitBreakerError:
            self._opened = now
            raise


def test_the_worse_of_two_ways_counts() -> None:
    """A breaker that is right only when called in one way has failed; one way alone is named."""
    good, bad, absent = J("passed", "fine"), J("failed", "it entered"), J("not_applicable", "no")
    assert merged({"sync": good, "async": bad}) == J("failed", "async: it entered")
    assert merged({"sync": bad, "async": bad}) == J("failed", "it entered")
    assert merged({"sync": absent, "async": good}) == J("passed", "async: fine")
    assert merged({"sync": absent, "async": absent}) == J("not_applicable", "no")
