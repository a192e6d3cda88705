"""Loop something and say what it leaves behind: a leak is what stays in every round, not what a cache takes.

The first two rounds are cheap, and the second comes only if the first leaves too much. The third is traced,
so that sizes are exact and lines known. One round within the limit acquits.
"""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pytest_resilience.memory.attribute import Attribution
from pytest_resilience.memory.leak_complaint import MEMORY, ROUNDS, Excess, LeakComplaint
from pytest_resilience.memory.leak_limit import COUNTS, LeakLimit
from pytest_resilience.memory.patterns import BLOCK_BYTES
from pytest_resilience.memory.signals import Signals
from pytest_resilience.memory.traced import Line, Tracing

WARM_UP_SHARE = 0.1
FEWEST_WARM_UPS = 5
NOISE_BYTES = 4096
"""What a round may always leave: caches of the interpreter, and of pytest."""

ESTIMATE = 8
"""A block of Python's may be so many times larger than it is on average."""


@dataclass(frozen=True, slots=True)
class LoopReading:
    """What there is between two rounds: Python blocks, bytes of malloc, and counts."""

    blocks: int
    malloc_used: int
    counts: Mapping[str, int] = field(default_factory=dict)


def read_loop(signals: Signals) -> LoopReading:
    """Read this process after a garbage collection."""
    gc.collect()
    counts = {"fds": signals.fds(), "threads": signals.threads(), "children": signals.children()}
    known = {name: count for name, count in counts.items() if count is not None}
    return LoopReading(signals.blocks(), signals.malloc_used() or 0, known)


class LeakCheck:
    """Runs the rounds.

    Args:
        limit: what a round may leave.
        read: reads the process between two rounds, after collecting garbage.
        attribution: looks who holds what stays, once a round left too much.
        tracing: measures sizes exactly in the last round.
    """

    def __init__(
        self,
        limit: LeakLimit,
        read: Callable[[], LoopReading],
        attribution: Attribution | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._limit, self._read = limit, read
        self._attribution, self._tracing = attribution or Attribution(), tracing or Tracing()

    def run(self, iterate: Callable[[], bool]) -> LeakComplaint | None:
        """Loop; return what stays in each round, None if it is within the limit or an iteration failed.

        `iterate` runs one iteration, and tells whether it went well.
        """
        if not _repeat(iterate, max(FEWEST_WARM_UPS, round(WARM_UP_SHARE * self._limit.iterations))):
            return None
        native: list[int] = []
        for _ in range(1, ROUNDS):
            before = self._read()
            if not _repeat(iterate, self._limit.iterations):
                return None
            after = self._read()
            native.append(after.malloc_used - before.malloc_used)
            if not self._may_leak(before, after):
                return None
            self._attribution.look()
        return self._last_round(iterate, min(native))

    def _may_leak(self, before: LoopReading, after: LoopReading) -> bool:
        """Tell whether a round may have left too much, and have it looked for."""
        found = [one.what for one in self._beyond(before, after)]
        blocks, native = after.blocks - before.blocks, after.malloc_used - before.malloc_used
        if ESTIMATE * BLOCK_BYTES * max(0, blocks) + max(0, native) > self._allowed:
            found.append("blocks")
        for signal in found:
            self._attribution.suspect(signal)
        return bool(found)

    @property
    def _allowed(self) -> float:
        """The bytes that a round may leave."""
        if self._limit.memory is None:
            return float("inf")
        return max(NOISE_BYTES, self._limit.memory * self._limit.iterations)

    def _beyond(self, before: LoopReading, after: LoopReading) -> list[Excess]:
        """Return the counts of which a round left too many."""
        limits = {name: limit for name in COUNTS if (limit := self._limit.count(name)) is not None}
        left = {name: after.counts.get(name, 0) - before.counts.get(name, 0) for name in limits}
        return [Excess(name, left[name]) for name, limit in limits.items() if left[name] > limit]

    def _last_round(self, iterate: Callable[[], bool], native: int) -> LeakComplaint | None:
        excesses: list[Excess] = []
        lines: tuple[Line, ...] = ()
        before = self._read()
        if self._limit.memory is None:
            if not _repeat(iterate, self._limit.iterations):
                return None
        else:
            traced = self._tracing.measure(lambda: self._stretch(iterate))
            if not traced.completed:
                return None
            if (size := max(traced.size, native)) > self._allowed:
                excesses, lines = [Excess(MEMORY, size / self._limit.iterations)], traced.lines
        excesses += self._beyond(before, self._read())
        culprits = self._attribution.look() if excesses else ()
        return LeakComplaint(self._limit, tuple(excesses), culprits, lines) if excesses else None

    def _stretch(self, iterate: Callable[[], bool]) -> bool:
        """Run a round, and drop what is dropped before each reading."""
        completed = _repeat(iterate, self._limit.iterations)
        self._read()
        return completed


def _repeat(iterate: Callable[[], bool], times: int) -> bool:
    """Run so many iterations; tell whether all went well."""
    return all(iterate() for _ in range(times))
