"""Verify one breaker: the seven scenarios, and the cost of its state changes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from pytest_resilience.breakers.adapter import Adapter
from pytest_resilience.breakers.bench import Bench, ways_of
from pytest_resilience.breakers.drive import Drive
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.records import BreakerResult, Transition
from pytest_resilience.breakers.scenarios import SCENARIOS, run_scenario
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.breakers.transitions import measure_transitions
from pytest_resilience.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """What the checks of one breaker found; `str()` of it is what a failed test shows."""

    breaker: str
    results: tuple[BreakerResult, ...]
    transitions: tuple[Transition, ...]

    @property
    def passed(self) -> bool:
        """Tell whether every scenario that applies passed, and at least one did."""
        return bool(self._with("passed")) and not self._with("failed")

    @property
    def verdict(self) -> str:
        """Return the outcome in one line with its numbers."""
        passed, lacking = len(self._with("passed")), len(self._with("not_applicable"))
        applicable = len(self.results) - lacking
        slowest = max((change.seconds for change in self.transitions), default=None)
        cost = "" if slowest is None else f", slowest state change {slowest * 1000:.3f} ms"
        return (
            f"breaker {self.breaker!r}: {passed} of {applicable} applicable scenarios passed, "
            f"{lacking} not applicable{cost}"
        )

    def __str__(self) -> str:
        rows = (f"  {result.scenario}: {result.verdict}: {result.detail}" for result in self.results)
        return "\n".join((self.verdict, *rows))

    def _with(self, verdict: str) -> list[BreakerResult]:
        return [result for result in self.results if result.verdict == verdict]


def verify(name: str, source: object, *, clock: Clock) -> BreakerReport:
    """Check the breaker `source`, an instance or a factory, in virtual time.

    Args:
        name: how reports call it.
        source: a pybreaker.CircuitBreaker, given back as it was, or a function that returns one.
            An instance must not be called by anything else meanwhile.
        clock: measures what a state change costs, in seconds.

    Raises:
        ResilienceError: `source` is no breaker of a supported library.
    """
    subject = subject_of(name, source)

    def borrowed(check: Callable[[Adapter, Hands], T]) -> T:
        hands = Hands()
        with subject.borrowed(hands) as lend:
            return check(lend(), hands)

    def scenario(which: str) -> BreakerResult:
        def check(adapter: Adapter, hands: Hands) -> BreakerResult:
            with Bench(adapter, hands, ways_of(adapter)[0]) as bench:
                return run_scenario(name, which, Drive(bench))

        return borrowed(check)

    def transitions() -> tuple[Transition, ...]:
        return borrowed(lambda adapter, hands: measure_transitions(name, adapter, hands, clock))

    report = BreakerReport(name, tuple(scenario(which) for which in SCENARIOS), ())
    # What a broken breaker costs means nothing.
    return replace(report, transitions=transitions()) if report.passed else report
