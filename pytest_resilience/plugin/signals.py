"""SIGTERM ends a soak as Ctrl-C does, and neither keeps it from cleaning up and writing its report."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """A `with` block in which the first SIGINT or SIGTERM raises KeyboardInterrupt on the main thread.

    The next one, or the first after `hold()`, only waits (`held` names it); more than one is impatience and
    raises again. Off the main thread the block does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._holding = False
        self.held = ""

    def hold(self) -> None:
        """Let an interruption wait from now on."""
        self._holding = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._holding and not self.held:
            self.held = name
            return
        self._holding = True
        raise KeyboardInterrupt(name)

    def __enter__(self) -> "Interruptions":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.getsignal(number)
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
