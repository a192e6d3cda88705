"""Plans: from a scenario, its target and parameters to the work at one seam."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pytest_resilience.chaos.parameters import Parameters, check, describe
from pytest_resilience.chaos.scenario import Scenario, Way
from pytest_resilience.chaos.scenarios import HOST, TAKEN_TARGETS, TOPOLOGY, lacking, service_ways
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.chaos.shares import Shares
from pytest_resilience.chaos.works import Order, Work
from pytest_resilience.errors import ScenarioError, did_you_mean, requirement
from pytest_resilience.services import Service


@dataclass(frozen=True, slots=True)
class Plan:
    """What an injection is going to do, and where; `target` is a service's name, "host" or "topology"."""

    scenario: Scenario
    target: str
    seam: SeamKind
    work: Work
    parameters: str


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans for the declared services, as strong as `shares` say."""

    services: Mapping[str, Service]
    shares: Shares
    critical_percent: float = 90.0

    def plan(self, scenario: Scenario, target: str | None, seam: str | None, parameters: Parameters) -> Plan:
        """Plan `scenario`; raise ScenarioError if it cannot act there or a parameter is wrong."""
        service = self._service(scenario, target)
        way = self._way(scenario, service, seam, parameters)
        check(scenario.name, way.parameters, parameters)
        self._check_seam(scenario, way, service, parameters)
        order = Order(
            service,
            parameters,
            self.shares.of(scenario.name),
            self.shares,
            self.services,
            self.critical_percent,
        )
        name = service.name if service else way.seam.value
        return Plan(scenario, name, way.seam, way.work(order), describe(parameters))

    def _service(self, scenario: Scenario, target: str | None) -> Service | None:
        if target is None or target in TAKEN_TARGETS:
            return None
        if target not in self.services:
            hint = did_you_mean(target, self.services)
            raise ScenarioError(f"There is no service {target!r} in resilience_services. {hint}")
        return self.services[target]

    def _way(
        self, scenario: Scenario, service: Service | None, seam: str | None, given: Collection[str]
    ) -> Way:
        """Choose the first way that can act on the target and takes all parameters."""
        ways = [way for way in _ways(scenario, service) if seam in (None, way.seam.value)]
        if not ways:
            raise ScenarioError(_no_way(scenario, service, seam))
        able = [
            way
            for way in ways
            if service is None or way.seam is TOPOLOGY or not lacking(scenario, way, service, given)
        ]
        fitting = [way for way in able if set(given) <= set(way.parameters)]
        return next(iter((*fitting, *able, *ways)))

    def _check_seam(self, scenario: Scenario, way: Way, service: Service | None, given: Parameters) -> None:
        if service is None or way.seam is TOPOLOGY:
            return
        lack = lacking(scenario, way, service, given)
        if lack is not None:
            raise ScenarioError(f"Scenario {scenario.name!r} cannot act: {lack.reason}. {lack.fix}")


def _ways(scenario: Scenario, service: Service | None) -> list[Way]:
    if service is None:
        return [way for way in scenario.ways if way.seam in (HOST, TOPOLOGY)]
    return [way for way in scenario.ways if way.seam is TOPOLOGY or way in service_ways(scenario)]


def _no_way(scenario: Scenario, service: Service | None, seam: str | None) -> str:
    if seam is not None:
        seams = [way.seam.value for way in _ways(scenario, service)]
        if seams:
            name = f"Scenario {scenario.name!r}: seam"
            return requirement(name, " or ".join(map(repr, seams)), seam)
    if service is None:
        return f"Scenario {scenario.name!r} needs a target: the name of a service."
    return (
        f"Scenario {scenario.name!r} acts on the host, not on service {service.name!r}. Leave the target out."
    )
