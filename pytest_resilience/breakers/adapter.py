"""What a breaker under test shows to the checks, whichever library made it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Traits:
    """How a breaker is set up, and what it cannot do.

    Args:
        threshold: consecutive failing calls that open it.
        open_seconds: how long it rejects before it lets a probe in.
        successes_to_close: successful probes that close it.
        failure: an error type that it counts as a failure.
        lacks: scenarios that do not apply to it, each with the reason.
        remark: what was checked differently from how it is used, or empty.
    """

    threshold: int
    open_seconds: float
    successes_to_close: int
    failure: type[Exception]
    lacks: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""


class Breaker(Protocol):
    """A breaker under test; the time it sees is the one its maker was given."""

    @property
    def traits(self) -> Traits:
        """Return how it is set up."""

    def call(self, dependency: Callable[[], object]) -> object:
        """Call `dependency` through the breaker; raise if it fails or is rejected."""

    def force_open(self) -> None:
        """Open it by hand."""

    def force_half_open(self) -> None:
        """Let the next call through as a probe."""

    def force_closed(self) -> None:
        """Close it by hand."""
