"""Which scenario can act where, and what the others lack."""

from pytest_resilience.chaos.scenarios import TEN, Catalogue
from pytest_resilience.services import Service
from pytest_resilience.soak.candidates import Candidate, candidates

CALLS = ["soak_stage:fetch"]
FULL = Service("odds", calls=CALLS, errors=[ConnectionError], timeout=1.0)
DATABASE = Service("db", endpoint="127.0.0.1:5432", process=1)
HOST_SCENARIOS = {"memory_pressure", "cpu_saturation", "resource_exhaustion"}


def found(*services: Service) -> list[Candidate]:
    return list(candidates(services, TEN))


def able(*services: Service) -> set[tuple[str, str, str]]:
    """Return scenario, target and seam of what can run."""
    return {(one.scenario, one.target, one.seam) for one in found(*services) if not one.reason}


def test_a_service_with_calls_can_have_every_scenario_that_acts_on_calls() -> None:
    """And the host has its own."""
    scenarios = {scenario for scenario, target, _ in able(FULL) if target == "odds"}
    assert scenarios == {scenario.name for scenario in TEN} - HOST_SCENARIOS - {"cascading_failure"}
    assert {seam for _, target, seam in able(FULL) if target == "odds"} == {"calls"}
    assert {scenario for scenario, target, _ in able(FULL) if target == "host"} == HOST_SCENARIOS


def test_each_seam_of_a_service_is_a_target_of_its_own() -> None:
    """An endpoint and a process."""
    seams = {(scenario, seam) for scenario, target, seam in able(DATABASE) if target == "db"}
    assert {seam for scenario, seam in seams if scenario == "provider_timeout"} == {"endpoint", "process"}
    assert ("resource_exhaustion", "endpoint") in seams
    assert ("latency_spike", "calls") not in seams


def test_what_is_missing_is_named_with_the_fix() -> None:
    """Where the seam is there and only a field is missing."""
    lacks = {one.scenario: one for one in found(Service("odds", calls=CALLS)) if one.reason}
    assert lacks["provider_timeout"].reason == "service 'odds' declares no timeout"
    assert lacks["provider_timeout"].fix == (
        "Add it in resilience_services: Service('odds', timeout=2.0, …)."
    )
    assert set(lacks) == {
        "provider_timeout",
        "valuation_exception",
        "intermittent_errors",
        "cascading_failure",
    }


def test_a_seam_that_nobody_declared_is_asked_for_only_if_nothing_else_can_be_hit() -> None:
    """Once for all services: valuation_exception needs calls; the others have the endpoint."""
    lacks = [one for one in found(DATABASE, Service("cache", endpoint="127.0.0.1:6379")) if one.reason]
    assert [(one.scenario, one.target) for one in lacks] == [
        ("valuation_exception", "db"),
        ("cascading_failure", "topology"),
    ]
    assert lacks[0].reason == "service 'db' declares no calls and no errors"


def test_a_cascade_can_start_at_each_service_that_another_needs() -> None:
    """If both have seams."""
    api = Service("api", calls=CALLS, needs=["db"])
    assert ("cascading_failure", "db", "topology") in able(api, DATABASE)
    assert ("cascading_failure", "api", "topology") not in able(api, DATABASE)
    (lack,) = [one for one in found(FULL) if one.scenario == "cascading_failure"]
    assert lack.reason == "no failure can spread, as no service with a seam needs another one with a seam"
    assert lack.fix.startswith("Declare it in resilience_services: Service('odds', ")


def test_a_service_without_seams_is_no_target() -> None:
    """It may be there for the topology alone, so nothing is missing."""
    assert not [one for one in found(FULL, Service("shop", needs=["odds"])) if one.target == "shop"]


def test_every_scenario_of_the_specification_is_accounted_for() -> None:
    """As possible, or as lacking something."""
    assert {one.scenario for one in found(FULL)} == {scenario.name for scenario in TEN}


def test_critical_ones_run_alone() -> None:
    """They take whole services away."""
    impacts = {one.scenario: one.alone for one in found(FULL, DATABASE)}
    assert impacts == {
        scenario.name: scenario.impact == "critical" for scenario in Catalogue() if scenario.soaked
    }
