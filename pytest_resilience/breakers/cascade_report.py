"""What the cascades over one topology found, as a test shows it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_resilience.breakers.records import Cascade
from pytest_resilience.units import format_duration


@dataclass(frozen=True, slots=True)
class CascadeReport:
    """What the cascades with one kind of breaker found; `str()` of it is what a failed test shows."""

    breaker: str
    cascades: tuple[Cascade, ...]

    @property
    def passed(self) -> bool:
        """Tell whether every cascade that the topology has a place for passed, and at least one did."""
        return bool(self.with_verdict("passed")) and not self.with_verdict("failed")

    def must_pass(self) -> None:
        """Raise AssertionError with the text of the report unless it passed."""
        __tracebackhide__ = True
        if not self.passed:
            raise AssertionError(str(self))

    @property
    def verdict(self) -> str:
        """Return the outcome in one line with its numbers."""
        passed, lacking = self.with_verdict("passed"), self.with_verdict("not_applicable")
        judged = len(self.cascades) - len(lacking)
        line = f"breaker {self.breaker!r}: {len(passed)} of {judged} cascades contained and healed"
        if not judged:
            return line
        ran = [one for one in self.cascades if one.verdict != "not_applicable"]
        closed = _slowest(one.seconds_to_closed for one in passed)
        down = max(one.services_down for one in ran)
        return f"{line}, at most {down} services down, all closed after at most {closed}"

    def with_verdict(self, verdict: str) -> list[Cascade]:
        """Return the cascades that passed, failed, or are not_applicable."""
        return [one for one in self.cascades if one.verdict == verdict]

    def __str__(self) -> str:
        failed = self.with_verdict("failed")
        return "\n".join((self.verdict, *map(_row, failed or self.cascades)))


def _row(one: Cascade) -> str:
    return f"  {one.kind}, {one.mode}: {one.verdict}: {one.detail}"


def _slowest(seconds: Iterable[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    return format_duration(max(known)) if known else "never"
