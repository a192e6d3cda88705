"""The sampler while a fault has taken the process's descriptors."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.chaos.host.descriptors import Descriptors
from pytest_resilience.clock import ManualClock, SystemClock
from pytest_resilience.memory.procfs import Sizes
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.sampler import Sampler
from pytest_resilience.memory.signals import Signals, open_signals


class Opening(Signals):
    """Signals that open a file for each reading, and count how often they tried."""

    def __init__(self, path: str = os.devnull) -> None:
        super().__init__()
        self.tries = 0
        self._path = path

    def sizes(self) -> Sizes:
        self.tries += 1
        os.close(os.open(self._path, os.O_RDONLY))
        return Sizes(50_000_000, 90_000_000, 7_000_000)


def sampler(received: list[Sample], signals: Signals) -> Sampler:
    """Return a sampler that runs at 200 samples per second."""
    clock = SystemClock()
    return Sampler(
        0.005, clock, clock.now(), lambda: 7, lambda: "CHAOS_INJECTION", received.extend, signals=signals
    )


def comes_true(condition: Callable[[], bool]) -> bool:
    """Wait until something is true, at most ten seconds."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_samples_are_left_out_while_nothing_can_be_opened_and_come_again() -> None:
    """The thread tries, has nothing, and goes on; stop() has no failure to raise."""
    received: list[Sample] = []
    signals = Opening()
    watch = sampler(received, signals)
    watch.start()
    assert comes_true(lambda: signals.tries > 5)
    with Descriptors():
        began = signals.tries
        tried = comes_true(lambda: signals.tries > began + 20)
        missed = signals.tries - began
    ended = signals.tries
    again = comes_true(lambda: signals.tries > ended + 5)
    watch.stop()
    assert tried
    assert again
    assert len(received) == pytest.approx(signals.tries - missed, abs=2), "one may be under way at each end"


def test_the_signals_of_this_process_survive_it() -> None:
    """Some of them open files under /proc; those that need not are read all the time."""
    received: list[Sample] = []
    watch = sampler(received, open_signals())
    watch.start()
    assert comes_true(lambda: watch.cpu_seconds > 0)
    with Descriptors():
        threading.Event().wait(0.3)
        during = watch.cpu_seconds
    assert comes_true(lambda: watch.cpu_seconds > during)
    watch.stop()
    assert received
    assert all(sample.rss > 0 for sample in received)


def test_a_checkpoint_is_left_out_too() -> None:
    """It costs nothing and records nothing; the next one is taken."""
    received: list[Sample] = []
    watch = Sampler(1.0, ManualClock(), 0.0, lambda: 7, lambda: "CHAOS_INJECTION", received.extend)
    with Descriptors():
        cost = watch.checkpoint()
    watch.checkpoint()
    watch.stop()
    assert cost == 0.0
    assert [sample.checkpoint for sample in received] == [True]


def test_a_file_that_cannot_be_opened_for_another_reason_is_a_failure(tmp_path: Path) -> None:
    """Only the lack of descriptors is expected."""
    signals = Opening(str(tmp_path / "missing"))
    watch = sampler([], signals)
    watch.start()
    assert comes_true(lambda: signals.tries > 0)
    with pytest.raises(FileNotFoundError, match="missing"):
        watch.stop()
