"""What one iteration gave."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


def _no_text() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One iteration of one soak test.

    `seconds` is the duration of the test's own body, `stage` where it failed (setup, call, teardown), `crash`
    the place and type of the failure, `text` builds the full traceback when it is wanted.
    """

    status: Status
    seconds: float
    stage: str = ""
    crash: str = ""
    text: Callable[[], str] = _no_text
