"""One test for each scenario and hazard of a circuit breaker, from one line of a test module."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.named import checked_breakers, named_breaker
from pytest_resilience.breakers.scenarios import SCENARIOS
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.errors import ResilienceError, did_you_mean, requirement
from pytest_resilience.option_values import read_strictness
from pytest_resilience.plugin.fixtures import without_our_frames


def breaker_suite(
    source: object,
    *,
    strictness: str = "wrong",
    xfail: Mapping[str, str] | Sequence[str] = (),
    real_time: bool = False,
) -> Callable[..., None]:
    """Return a test function with one test for each scenario and hazard of a circuit breaker.

    Write `test_my_breaker = breaker_suite("shop.breakers:make")` at module level; its tests are
    `test_my_breaker[failure_threshold]` and so on. What does not apply is skipped with the reason.

    Args:
        source: a name of the fixture `resilience_breakers`, "package.module:name", a breaker, a function
            that returns one, or a BreakerAdapter.
        strictness: which hazards fail a test: scenarios (none), wrong (where failing is wrong by any reading)
            or strict (all). Others that fail are skipped, with what was found.
        xfail: scenarios and hazards that are known to fail, or each with the reason.
        real_time: really wait instead of moving the clock that the breaker reads.

    Raises:
        ResilienceError: a name in `xfail`, or the strictness, is unknown.
    """
    level = read_strictness(strictness, "breaker_suite's strictness")
    known = dict(xfail) if isinstance(xfail, Mapping) else dict.fromkeys(xfail, "a known defect")
    checks = (*SCENARIOS, *HAZARDS)
    for name in known:
        if name not in checks:
            allowed = "the name of a scenario or hazard"
            raise ResilienceError(
                requirement("breaker_suite's xfail", allowed, name, did_you_mean(name, checks))
            )

    @pytest.mark.parametrize("check", [_case(name, known) for name in checks])
    def check_breaker(check: str, resilience_breakers: Mapping[str, object]) -> None:
        """Put a circuit breaker through one scenario or hazard."""
        verdict, text = without_our_frames(
            lambda: _check(check, source, resilience_breakers, level, real_time=real_time)
        )
        if verdict == "failed":
            pytest.fail(text, pytrace=False)
        if verdict != "passed":
            pytest.skip(text)

    return check_breaker


def _case(name: str, known: Mapping[str, str]) -> Any:
    marks = [pytest.mark.xfail(reason=known[name])] if name in known else []
    return pytest.param(name, id=name, marks=marks)


def _check(
    check: str, source: object, registered: Mapping[str, object], strictness: str, *, real_time: bool
) -> tuple[str, str]:
    """Return the verdict of one check, and its text."""
    name, breaker = named_breaker(source, checked_breakers(registered))
    checker = Checker(subject_of(name, breaker), real_time=real_time)
    if check in SCENARIOS:
        scenario = checker.scenario(check)
        return scenario.verdict, _text(scenario.verdict, f"breaker {name!r}: {check}", scenario.detail)
    hazard = checker.hazard(HAZARDS[check], strictness)
    if hazard.verdict == "failed" and not hazard.counts:
        return "not counted", f"failed, but strictness {strictness!r} leaves it out: {hazard.detail}"
    return hazard.verdict, _text(hazard.verdict, f"breaker {name!r}: {check} ({hazard.level})", hazard.detail)


def _text(verdict: str, what: str, detail: str) -> str:
    """Write the verdict as the first line, and the calls that show it below."""
    if verdict != "failed":
        return detail
    finding, found, calls = detail.partition("; calls: ")
    return f"{what} failed: {finding}" + (f"\ncalls: {calls}" if found else "")
