"""When an iteration has hung for too long, and where: judged by what the test took before."""

from collections.abc import Sequence

from pytest_resilience.clock import Clock
from pytest_resilience.soak import messages
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.outcome import Outcome
from pytest_resilience.soak.runner import Suite

SHORTEST_LIMIT_SECONDS = 9.0
LONGEST_TIMES = 10
"""An iteration hangs that takes longer than this many times the longest one of its test, and than 9 s."""

PROMPT_SCENARIOS = ("valuation_exception", "intermittent_errors")
"""Faults on calls that never hold a call up: all others may, so that nothing hangs while they are active."""


class StuckWatch:
    """A suite that notes what runs since when; asked on any thread whether it hangs.

    What a test takes in its first iteration, and while a fault may hold it up, says nothing and is no hang.
    """

    def __init__(self, suite: Suite, clock: Clock) -> None:
        self._suite, self._clock = suite, clock
        self._longest: dict[str, float] = {}
        self._running: tuple[str, float] | None = None
        self._holding: set[str] = set()
        self._released = float("-inf")

    @property
    def tests(self) -> Sequence[str]:
        return self._suite.tests

    def run(self, test: str, following: str) -> Outcome:
        """Run a test once, as the suite does."""
        started = self._clock.now()
        self._running = test, started
        try:
            outcome = self._suite.run(test, following)
        finally:
            self._running = None
        if not self._holding and started >= self._released:
            self._longest[test] = max(self._longest.get(test, 0.0), self._clock.now() - started)
        return outcome

    def heed(self, command: Message) -> None:
        """Learn from a command to the runner which faults may hold calls up."""
        match command:
            case messages.Inject(event_id, scenario, _, seam):
                if seam != "calls" or scenario not in PROMPT_SCENARIOS:
                    self._holding.add(event_id)
            case messages.Overlap(event_id):
                self._holding.add(event_id)
            case messages.Remove(event_id) | messages.Settle(event_id):
                if event_id in self._holding:
                    self._holding.discard(event_id)
                    self._released = self._clock.now()

    def hang(self) -> tuple[str, float] | None:
        """Return the test that hangs and for how many seconds, or None."""
        running, now = self._running, self._clock.now()
        if running is None or self._holding or running[0] not in self._longest:
            return None
        test, started = running
        limit = max(SHORTEST_LIMIT_SECONDS, LONGEST_TIMES * self._longest[test])
        return (test, now - started) if now - max(started, self._released) > limit else None
