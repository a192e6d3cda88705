"""What the breaker of one edge lets through, and what it should not have."""

from typing import Literal, TypeAlias

from pytest_resilience.breakers.adapter import Traits
from pytest_resilience.breakers.limits import MARGIN

Outcome: TypeAlias = Literal["answered", "failed", "rejected"]
Stage: TypeAlias = Literal["closed", "open", "half_open"]


class EdgeWatch:
    """Follows one breaker by the calls that enter and those that are rejected, never by its own word.

    Where a breaker may behave either way (a window that holds successes, a half-open that decides by rate),
    it is taken to be right.
    """

    def __init__(self, traits: Traits) -> None:
        self.entries = 0
        self.rejections = 0
        self.flips = 0
        self.most_probes = 0
        self.entered_while_open = 0
        self.opened_without_failure = False
        self.answered_in_row = 0
        self.seconds_to_detect: float | None = None
        self.wasted = 0
        self._traits = traits
        self._stage: Stage = "closed"
        self._first_failure: float | None = None
        self._last_failure = 0.0
        self._failures: list[float] = []
        self._successes = 0
        self._opened_at = 0.0
        self._probes = self._failed_probes = 0

    @property
    def opened(self) -> bool:
        """Tell whether it has opened, as far as calls show."""
        return self.rejections > 0 or self.seconds_to_detect is not None

    def enter(self, now: float) -> None:
        """A call gets into the dependency."""
        self.entries += 1
        if self._stage == "open":
            if now < self._opened_at + (1 - MARGIN) * self._traits.open_seconds:
                self.entered_while_open += 1
                return
            self._stage = "half_open"
            self._probes = self._failed_probes = self.answered_in_row = 0
        if self._stage == "half_open":
            self._probes += 1
            self.most_probes = max(self.most_probes, self._probes)

    def end(self, outcome: Outcome, now: float) -> None:
        """A call is over."""
        {"answered": self._answered, "failed": self._failed, "rejected": self._rejected}[outcome](now)

    def _answered(self, now: float) -> None:
        self.answered_in_row += 1
        if self._stage == "closed":
            self._successes += 1
            if self._traits.consecutive:
                self._failures = []
        elif self._stage == "half_open" and self.answered_in_row >= self._traits.successes_to_close:
            self._stage = "closed"
            self.flips += 1
            self._failures, self._successes = [], 0

    def _failed(self, now: float) -> None:
        self._last_failure = now
        if self._first_failure is None:
            self._first_failure = now
        if self.seconds_to_detect is None:
            self.wasted += 1
        if self._stage == "closed":
            self._failures = [*self._recent(now), now]
            if len(self._failures) >= self._most_failures():
                self._open(now)
        elif self._stage == "half_open":
            self._failed_probes += 1
            undecided = self.answered_in_row > 0 and self._traits.failures_to_reopen > 1
            if self._failed_probes >= self._traits.failures_to_reopen and not undecided:
                self._open(now)
        self.answered_in_row = 0

    def _rejected(self, now: float) -> None:
        self.rejections += 1
        if self._stage == "closed":
            self.opened_without_failure |= not self._failures and self._traits.slow_seconds is None
            self._open(self._last_failure if self._failures else now)
        elif self._stage == "half_open" and self._failed_probes:
            self._open(self._last_failure)

    def _open(self, at: float) -> None:
        if self._stage == "closed":
            self.flips += 1
        if self.seconds_to_detect is None and self._first_failure is not None:
            self.seconds_to_detect = at - self._first_failure
        self._stage = "open"
        self._opened_at = at
        self.answered_in_row = 0

    def _recent(self, now: float) -> list[float]:
        window = self._traits.window_seconds
        if window is None:
            return self._failures
        return [at for at in self._failures if now - at < (1 - MARGIN) * window]

    def _most_failures(self) -> float:
        """Return after how many failures it must have opened, whatever succeeded before."""
        traits = self._traits
        if traits.consecutive or not self._successes:
            return traits.threshold
        rate = traits.error_rate or 1.0
        among = self._successes * rate / (1 - rate) if rate < 1 else float("inf")
        return traits.threshold + min(
            among, float("inf") if traits.window_calls is None else traits.window_calls
        )
