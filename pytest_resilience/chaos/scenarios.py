"""The ten scenarios as one table, what each needs, and how many calls each intensity hits."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pytest_resilience.chaos.records import NotRun
from pytest_resilience.errors import ScenarioError, did_you_mean, requirement
from pytest_resilience.services import Service

TRIGGER_PARAMETERS = ("probability", "trigger")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named fault plan.

    `needs` are the fields of a service without which it cannot act, `parameters` those of its fault.
    `available` is false for scenarios that act on more than calls.
    """

    name: str
    impact: str
    available: bool = False
    needs: tuple[str, ...] = ("calls",)
    parameters: tuple[str, ...] = ()


SCENARIOS = (
    Scenario("provider_timeout", "medium", True, ("calls", "timeout"), ("timeout", "error")),
    Scenario("valuation_exception", "high", True, ("calls", "errors"), ("errors",)),
    Scenario("latency_spike", "medium", True, ("calls",), ("delay", "factor")),
    Scenario("intermittent_errors", "medium", True, ("calls", "errors"), ("errors",)),
    Scenario("memory_pressure", "high"),
    Scenario("cpu_saturation", "high"),
    Scenario("network_partition", "critical"),
    Scenario("database_slowdown", "high"),
    Scenario("cascading_failure", "critical"),
    Scenario("resource_exhaustion", "critical"),
)

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

_DECLARATIONS = {
    "calls": 'calls=["your.module:Client.method"]',
    "timeout": "timeout=2.0",
    "errors": "errors=[ConnectionError]",
}


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of calls, above 0 and up to 1, that the scenarios on calls hit unless told otherwise."""

    provider_timeout: float
    valuation_exception: float
    latency_spike: float
    intermittent_errors: float = 0.1

    def of(self, scenario: str) -> float:
        """Return the share of calls that `scenario` hits."""
        return float(getattr(self, scenario))


INTENSITIES: Mapping[str, Shares] = {
    "low": Shares(0.05, 0.2, 0.02),
    "medium": Shares(0.1, 0.5, 0.05),
    "high": Shares(0.2, 0.7, 0.1),
    "extreme": Shares(0.3, 0.9, 0.15),
}


def shares_at(intensity: str) -> Shares:
    """Return the shares of an intensity: low, medium, high or extreme."""
    if intensity not in INTENSITIES:
        names = ", ".join(INTENSITIES)
        raise ScenarioError(requirement("intensity", f"one of {names}", intensity))
    return INTENSITIES[intensity]


def available_scenarios() -> tuple[Scenario, ...]:
    """Return the scenarios that this version can inject, in the order of the table."""
    return tuple(scenario for scenario in SCENARIOS if scenario.available)


def scenario_named(name: str) -> Scenario:
    """Return an available scenario; raise ScenarioError for others."""
    scenario = _BY_NAME.get(name)
    if scenario is None:
        raise ScenarioError(f"There is no scenario {name!r}. {did_you_mean(name, _BY_NAME)}")
    if not scenario.available:
        names = ", ".join(known.name for known in available_scenarios())
        raise ScenarioError(f"Scenario {name!r} is not available in this version. Use one of: {names}.")
    return scenario


def lacking(scenario: str, service: Service, given: Collection[str] = ()) -> NotRun | None:
    """Say what `service` must declare before `scenario` can act on it; None if nothing is missing.

    `given` are parameters of the injection: each stands in for the field of its name.
    """
    needs = scenario_named(scenario).needs
    missing = [field for field in needs if not getattr(service, field) and field not in given]
    if not missing:
        return None
    declarations = ", ".join(_DECLARATIONS[field] for field in missing)
    return NotRun(
        scenario,
        service.name,
        reason=f"service {service.name!r} declares no {' and no '.join(missing)}",
        fix=f"Add it in resilience_services: Service({service.name!r}, {declarations}, …).",
    )
