"""The table of scenarios, their intensities, what they need, and what is wrong with parameters."""

import math
from typing import Any

import pytest

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.scenarios import (
    INTENSITIES,
    SCENARIOS,
    Shares,
    available_scenarios,
    lacking,
    scenario_named,
    shares_at,
)
from pytest_resilience.chaos.triggers import nth
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

CALLS = ["chaos_subjects:fetch"]
ON_CALLS = ["provider_timeout", "valuation_exception", "latency_spike", "intermittent_errors"]
FULL = Service("odds_provider", calls=CALLS, errors=[ConnectionError], timeout=2.0)


def test_the_ten_scenarios_have_their_impacts() -> None:
    """Names and impacts are those of the plan."""
    assert {scenario.name: scenario.impact for scenario in SCENARIOS} == {
        "provider_timeout": "medium",
        "valuation_exception": "high",
        "latency_spike": "medium",
        "memory_pressure": "high",
        "cpu_saturation": "high",
        "network_partition": "critical",
        "database_slowdown": "high",
        "cascading_failure": "critical",
        "resource_exhaustion": "critical",
        "intermittent_errors": "medium",
    }


def test_intensities_are_those_of_the_plan() -> None:
    """Shares of calls for timeouts, exceptions, latency and intermittent errors."""
    plan = {
        "low": (0.05, 0.2, 0.02, 0.1),
        "medium": (0.1, 0.5, 0.05, 0.1),
        "high": (0.2, 0.7, 0.1, 0.1),
        "extreme": (0.3, 0.9, 0.15, 0.1),
    }
    assert list(INTENSITIES) == list(plan)
    for intensity, shares in plan.items():
        assert shares_at(intensity) == Shares(*shares)
        assert shares_at(intensity).of("valuation_exception") == shares[1]


def test_four_scenarios_act_on_calls() -> None:
    """What this version can inject."""
    assert [scenario.name for scenario in available_scenarios()] == ON_CALLS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("latency_spik", "There is no scenario 'latency_spik'. Did you mean 'latency_spike'?"),
        (
            "cpu_saturation",
            f"Scenario 'cpu_saturation' is not available in this version. Use one of: {', '.join(ON_CALLS)}.",
        ),
    ],
)
def test_other_scenarios_are_refused(name: str, message: str) -> None:
    """An unknown name gets a suggestion, a known one that is not built says so."""
    with pytest.raises(ScenarioError) as wrong:
        scenario_named(name)
    assert str(wrong.value) == message


def test_an_unknown_intensity_is_refused() -> None:
    """The error lists the intensities."""
    with pytest.raises(ScenarioError) as wrong:
        shares_at("hihg")
    assert str(wrong.value) == "intensity must be one of low, medium, high, extreme, not 'hihg'."


@pytest.mark.parametrize("scenario", [scenario.name for scenario in available_scenarios()])
def test_a_full_service_lacks_nothing(scenario: str) -> None:
    """A service that declares everything can take every scenario."""
    assert lacking(scenario, FULL) is None


@pytest.mark.parametrize(
    ("scenario", "service", "reason", "declaration"),
    [
        ("provider_timeout", Service("db", calls=CALLS), "no timeout", "timeout=2.0"),
        ("latency_spike", Service("db"), "no calls", 'calls=["your.module:Client.method"]'),
        ("valuation_exception", Service("db", calls=CALLS), "no errors", "errors=[ConnectionError]"),
        (
            "intermittent_errors",
            Service("db"),
            "no calls and no errors",
            'calls=["your.module:Client.method"], errors=[ConnectionError]',
        ),
    ],
)
def test_what_a_scenario_lacks_is_said_with_the_line_to_add(
    scenario: str, service: Service, reason: str, declaration: str
) -> None:
    """The record of a scenario that cannot run says why and what to write."""
    lack = lacking(scenario, service)
    assert lack is not None
    assert lack.reason == f"service 'db' declares {reason}"
    assert lack.fix == f"Add it in resilience_services: Service('db', {declaration}, …)."


def test_a_parameter_stands_in_for_a_declaration() -> None:
    """An injection that brings its own errors needs none declared."""
    assert lacking("valuation_exception", Service("db", calls=CALLS), given=["errors"]) is None


SHARE = "a share of the calls above 0 and up to 1"
TAKEN = "delay, factor, probability, trigger"
FACTOR = "a number above 1, or a range of two such as (2, 10)"


@pytest.mark.parametrize(
    ("scenario", "parameters", "message"),
    [
        (
            "latency_spike",
            {"delai": 1},
            "Scenario 'latency_spike' takes no parameter 'delai'. Did you mean 'delay'?",
        ),
        (
            "latency_spike",
            {"errors": [KeyError]},
            f"Scenario 'latency_spike' takes no parameter 'errors'. It takes: {TAKEN}.",
        ),
        ("latency_spike", {"delay": 0}, "delay must be a number of seconds above 0, not 0."),
        ("latency_spike", {"delay": math.nan}, "delay must be a number of seconds above 0, not nan."),
        ("latency_spike", {"delay": "1s"}, "delay must be a number of seconds above 0, not '1s'."),
        ("latency_spike", {"probability": 0}, f"probability must be {SHARE}, not 0."),
        ("latency_spike", {"probability": 1.1}, f"probability must be {SHARE}, not 1.1."),
        ("latency_spike", {"factor": 1}, f"factor must be {FACTOR}, not 1."),
        ("latency_spike", {"factor": (10, 2)}, f"factor must be {FACTOR}, not (10, 2). Write (2, 10)."),
        (
            "latency_spike",
            {"delay": 1, "factor": 2},
            "delay and factor exclude each other. Give one of them.",
        ),
        (
            "latency_spike",
            {"probability": 1, "trigger": nth(1)},
            "probability and trigger exclude each other. Give one of them.",
        ),
        (
            "latency_spike",
            {"trigger": 3},
            "trigger must be share(p), nth(n), every(n), first(n) or window(start, stop), not 3.",
        ),
        ("provider_timeout", {"timeout": -1}, "timeout must be a number of seconds above 0, not -1."),
        (
            "valuation_exception",
            {"errors": []},
            "errors must be a list of exceptions, not []. Write errors=[ConnectionError].",
        ),
        (
            "valuation_exception",
            {"errors": ["down"]},
            "errors must be an exception type, an instance or a factory, not 'down'.",
        ),
        ("latency_spike", {"duration": math.inf}, "duration must be a number of seconds above 0, not inf."),
    ],
)
def test_wrong_parameters_are_named(scenario: str, parameters: Any, message: str) -> None:
    """Each wrong name or value gives the value, the constraint and the fix, and nothing is patched."""
    chaos = Chaos([FULL], seed=1)
    with pytest.raises(ScenarioError) as wrong:
        chaos.inject(scenario, "odds_provider", **parameters)
    assert str(wrong.value) == message
    assert chaos.injections == ()
