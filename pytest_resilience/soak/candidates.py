"""Which scenario can act on which target, and what the others lack."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pytest_resilience.chaos import cascade
from pytest_resilience.chaos.records import NotRun
from pytest_resilience.chaos.scenario import Scenario
from pytest_resilience.chaos.scenarios import lacking, service_ways
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.services import Service


class Candidate(NamedTuple):
    """A scenario on a target; `reason` says why it cannot run there (empty if it can), `fix` what to do."""

    scenario: str
    target: str
    seam: str
    impact: str
    reason: str = ""
    fix: str = ""

    @property
    def alone(self) -> bool:
        """Tell whether nothing else may run at the same time: it takes whole services away."""
        return self.impact == "critical"


def candidates(services: Iterable[Service], scenarios: Iterable[Scenario]) -> Iterator[Candidate]:
    """Yield what a soak can inject into the services, the host and the topology, and what it cannot."""
    by_name = {service.name: service for service in services}
    for scenario in scenarios:
        yield from _of_services(scenario, by_name.values())
        yield from _of_host(scenario)
        yield from _of_topology(scenario, by_name)


def _of_services(scenario: Scenario, services: Iterable[Service]) -> Iterator[Candidate]:
    """Yield what can act on services; what cannot, if only a field is missing or nothing else can."""
    able: list[Candidate] = []
    incomplete: list[NotRun] = []
    foreign: list[NotRun] = []
    for service in filter(cascade.can_fail, services):
        for way in service_ways(scenario):
            lack = lacking(scenario, way, service)
            if lack is None:
                able.append(Candidate(scenario.name, service.name, way.seam.value, scenario.impact))
            else:
                (incomplete if getattr(service, way.seam.value) else foreign).append(lack)
    yield from able
    somewhere = able or incomplete or scenario.way(SeamKind.HOST)
    for lack in incomplete if somewhere else foreign[:1]:
        yield Candidate(scenario.name, lack.service, lack.seam, scenario.impact, lack.reason, lack.fix)


def _of_host(scenario: Scenario) -> Iterator[Candidate]:
    if scenario.way(SeamKind.HOST):
        host = SeamKind.HOST.value
        yield Candidate(scenario.name, host, host, scenario.impact)


def _of_topology(scenario: Scenario, services: Mapping[str, Service]) -> Iterator[Candidate]:
    if not scenario.way(SeamKind.TOPOLOGY):
        return
    topology = SeamKind.TOPOLOGY.value
    starts: Sequence[str] = cascade.starts(services)
    for start in starts:
        yield Candidate(scenario.name, start, topology, scenario.impact)
    if not starts:
        reason, _, fix = cascade.lack_of(services).partition(". ")
        yield Candidate(scenario.name, topology, topology, scenario.impact, reason, fix)
