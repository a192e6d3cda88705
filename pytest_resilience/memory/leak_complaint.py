"""What a looped test is blamed for: the verdict with its numbers first, then the evidence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_resilience.memory.leak_limit import COUNTS, LeakLimit
from pytest_resilience.memory.patterns import format_small, trait_of
from pytest_resilience.memory.records import Culprit
from pytest_resilience.memory.traced import Line
from pytest_resilience.units import counted

ROUNDS = 3
MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Excess:
    """What a round left beyond its limit: bytes per iteration of memory, or so many of a count."""

    what: str
    left: float


@dataclass(frozen=True, slots=True)
class LeakComplaint:
    """Why a test fails: what stayed, in the last round, who holds it, and where it was allocated."""

    limit: LeakLimit
    excesses: tuple[Excess, ...]
    culprits: tuple[Culprit, ...] = ()
    lines: tuple[Line, ...] = ()

    @property
    def text(self) -> str:
        """The verdict in the first line, then the evidence."""
        return "\n".join(["\n".join(map(self._verdict, self.excesses)), *self._evidence()])

    def _verdict(self, excess: Excess) -> str:
        culprits = self._of(excess.what)
        again = f"in each of {ROUNDS} rounds of {counted(self.limit.iterations, 'iteration')}"
        if excess.what == MEMORY:
            noun = f" of {culprits[0].noun}" if culprits else ""
            left, limit = format_small(excess.left), format_small(self.limit.memory or 0)
            if left == limit:
                left, limit = f"{excess.left:,.1f} B", f"{self.limit.memory or 0:,.1f} B"
            return f"leak: {left}/iteration{noun} (limit {limit}/iteration), {again}"
        left = trait_of(excess.what).counted(f"{excess.left:,.0f}")
        noun = f": {culprits[0].noun}" if culprits else ""
        return f"leak: {left} more (limit {self.limit.count(excess.what)}), {again}{noun}"

    def _of(self, what: str) -> Sequence[Culprit]:
        """Return the culprits of memory, or of a count."""
        return [one for one in self.culprits if (MEMORY if one.signal not in COUNTS else one.signal) == what]

    def _evidence(self) -> Iterator[str]:
        for one in self.culprits:
            where = f": {one.path}" if one.path else ""
            yield f"  {one.grew:+,.0f} {one.unit} in the last {ROUNDS - 1} rounds: {one.noun}{where}"
        for line in self.lines:
            each = format_small(line.size / self.limit.iterations)
            yield f"  {each}/iteration allocated at {line.place}"
