"""An interrupt at any instant of arming or disarming leaves no patch after the next sweep."""

import gc
import random
import signal
import time
from collections.abc import Callable

import chaos_subjects as subjects
import pytest

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.triggers import nth
from pytest_resilience.services import Service

INTERRUPTS = 300
LONGEST_DELAY = 0.003
GIVE_UP = 0.1

SERVICES = [
    Service("provider", calls=[subjects.fetch, subjects.Client.fetch_async], errors=[KeyError]),
    Service("clock", calls=["time:sleep"], errors=[OSError]),
]


def overlap(chaos: Chaos) -> None:
    """Arm two faults on the same calls and one on a native, and remove them out of order."""
    one = chaos.inject("valuation_exception", "provider", trigger=nth(99))
    with chaos.inject("latency_spike", "provider", delay=1, trigger=nth(99)):
        one.remove()
        with chaos.inject("valuation_exception", "clock", trigger=nth(99)):
            pass


def repeat(use: Callable[[Chaos], None], chaos: Chaos, delay: float) -> None:
    deadline = time.monotonic() + GIVE_UP
    signal.setitimer(signal.ITIMER_REAL, delay)
    while time.monotonic() < deadline:
        use(chaos)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # psutil's open files
@pytest.mark.timeout(method="thread")
def test_interrupts_leave_no_patch_after_a_sweep() -> None:
    """Real KeyboardInterrupts from a timer, at random instants, their tracebacks kept alive."""
    rng = random.Random(20)
    originals = (subjects.fetch.__code__, subjects.Client.fetch_async.__code__, time.sleep, time.sleep)
    kept, swept = [], 0
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()  # others' gc callbacks would swallow interrupts
    try:
        for round_number in range(INTERRUPTS):
            chaos = Chaos(SERVICES, seed=round_number)
            try:
                repeat(overlap, chaos, rng.uniform(0.000_001, LONGEST_DELAY))
            except KeyboardInterrupt as struck:
                kept.append(struck)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            swept += chaos.sweep()
            left = (
                subjects.fetch.__code__,
                subjects.Client.fetch_async.__code__,
                time.sleep,
                subjects.SLEEP_ALIAS,
            )
            assert all(now is before for now, before in zip(left, originals, strict=True))
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, previous)
    assert len(kept) > INTERRUPTS * 0.9
    assert swept > 0
