"""The tester's own test: the reference passes every check, and each mutant is caught by the right one."""

import pytest
from breaker_mutants import (
    CLOCK_MUTANTS,
    HAZARD_MUTANTS,
    HERD,
    PLAIN,
    RATES,
    SCENARIO_MUTANTS,
    SEEN_BY_EXPLORING,
    TASTE,
    TWO_PROBES,
    TWO_TO_CLOSE,
    FalsyOpenTime,
    Kind,
)

from pytest_resilience.breakers.adapter import Traits
from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.explore import explore
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.breakers.reference import ReferenceBreaker, reference_adapter
from pytest_resilience.breakers.scenarios import SCENARIOS
from pytest_resilience.breakers.subject import subject_of

SETTINGS = {"plain": PLAIN, "two probes": TWO_PROBES, "two to close": TWO_TO_CLOSE, "rates": RATES}
NOT_THERE = {
    # BreakerAdapter cannot make a breaker with another open time; FalsyOpenTime is caught below.
    "falsy_open_time",
}


def checker(kind: Kind, traits: Traits = PLAIN) -> Checker:
    return Checker(subject_of("it", reference_adapter(traits, kind)))


def named(value: object) -> str | None:
    return getattr(value, "__name__", "" if isinstance(value, Traits) else None)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_reference_passes_every_check(settings: str) -> None:
    """It falls for no hazard at all, strict ones too, and passes all scenarios that its settings have."""
    checks = checker(ReferenceBreaker, SETTINGS[settings])
    scenarios = [checks.scenario(name) for name in SCENARIOS]
    hazards = [checks.hazard(hazard) for hazard in HAZARDS.values()]
    assert [one for one in scenarios if one.verdict == "failed"] == []
    assert [one for one in hazards if one.verdict == "failed"] == []
    assert sum(one.verdict == "passed" for one in hazards) >= 30


@pytest.mark.parametrize("settings", [PLAIN, TWO_PROBES, TWO_TO_CLOSE, HERD, RATES])
def test_exploring_finds_nothing_wrong_with_the_reference(settings: Traits) -> None:
    """Neither written nor random sequences accuse it."""
    report = explore("it", reference_adapter(settings), seed=3, examples=60)
    assert report.passed, str(report)


@pytest.mark.parametrize(("mutant", "traits", "hazard"), HAZARD_MUTANTS, ids=named)
def test_a_mutant_falls_for_its_hazard(mutant: Kind, traits: Traits, hazard: str) -> None:
    """Each hazard catches a breaker that is broken in just this way."""
    result = checker(mutant, traits).hazard(HAZARDS[hazard])
    assert result.verdict == "failed", result.detail


@pytest.mark.parametrize(("mutant", "hazard"), CLOCK_MUTANTS, ids=named)
def test_a_mutant_falls_for_its_clock(mutant: Kind, hazard: str) -> None:
    """A breaker that reads the wall clock of its module is caught when that clock is set."""
    adapter = BreakerAdapter(
        lambda: mutant(PLAIN, float), threshold=3, open_seconds=30, call=mutant.call, clock="breaker_mutants"
    )
    result = Checker(subject_of("it", adapter)).hazard(HAZARDS[hazard])
    assert result.verdict == "failed", result.detail


def test_every_hazard_has_a_mutant() -> None:
    """No hazard is there that nothing shows to work."""
    caught = {hazard for _, _, hazard in HAZARD_MUTANTS} | {hazard for _, hazard in CLOCK_MUTANTS}
    assert set(HAZARDS) - caught == NOT_THERE
    assert len({mutant for mutant, _, _ in HAZARD_MUTANTS}) >= 20


@pytest.mark.parametrize(("mutant", "traits", "scenario"), SCENARIO_MUTANTS, ids=named)
def test_a_mutant_fails_its_scenario(mutant: Kind, traits: Traits, scenario: str) -> None:
    """Each scenario catches a breaker that is broken in just this way."""
    result = checker(mutant, traits).scenario(scenario)
    assert result.verdict == "failed", result.detail


@pytest.mark.parametrize(("mutant", "traits"), SEEN_BY_EXPLORING, ids=named)
def test_exploring_finds_what_no_right_breaker_does(mutant: Kind, traits: Traits) -> None:
    """The written sequences alone find each of these mutants."""
    assert not explore("it", reference_adapter(traits, mutant), examples=0).passed


@pytest.mark.parametrize(("mutant", "traits"), TASTE, ids=named)
def test_exploring_accepts_what_is_a_matter_of_taste(mutant: Kind, traits: Traits) -> None:
    """Where right breakers differ, no reading is preferred."""
    report = explore("it", reference_adapter(traits, mutant), seed=5, examples=40)
    assert report.passed, str(report)


def test_an_open_time_of_0_that_is_not_heard_is_no_open_time_of_0() -> None:
    """The mutant without a hazard here: it takes 0 for its usual open time."""
    from dataclasses import replace

    assert FalsyOpenTime(replace(PLAIN, open_seconds=0), lambda: 0.0).open_seconds() == 30.0
    assert ReferenceBreaker(replace(PLAIN, open_seconds=0), lambda: 0.0).open_seconds() == 0.0
