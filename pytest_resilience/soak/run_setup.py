"""What every run is begun or resumed with, whoever loops its tests."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pytest_resilience.clock import Clock
from pytest_resilience.settings import Settings
from pytest_resilience.soak.news import Tell
from pytest_resilience.store.layout import RunFolder


@dataclass(frozen=True)
class RunSetup:
    """The frame of a run.

    Args:
        settings: with a duration and a seed.
        folder: keeps the run.
        began: the date and time, with its zone.
        command: repeats the run.
        say: shows the user a line; may be called on any thread.
        tell: told of each change of an event, on a thread of the run's choice.
        attempt: from 2 on, go on with the run in `folder`; the settings are those that it was begun with.
    """

    settings: Settings
    folder: RunFolder
    clock: Clock
    began: datetime
    command: str
    say: Callable[[str], None]
    tell: Tell = lambda event, change: None
    attempt: int = 1
