"""The clocks: a real one for runs, a manual one for tests."""

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.clock import ManualClock, SystemClock


@given(st.lists(st.floats(-5, 5)))
def test_a_manual_clock_moves_by_each_wait_and_never_back(waits: list[float]) -> None:
    """Waiting takes no real time; a wait for less than nothing takes none at all."""
    clock, event = ManualClock(start=7.0), threading.Event()
    for seconds in waits:
        before = clock.now()
        assert clock.wait(event, seconds) is False
        assert clock.now() == before + max(0.0, seconds)


def test_a_manual_clock_does_not_wait_for_what_has_come() -> None:
    """An event that is set ends the wait before it begins."""
    clock, event = ManualClock(), threading.Event()
    event.set()
    assert clock.wait(event, 60.0) is True
    assert clock.now() == 0.0


def test_a_manual_clock_is_advanced_by_hand() -> None:
    """Nothing else moves it."""
    clock = ManualClock(2.0)
    clock.advance(1.5)
    assert clock.now() == 3.5


def test_the_system_clock_waits_no_longer_than_told() -> None:
    """It returns at the deadline, and at once for a wait that is over."""
    clock, event = SystemClock(), threading.Event()
    began = time.monotonic()
    assert clock.wait(event, 0.02) is False
    assert 0.02 <= time.monotonic() - began < 5
    assert clock.wait(event, -1.0) is False


def test_the_system_clock_is_woken_by_the_event() -> None:
    """Another thread ends the wait long before its time."""
    clock, event = SystemClock(), threading.Event()
    began = clock.now()
    waker = threading.Timer(0.02, event.set)
    waker.start()
    assert clock.wait(event, 60.0) is True
    assert clock.now() - began < 30
    waker.join()
