"""Whose signals a worker handles: those of its main thread, if it runs there."""

import signal
import threading

from pytest_resilience.plugin.signals import SIGNALS
from pytest_resilience.plugin.worker_signals import WorkerSignals


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def test_signals_are_handled_for_a_while() -> None:
    """And given back."""
    before = handlers()
    with WorkerSignals(lambda: False, lambda: True).handled():
        during = handlers()
    assert handlers() == before
    assert all(one != other for one, other in zip(before, during, strict=True))


def test_on_another_thread_they_are_left_alone() -> None:
    """Python refuses them there, and execnet may run a worker on any."""
    before, seen = handlers(), []

    def handle() -> None:
        with WorkerSignals(lambda: False, lambda: True).handled():
            seen.append(handlers())

    thread = threading.Thread(target=handle)
    thread.start()
    thread.join()
    assert seen == [before]
