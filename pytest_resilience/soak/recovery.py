"""Recovery is the suite passing again: which round after a fault is the first good one."""

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median

from pytest_resilience.soak.histogram import Histogram
from pytest_resilience.soak.outcome import Outcome, Status

LIMIT_SECONDS = 30.0
LIMIT_ROUNDS = 5
PATIENCE = 4
RECENT = 5
SLACK_SECONDS = 0.010


def latency_limit(baseline: Histogram) -> float:
    """Return the median latency in seconds up to which a test counts as recovered."""
    return longest_median(baseline.quantile(0.5), baseline.quantile(0.95))


def longest_median(median: float, p95: float) -> float:
    """Return up to which median latency a test is as fast as in a baseline with this median and p95."""
    return max(2 * p95, median + SLACK_SECONDS)


class RecoveryWatch:
    """Follows the rounds since a removal; `limits` maps each test to its longest median latency (seconds)."""

    def __init__(self, removed_at: float, limits: Mapping[str, float]) -> None:
        self._removed_at = removed_at
        self._limits = limits
        self._recent: dict[str, deque[float]] = {}

    def round_recovers(self, started_at: float, outcomes: Sequence[tuple[str, Outcome]]) -> bool:
        """Tell whether this round, which began at `started_at`, shows the suite in its steady state."""
        if started_at < self._removed_at:
            return False
        verdicts = [self._good(test, outcome) for test, outcome in outcomes]
        return bool(verdicts) and all(verdicts)

    def _good(self, test: str, outcome: Outcome) -> bool:
        if outcome.status is not Status.PASSED:
            return outcome.status is Status.SKIPPED
        recent = self._recent.setdefault(test, deque(maxlen=RECENT))
        recent.append(outcome.seconds)
        return median(recent) <= self._limits.get(test, float("inf"))
