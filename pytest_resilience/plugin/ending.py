"""The end of a soak, whatever ended it: faults first, then the report, and no signal cuts that short."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from pytest_resilience.plugin.live import Console
from pytest_resilience.plugin.signals import Interruptions
from pytest_resilience.report import json_report, model
from pytest_resilience.soak.led_run import LedRun
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

Conclude = Callable[[RunData, Mapping[str, BaseException]], None]


class TeardownCutShort(Exception):  # noqa: N818
    """A signal came while a fixture was torn down, and another had come before. The other fixtures follow."""


class Ending:
    """Ends a run in steps that are each begun once: called again, `run` does what is left.

    `interruption` is what ended the run before its time, or the first wish to end the session that came
    meanwhile.

    Args:
        halt: the first steps: remove the faults, and end what loops the tests.
        tear_down: of the fixtures that are set up in this process.
        conclude: given the record and, by name, what the user's teardown raised.
    """

    def __init__(
        self,
        soak: LedRun,
        signals: Interruptions,
        console: Console,
        conclude: Conclude,
        *,
        halt: Sequence[Callable[[], object]],
        tear_down: Callable[[], None] = lambda: None,
        interruption: BaseException | None = None,
    ) -> None:
        self.interruption = interruption
        self._soak, self._tear_down_fixtures = soak, tear_down
        self._signals, self._conclude = signals, conclude
        self._data: RunData | None = None
        self._broken: dict[str, BaseException] = {}
        self._steps: list[Callable[[], object]] = [
            *halt,
            console.end,
            self._analyse,
            self._close,
            self._report,
        ]

    @property
    def done(self) -> bool:
        return not self._steps

    def run(self) -> None:
        """Do all that is not begun yet; signals wait, but for the teardown of the user's fixtures."""
        self._signals.hold()
        while self._steps:
            step = self._steps.pop(0)
            try:
                step()
            except (KeyboardInterrupt, pytest.exit.Exception) as wish:
                self.interruption = self.interruption or wish
        self._signals.free()

    def wish(self) -> BaseException | None:
        """Return what the session is to end with: the interruption, or a signal that waited."""
        held = self._signals.held
        return self.interruption or (KeyboardInterrupt(held) if held else None)

    def _analyse(self) -> None:
        reason = reason_of(self.interruption, self._signals.raised)
        self._soak.analyse(reason)
        if reason:  # who interrupts may soon kill: CI systems do
            json_report.write(model.build(self._soak.data()), self._soak.folder.report_json)

    def _close(self) -> None:
        self._data, failure = self._soak.close(self._tear_down)
        if isinstance(failure, pytest.exit.Exception):
            self.interruption = self.interruption or failure
        elif failure is not None:
            self._broken["teardown"] = failure

    def _tear_down(self) -> None:
        try:
            self._signals.free(TeardownCutShort)
            self._tear_down_fixtures()
        finally:
            self._signals.hold()

    def _report(self) -> None:
        data = read(self._soak.folder.database) if self._data is None else self._data
        self._conclude(data, self._broken)


def reason_of(interruption: BaseException | None, signal_name: str) -> str:
    """Say what became of the run: it was … . An empty string if it ended by itself."""
    if interruption is None and not signal_name:
        return ""
    if interruption is None or type(interruption) is KeyboardInterrupt:
        return f"interrupted by {signal_name or str(interruption) or 'a KeyboardInterrupt'}"
    return f"stopped: {interruption}"
