"""How long an iteration may take before it counts as one that hangs."""

from collections.abc import Callable
from dataclasses import dataclass

from pytest_resilience.units import format_duration

SHORTEST_LEARNED_SECONDS = 9.0
LONGEST_TIMES = 10


def _unknown(test: str) -> float | None:
    return None


@dataclass(frozen=True)
class Limit:
    """At most `timeout` seconds, whatever the test is.

    Where `longest` tells the seconds of the longest pass of a test so far (None: it has not passed yet), at
    most LONGEST_TIMES as much too, but never less than SHORTEST_LEARNED_SECONDS.
    """

    timeout: float
    longest: Callable[[str], float | None] = _unknown

    @property
    def shortest(self) -> float:
        """Return a limit that none is below."""
        return self.timeout if self.longest is _unknown else min(self.timeout, SHORTEST_LEARNED_SECONDS)

    def seconds(self, test: str) -> float:
        """Return the limit of a test."""
        longest = self.longest(test)
        if longest is None:
            return self.timeout
        return min(self.timeout, max(SHORTEST_LEARNED_SECONDS, LONGEST_TIMES * longest))

    def verdict(self, test: str) -> str:
        """Say what is wrong with an iteration that takes longer."""
        seconds = self.seconds(test)
        limit = format_duration(seconds)
        if seconds == self.timeout:
            return f"the iteration hung: it took longer than soak_iteration_timeout ({limit})"
        longest = format_duration(self.longest(test) or 0.0)
        return f"the iteration hung: it took longer than {limit}, and its longest pass before took {longest}"
