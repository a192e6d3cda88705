"""SIGTERM and SIGHUP end a soak as Ctrl-C does, and none keeps it from cleaning up and writing its report."""

import signal
import threading
from types import FrameType
from typing import Any

from pytest_resilience.clock import Clock, SystemClock

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PATIENCE_SECONDS = 1.0


def on_main_thread() -> bool:
    """Tell whether signals can be handled here: Python lets nobody else."""
    return threading.current_thread() is threading.main_thread()


class Interruptions:
    """From `start` to `stop`, the first signal raises KeyboardInterrupt on the main thread.

    After it, or after `hold()`, signals only wait (`held` names the first of them): what removes faults and
    writes the report is never cut short. After `free()`, one that comes a second after the first that waits
    is impatience and raises again: so user code that hangs can be ended, and several at once are one wish.
    A signal that was ignored before, as under nohup, stays ignored. Off the main thread nothing changes.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._held_at = 0.0
        self._impatience: type[BaseException] = KeyboardInterrupt
        self._before: dict[signal.Signals, Any] = {}
        self._holding = self._free = False
        self.raised = self.held = ""

    def start(self) -> None:
        if on_main_thread():
            for number in SIGNALS:
                if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._handle)

    def stop(self) -> None:
        """Give the signals back; doing it again changes nothing."""
        while self._before:
            signal.signal(*self._before.popitem())

    def hold(self) -> None:
        """Let every interruption wait from now on."""
        self._holding, self._free = True, False

    def listen(self) -> None:
        """Let the next one raise again; raise now for one that waits."""
        self._holding = self._free = False
        if self.held:
            name, self.held = self.held, ""
            self._raise(name)

    def free(self, impatience: type[BaseException] = KeyboardInterrupt) -> None:
        """Let those raise that are impatience, and say what."""
        self._free, self._impatience = True, impatience

    def insist(self) -> None:
        """Raise again what the code under test has swallowed."""
        if self.raised:
            raise KeyboardInterrupt(self.raised)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._holding and not self.held:
            self.held, self._held_at = name, self._clock.now()
        if not self._holding:
            self._raise(name)
        if self._is_impatience():
            raise self._impatience(name)

    def _raise(self, name: str) -> None:
        self._holding, self.raised = True, name
        raise KeyboardInterrupt(name)

    def _is_impatience(self) -> bool:
        return self._free and self._clock.now() - self._held_at >= PATIENCE_SECONDS
