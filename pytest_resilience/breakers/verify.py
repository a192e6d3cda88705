"""Verify one breaker: the seven scenarios, the hazards, and the cost of its state changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.records import BreakerResult, HazardResult, Transition, hazard_summary
from pytest_resilience.breakers.scenarios import SCENARIOS
from pytest_resilience.breakers.subject import Subject, subject_of
from pytest_resilience.breakers.transitions import measure_transitions
from pytest_resilience.clock import Clock


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """What the checks of one breaker found; `str()` of it is what a failed test shows.

    Results and hazards have a `verdict` (passed, failed, not_applicable) and a `detail`: what was expected,
    what was observed and the calls that show it, or why it cannot be tried. Hazards that `counts` decide.
    """

    breaker: str
    results: tuple[BreakerResult, ...]
    hazards: tuple[HazardResult, ...]
    transitions: tuple[Transition, ...]

    @property
    def passed(self) -> bool:
        """Tell whether all that applies and that counts passed, and at least one scenario did."""
        return self.scenarios_passed and not self.counted_failures

    @property
    def scenarios_passed(self) -> bool:
        """Tell whether every scenario that applies passed, and at least one did."""
        return bool(_with("passed", self.results)) and not _with("failed", self.results)

    @property
    def counted_failures(self) -> tuple[HazardResult, ...]:
        """Return the hazards that the breaker fell for and that count."""
        return tuple(one for one in self.hazards if one.verdict == "failed" and one.counts)

    def must_pass(self) -> None:
        """Raise AssertionError with the text of the report unless it passed."""
        __tracebackhide__ = True
        if not self.passed:
            raise AssertionError(str(self))

    @property
    def verdict(self) -> str:
        """Return the outcome in one line with its numbers."""
        passed, lacking = len(_with("passed", self.results)), len(_with("not_applicable", self.results))
        applicable = len(self.results) - lacking
        slowest = max((change.seconds for change in self.transitions), default=None)
        cost = "" if slowest is None else f", slowest state change {slowest * 1000:.3f} ms"
        return (
            f"breaker {self.breaker!r}: {passed} of {applicable} applicable scenarios passed, "
            f"{lacking} not applicable{hazard_summary(self.hazards)}{cost}"
        )

    def __str__(self) -> str:
        rows = [f"  {one.scenario}: {one.verdict}: {one.detail}" for one in self.results]
        failed = [one for one in self.hazards if one.verdict == "failed"]
        rows += [f"  {one.hazard} ({one.level}): failed: {one.detail}" for one in failed]
        return "\n".join((self.verdict, *rows))


def _with(verdict: str, results: Sequence[BreakerResult]) -> list[BreakerResult]:
    return [result for result in results if result.verdict == verdict]


def verify(
    name: str,
    source: object,
    *,
    clock: Clock,
    real_time: bool = False,
    strictness: str = "scenarios",
) -> BreakerReport:
    """Check the breaker `source`, an instance or a factory, in virtual time.

    Args:
        name: how reports call it.
        source: a breaker of a supported library, given back as it was, a function that returns one, or a
            BreakerAdapter. An instance must not be called by anything else meanwhile.
        clock: measures what a state change costs, in seconds.
        real_time: really wait for open times, which are made short where the adapter can do that.
        strictness: what `passed` of the report asks for: scenarios (the seven), wrong (and the hazards where
            failing is wrong by any reading), strict (all hazards).

    Raises:
        ResilienceError: `source` is no breaker that can be checked.
    """
    subject = subject_of(name, source)
    checker = Checker(subject, real_time=real_time)
    results = tuple(checker.scenario(which) for which in SCENARIOS)
    hazards = (checker.hazard(hazard, strictness) for hazard in HAZARDS.values())
    report = BreakerReport(name, results, tuple(hazards), ())
    # What a broken breaker costs means nothing, and time that really passes hides what a change costs.
    if not report.scenarios_passed or real_time:
        return report
    return replace(report, transitions=_transitions(subject, clock))


def _transitions(subject: Subject, clock: Clock) -> tuple[Transition, ...]:
    hands = Hands()
    with subject.borrowed(hands) as lend:
        return measure_transitions(subject.name, lend(), hands, clock)
