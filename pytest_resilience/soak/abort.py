"""When a run must end early: a criterion that is unmet for too long, or memory about to run out."""

from collections.abc import Callable, Collection, Mapping
from itertools import chain
from pathlib import Path

from pytest_resilience.descriptors import exhausted
from pytest_resilience.errors import StoreError
from pytest_resilience.soak.criteria import Subject, judge, lost_criteria
from pytest_resilience.soak.criteria_lines import Limit
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Verdict
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_duration

CHECK_SECONDS = 1.0
CHECK_SHARE = 0.02
"""Reading what a long run recorded takes time: never more than this share of it."""


class AbortWatch:
    """Says why the run must end now, or an empty string; looks at most once a second.

    Args:
        limits: of all criteria; those that may end the run are judged while it goes on.
        off: subjects that are switched off.
        load: reads what the run has recorded so far; None if that cannot be read now.
        system_percent: returns the use of the machine's memory, in percent.
        now: returns run seconds.
    """

    def __init__(
        self,
        limits: Mapping[str, Limit],
        off: Collection[Subject],
        load: Callable[[], RunData | None],
        system_percent: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._limits, self._off, self._load = limits, off, load
        self._system_percent, self._now = system_percent, now
        self._system_limit = limits["system_memory_percent"]
        self._unmet_since: dict[str, float] = {}
        self._next = self._next_judgement = 0.0

    def __call__(self) -> str:
        if self._now() < self._next:
            return ""
        self._next = self._now() + CHECK_SECONDS
        return self._memory() or self._criteria()

    def _memory(self) -> str:
        percent = self._system_percent()
        if not percent or self._system_limit.holds(percent):
            return ""
        return f"{percent:.1f} % of the machine's memory is in use (limit {self._system_limit.bound})"

    def _criteria(self) -> str:
        began = self._now()
        if began < self._next_judgement or not any(limit.abort for limit in self._limits.values()):
            return ""
        data = self._load()
        if data is None:
            return ""
        lost = map(self._lost, lost_criteria(data, self._limits, self._off))
        overdue = map(self._overdue, judge(data, self._limits, self._off) if self._any_grace() else ())
        reason = next(filter(None, chain(lost, overdue)), "")
        self._next_judgement = self._now() + (self._now() - began) / CHECK_SHARE
        return reason

    def _any_grace(self) -> bool:
        return any(limit.abort_after is not None for limit in self._limits.values())

    def _lost(self, verdict: Verdict) -> str:
        return f"{verdict.criterion} {verdict.limit} cannot be met any more: {verdict.detail}"

    def _overdue(self, verdict: Verdict) -> str:
        grace = self._limits[verdict.criterion].abort_after
        if grace is None or verdict.verdict != "unmet":
            self._unmet_since.pop(verdict.criterion, None)
            return ""
        since = self._unmet_since.setdefault(verdict.criterion, self._now())
        if self._now() - since < grace:
            return ""
        return f"{verdict.criterion} was unmet for {format_duration(grace)}: {verdict.detail}"


def loader(database: Path) -> Callable[[], RunData | None]:
    """Return a function that reads the run in `database`; None while a fault has taken all descriptors."""

    def load() -> RunData | None:
        try:
            return read(database)
        except StoreError:
            if exhausted():
                return None
            raise

    return load
