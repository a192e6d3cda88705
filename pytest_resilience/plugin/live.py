"""What a soak shows while it runs: a live line on a terminal, a line now and then in a log."""

from collections import deque
from collections.abc import Callable
from shutil import get_terminal_size

import pytest

from pytest_resilience.clock import Clock
from pytest_resilience.plugin.outputs import Outputs
from pytest_resilience.soak.live import Now, live_line

TERMINAL_SECONDS = 0.5
LOG_SECONDS = 30.0


class Console:
    """Writes between iterations, on the tests' thread; `say` may be called on any thread.

    `look` returns where the soak is.
    """

    def __init__(self, config: pytest.Config, clock: Clock) -> None:
        self._reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
        self._on_terminal = self._reporter is not None and self._reporter.isatty
        self._period = TERMINAL_SECONDS if self._on_terminal else LOG_SECONDS
        self._clock, self._outputs = clock, Outputs()
        self._lines: deque[str] = deque()
        self._due = clock.now() + self._period
        self._before: Now | None = None
        self._live = False
        self.look: Callable[[], Now] | None = None

    def say(self, text: str) -> None:
        """Show a line as soon as the tests leave room for it."""
        self._lines.append(text)

    def tick(self) -> None:
        """Show what is due, while there is somebody to see it; called between iterations."""
        try:
            self._tick()
        except OSError:
            if not self._outputs.let_go_if_lost():
                raise

    def _tick(self) -> None:
        if self._lines:
            self._flush()
        if self._clock.now() >= self._due:
            self._due = self._clock.now() + self._period
            self._show()

    def end(self) -> None:
        """Show what is left, if there is somebody to see it, and leave the live line behind."""
        self._outputs.let_go_if_lost()
        self._flush()
        self._leave_live_line()

    def _flush(self) -> None:
        while self._lines:
            self._write(self._lines.popleft())

    def _write(self, text: str) -> None:
        self._leave_live_line()
        if self._reporter:
            self._reporter.ensure_newline()
            self._reporter.write_line(f"resilience: {text}")

    def _leave_live_line(self) -> None:
        if self._live and self._reporter:
            self._reporter.line("")
        self._live = False

    def _show(self) -> None:
        if self.look is None or self._reporter is None:
            return
        now = self.look()
        line = live_line(now, self._before or Now("", 0.0, 0.0, 0, 0, 0, "", 0))
        self._before = now
        if self._on_terminal:
            self._live = True
            self._reporter.rewrite(line[: get_terminal_size().columns - 1], erase=True)
        else:
            self._write(line)
