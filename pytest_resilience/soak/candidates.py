"""Which scenario can act on which service, and what the others lack."""

from collections.abc import Iterable, Iterator

from pytest_resilience.chaos.scenarios import SCENARIOS, available_scenarios, lacking
from pytest_resilience.services import Service

Candidate = tuple[str, str, str, str]
"""A scenario, its service, why it cannot run there (or an empty string), and the fix."""


def candidates(services: Iterable[Service]) -> Iterator[Candidate]:
    """Yield every scenario for every service that declares calls, then the scenarios that act on more."""
    for service in services:
        if service.calls:
            yield from _of(service)
    for scenario in SCENARIOS:
        if not scenario.available:
            yield scenario.name, "", "not available in this version", ""


def _of(service: Service) -> Iterator[Candidate]:
    for scenario in available_scenarios():
        lack = lacking(scenario.name, service)
        yield scenario.name, service.name, lack.reason if lack else "", lack.fix if lack else ""
