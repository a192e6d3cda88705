"""What can be done in a pytest process about an iteration that hangs."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.signals import on_main_thread
from pytest_resilience.soak.stacks import HIDDEN, all_stacks
from pytest_resilience.soak.watchdog import HungIteration, Watchdog, leave_process
from pytest_resilience.store.records import Hang

SIGNAL = signal.SIGURG
"""Wakes the main thread out of whatever it waits for. Without a handler it does nothing, and hardly anything
uses it; SIGALRM is pytest-timeout's, SIGUSR1 and SIGUSR2 are the users'."""

LAST_RESORT_SECONDS = 30.0
DEBUGGERS = ("pydevd", "debugpy")


if TYPE_CHECKING:
    _Failed = BaseException
else:
    _Failed = pytest.fail.Exception


class IterationTimedOut(HungIteration, _Failed):
    """An iteration took too long; pytest tells it as the failure of a test."""

    __module__ = "builtins"  # as pytest's own: shown without the module


class HangRescue:
    """Interrupts the main thread with a signal, from `start` to `stop`.

    Args:
        last_resort: what `give_up` does, in words.
        give_up: does it, on the watchdog's thread.
    """

    def __init__(self, last_resort: str, give_up: Callable[[Hang], None]) -> None:
        self.watchdog: Watchdog | None = None
        self.last_resort, self.give_up = last_resort, give_up
        self._before: Any = None
        self._on_main_thread = False
        self._debugging = False

    def start(self) -> None:
        """Take the signal, if this is the main thread."""
        if on_main_thread():
            self._on_main_thread = True
            self._before = signal.signal(SIGNAL, self._handle)

    def stop(self) -> None:
        """Give the signal back."""
        if self._on_main_thread:
            self._on_main_thread = False
            signal.signal(SIGNAL, signal.SIG_DFL if self._before is None else self._before)

    def pytest_enter_pdb(self) -> None:
        """Leave whoever looks at a test alone from now on."""
        self._debugging = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_set_timer(self, settings: Any) -> bool | None:
        """Take over from pytest-timeout's thread, which would end this process without any report."""
        if self.watchdog is None or settings.method != "thread":
            return None
        self.watchdog.set_timer(settings.timeout)
        return True

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_cancel_timer(self) -> bool | None:
        return (self.watchdog is not None and self.watchdog.cancel_timer()) or None

    def is_debugged(self) -> bool:
        return self._debugging or any(name in sys.modules for name in DEBUGGERS)

    def stacks(self) -> str:
        return all_stacks(HIDDEN)

    def interrupt(self) -> None:
        main = threading.main_thread().ident
        if self._on_main_thread and main is not None:
            signal.pthread_kill(main, SIGNAL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        watchdog = self.watchdog
        if watchdog is not None and private.is_inside_stage(frame) and watchdog.wants_interrupt():
            raise IterationTimedOut(watchdog.verdict)
        if callable(self._before):
            self._before(number, frame)


def leave_after(finish: Callable[[], None]) -> NoReturn:
    """End this process after `finish`: a thread that hangs can be left behind in no other way."""
    guard = threading.Timer(LAST_RESORT_SECONDS, _leave)
    guard.daemon = True
    guard.start()
    try:
        finish()
    finally:
        _leave()


def finish_session(session: pytest.Session) -> None:
    """Write what pytest writes at the end of a session, without tearing anything down."""
    config = session.config
    session.exitstatus = pytest.ExitCode.TESTS_FAILED
    runner = config.pluginmanager.get_plugin("runner")
    finish = config.pluginmanager.subset_hook_caller("pytest_sessionfinish", [runner])
    finish(session=session, exitstatus=session.exitstatus)


def show_output(config: pytest.Config) -> None:
    """Let what is written from now on be seen: the test that hangs has its output captured."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)


def _leave() -> NoReturn:
    leave_process(pytest.ExitCode.TESTS_FAILED)
