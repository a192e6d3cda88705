"""The processes of a run that was resumed, and the time between them, in which nothing ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from pytest_resilience.store.records import Attempt
from pytest_resilience.store.run_data import RunData


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One process: from `began` (run seconds) on for `seconds`, `gap_seconds` after the one before it."""

    number: int
    started_utc: str
    began: float
    seconds: float
    gap_seconds: float


def attempt_rows(data: RunData) -> tuple[AttemptRow, ...]:
    """Return the attempts in their order; the first has no gap."""
    attempts = sorted(data.attempts, key=lambda attempt: attempt.number)
    gaps = [0.0, *(_gap(before, after) for before, after in pairwise(attempts))]
    ends = [*(after.began for after in attempts[1:]), data.elapsed]
    return tuple(map(_row, attempts, ends, gaps))


def _row(attempt: Attempt, end: float, gap: float) -> AttemptRow:
    seconds = max(0.0, end - attempt.began)
    return AttemptRow(attempt.number, attempt.started_utc, attempt.began, seconds, gap)


def _gap(before: Attempt, after: Attempt) -> float:
    """Return the seconds from the last sign of life to the next start, by the machine's clock."""
    between = datetime.fromisoformat(after.started_utc) - datetime.fromisoformat(before.started_utc)
    return max(0.0, between.total_seconds() - (before.alive_at - before.began))


def total_gap(rows: Sequence[AttemptRow]) -> float:
    """Return the seconds in which nothing ran."""
    return sum(row.gap_seconds for row in rows)
