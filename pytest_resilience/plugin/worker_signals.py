"""Signals that reach all processes of a terminal, a job or a service: in a worker, its leader decides."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pytest_resilience.plugin.signals import SIGNALS, on_main_thread

LEADER_SECONDS = 5.0
"""How long a worker that is to end by itself waits for its leader to say so, too."""


class WorkerSignals:
    """Leaves SIGINT, SIGTERM and SIGHUP to the leader, which ends all workers with their faults removed.

    A SIGTERM or SIGHUP that it has not heard of ends this process after LEADER_SECONDS. One that was ignored
    before stays ignored.

    Args:
        interrupting: tells whether a SIGINT is our own, which ends an iteration that hangs.
        told_to_end: tells whether the leader has ended this worker.
    """

    def __init__(self, interrupting: Callable[[], bool], told_to_end: Callable[[], bool]) -> None:
        self._interrupting, self._told_to_end = interrupting, told_to_end
        self._alone = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle them while the block lasts; nowhere but on the main thread can Python do that.

        A worker behind a socket may be run by another one: execnet starts it where it has a thread.
        """
        known = {number: signal.getsignal(number) for number in SIGNALS if on_main_thread()}
        before = {number: handler for number, handler in known.items() if handler is not signal.SIG_IGN}
        for number in before:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                with suppress(KeyboardInterrupt):
                    signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._interrupting():
                raise KeyboardInterrupt
        elif self._alone:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            timer = threading.Timer(LEADER_SECONDS, self._insist, [number])
            timer.daemon = True
            timer.start()

    def _insist(self, number: int) -> None:
        """On the timer's thread: nobody but this process was meant."""
        if not self._told_to_end():
            self._alone = True
            main = threading.main_thread().ident
            if main is not None:
                signal.pthread_kill(main, number)
