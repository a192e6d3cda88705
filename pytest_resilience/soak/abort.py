"""When a run must end early: a criterion that is unmet for too long, or memory about to run out."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from pytest_resilience.descriptors import exhausted
from pytest_resilience.errors import StoreError
from pytest_resilience.soak.criteria import Subject, judge
from pytest_resilience.soak.criteria_lines import Limit
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Verdict
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_duration

CHECK_SECONDS = 1.0


class AbortWatch:
    """Says why the run must end now, or an empty string; looks at most once a second.

    Args:
        limits: of all criteria; those with `abort_after` are judged while the run goes on.
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
        self._next = 0.0

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
        if all(limit.abort_after is None for limit in self._limits.values()):
            return ""
        data = self._load()
        if data is None:
            return ""
        reasons = map(self._overdue, judge(data, self._limits, self._off))
        return next(filter(None, reasons), "")

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
