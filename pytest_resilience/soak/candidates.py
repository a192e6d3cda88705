"""Which scenario can act on which service, and what the others lack."""

from collections.abc import Iterable, Iterator

from pytest_resilience.chaos.scenarios import SCENARIOS, available_scenarios, lacking
from pytest_resilience.services import Service

Candidate = tuple[str, str, str, str]


def candidates(services: Iterable[Service]) -> Iterator[Candidate]:
    """Yield (scenario, service, why it cannot run there or "", fix) for every service, then what no version of
    a service could get."""
    for service in services:
        for scenario in available_scenarios():
            lack = lacking(scenario.name, service)
            yield (scenario.name, service.name, lack.reason if lack else "", lack.fix if lack else "")
    for scenario in SCENARIOS:
        if not scenario.available:
            yield scenario.name, "", "not available in this version", ""
