"""What the runner asks of whoever reads memory, and how it lets the loop's own growth be measured."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from pytest_resilience.memory.records import OwnSlope


class Memory(Protocol):
    """Reads memory between iterations."""

    def calibrate(self, run_empty: Callable[[], None]) -> Sequence[OwnSlope]:
        """Measure what empty iterations leave behind; nothing if there is no time for it."""

    def checkpoint(self) -> float:
        """Collect garbage, read every signal, return the cost in seconds."""


@runtime_checkable
class CanIdle(Protocol):
    """A suite that can run an iteration without a test."""

    def run_empty(self, following: str) -> None:
        """Run the empty iteration once; `following` is run next."""


def calibrate(memory: Memory | None, suite: object, following: str) -> Sequence[OwnSlope]:
    """See what the loop leaves behind without a test; nothing if nobody reads memory or the suite cannot."""
    if memory is None or not isinstance(suite, CanIdle):
        return ()
    return memory.calibrate(lambda: suite.run_empty(following))
