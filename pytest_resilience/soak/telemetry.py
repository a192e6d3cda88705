"""What the iterations did, in bounded memory: tallies by test and phase, failures by kind."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_resilience.soak.histogram import Histogram
from pytest_resilience.soak.legacy import Legacy
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.store.records import Failure, Tally
from pytest_resilience.workers import MAIN

MOST_KINDS_OF_FAILURE = 200
"""Of failures within faults, and as many again of those outside."""

WITHOUT_FAULTS = tuple(phase for phase in PhaseName if phase != PhaseName.CHAOS)

OTHER = "(other kinds of failures)"

LONGEST_TEXT = 32 * 1024
"""Of one kind of failure, in characters: with all kinds the record stays within some megabytes."""


class _Counts:
    def __init__(self) -> None:
        self.iterations = self.failures = self.in_faults = self.skipped = 0
        self.longest = self.longest_pass = 0.0
        self.latency = Histogram()

    def restore(self, tally: Tally) -> None:
        """Go on from what a process before has counted."""
        self.iterations, self.failures = tally.iterations, tally.failures
        self.in_faults, self.skipped = tally.failures_in_faults, tally.skipped
        self.longest = tally.longest
        self.latency = Histogram.from_text(tally.latencies, tally.seconds)

    def add(self, outcome: Outcome, event_id: str, took: float) -> None:
        self.iterations += 1
        self.longest = max(self.longest, took)
        self.skipped += outcome.status is Status.SKIPPED
        if outcome.status is Status.FAILED:
            self.failures += 1
            self.in_faults += bool(event_id)
        elif outcome.status is Status.PASSED:
            self.latency.add(outcome.seconds)
            self.longest_pass = max(self.longest_pass, took)


class Telemetry:
    """Collects outcomes; `drain` gives the records that changed since the last time.

    `owner` tells which event an iteration of a test from `started` to `ended` overlapped ("" for none).
    """

    def __init__(self, owner: Callable[[str, float, float], str]) -> None:
        self._owner = owner
        self._counts: dict[tuple[str, str], _Counts] = {}
        self._baseline: dict[str, Histogram] = {}
        self._failures: dict[tuple[str, str, str], Failure] = {}
        self._kinds: Counter[bool] = Counter()
        self._changed: set[tuple[str, str]] = set()
        self._changed_failures: set[tuple[str, str, str]] = set()
        self.iterations = 0
        self.failures = 0
        self.failures_outside = 0

    def restore(self, legacy: Legacy) -> None:
        """Go on from what was counted before; what others have counted stays theirs, and adds to the sums."""
        self._baseline = {test: Histogram.from_text(text) for test, text in legacy.baseline}
        for tally in legacy.tallies:
            self.iterations += tally.iterations
            self.failures += tally.failures
            self.failures_outside += tally.failures - tally.failures_in_faults
            if tally.worker == MAIN:
                counts = self._counts[tally.test, tally.phase] = _Counts()
                counts.restore(tally)
        for failure in legacy.failures:
            if failure.worker == MAIN:
                self._failures[failure.test, failure.crash, failure.event_id] = failure
                self._kinds[bool(failure.event_id)] += 1

    def add(self, test: str, phase: str, outcome: Outcome, started: float, ended: float) -> str:
        """Count one iteration that ran from `started` to `ended`; return the event that owns its failure."""
        failed = outcome.status is Status.FAILED
        event_id = self._owner(test, started, ended) if failed else ""
        key = (test, phase)
        if key not in self._counts:
            self._counts[key] = _Counts()
        self._counts[key].add(outcome, event_id, ended - started)
        self._changed.add(key)
        self.iterations += 1
        if failed:
            self.failures += 1
            self.failures_outside += not event_id
            self._keep(test, phase, outcome, event_id, started)
        return event_id

    def _keep(self, test: str, phase: str, outcome: Outcome, event_id: str, at: float) -> None:
        key = (test, outcome.crash, event_id)
        inside = bool(event_id)
        if key not in self._failures and self._kinds[inside] >= MOST_KINDS_OF_FAILURE:
            key = (test, OTHER, event_id)
        known = self._failures.get(key)
        if known is None:
            self._kinds[inside] += 1
            known = Failure(*key, phase, outcome.stage, 0, at, at, shortened(outcome.text()))
        self._failures[key] = replace(known, count=known.count + 1, last_at=at)
        self._changed_failures.add(key)

    def baseline(self, test: str) -> Histogram:
        """Return the latencies of the test's passes in the steady state, here and in processes before."""
        before, counts = self._baseline.get(test), self._counts.get((test, PhaseName.BASELINE))
        latencies = Histogram()
        for part in (before, counts.latency if counts else None):
            if part is not None:
                latencies.merge(part)
        return latencies

    def longest_pass(self, test: str) -> float | None:
        """Return the seconds of a test's longest pass where no fault could hold it up; on any thread.

        None if it has not passed in this process.
        """
        counts = (self._counts.get((test, phase)) for phase in WITHOUT_FAULTS)
        return max((one.longest_pass for one in counts if one), default=0.0) or None

    def drain(self) -> Iterator[Tally | Failure]:
        """Yield what changed since the last call."""
        changed, self._changed = self._changed, set()
        for test, phase in sorted(changed):
            yield self._tally(test, phase)
        failures, self._changed_failures = self._changed_failures, set()
        for key in sorted(failures):
            yield self._failures[key]

    def _tally(self, test: str, phase: str) -> Tally:
        counts = self._counts[test, phase]
        latency = counts.latency
        return Tally(
            test,
            phase,
            counts.iterations,
            counts.failures,
            counts.in_faults,
            counts.skipped,
            latency.total,
            latency.quantile(0.5),
            latency.quantile(0.95),
            counts.longest,
            latency.to_text(),
        )


def shortened(text: str) -> str:
    """Return the text of a failure without its middle, if it is too long to keep."""
    left_out = len(text) - LONGEST_TEXT
    if left_out <= 0:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n… {left_out:,} characters left out …\n{text[-half:]}"
