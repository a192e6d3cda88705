"""The leading half of a distributed soak: the run is kept here, the tests are looped by a crew of workers."""

from collections.abc import Iterable

from pytest_resilience.soak.crew import Crew
from pytest_resilience.soak.led_run import LedRun
from pytest_resilience.soak.run_setup import RunSetup
from pytest_resilience.store.records import SoakTest

LAST_WORD_SECONDS = 15.0
"""How long an interrupted run waits for what its workers still have to tell."""

DESERTED = "no worker is left: all have crashed, and pytest-xdist starts no more (--max-worker-restart)"


class CrewRun(LedRun):
    """A soak that `crew` loops. Call `start`; when the workers have ended, `stop`, `analyse` and `close`."""

    def __init__(self, crew: Crew, tests: Iterable[SoakTest], setup: RunSetup) -> None:
        super().__init__(crew, tests, setup)
        self._crew = crew
        self._deserted = ""

    def start(self) -> None:
        """Let the workers begin to loop, and lead them on a thread."""
        self._crew.begin(self._origin, self._past)
        self._leader.start()

    @property
    def is_over(self) -> bool:
        """Tell whether the workers were told to end."""
        return self._leader.is_over

    def stop(self, *, interrupted: bool) -> None:
        """End what still goes on: faults are removed first, then the loops end.

        Raise what went wrong in the leading itself.
        """
        if not self._leader.is_over:
            self._deserted = DESERTED if self._crew.is_deserted else ""
            self._crew.hurry()
            self._leader.cancel()
        if interrupted:
            self._crew.halt()
            self._crew.wait_for_end(LAST_WORD_SECONDS)
        self._crew.look_after()
        self._news.tell_all()
        if self._leader.error:
            raise self._leader.error

    def analyse(self, interruption: str = "") -> None:
        """Judge the criteria; `interruption` says what ended the loops before their time."""
        self._leader.reason = self._leader.reason or self._deserted
        super().analyse(interruption)
