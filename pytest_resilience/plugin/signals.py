"""SIGTERM ends a soak as Ctrl-C does, and neither keeps it from cleaning up and writing its report."""

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """From `start` to `stop`, the first SIGINT or SIGTERM raises KeyboardInterrupt on the main thread.

    The next one, or the first after `hold()`, only waits (`held` names it); more than one is impatience and
    raises again. Off the main thread nothing changes.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._holding = False
        self._raised = ""
        self.held = ""

    def start(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.getsignal(number)
                signal.signal(number, self._handle)

    def stop(self) -> None:
        """Give the signals back; doing it again changes nothing."""
        while self._before:
            signal.signal(*self._before.popitem())

    def hold(self) -> None:
        """Let an interruption wait from now on."""
        self._holding = True

    def insist(self) -> None:
        """Raise again what the code under test has swallowed."""
        if self._raised:
            raise KeyboardInterrupt(self._raised)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._holding and not self.held:
            self.held = name
            return
        self._holding = True
        self._raised = name
        raise KeyboardInterrupt(name)
