"""Cascading failure: one service goes down, then what needs it, one step per propagation delay."""

from collections import Counter
from collections.abc import Mapping

from pytest_resilience.chaos import call_ways, endpoint_ways, host_ways
from pytest_resilience.chaos.works import CascadeWork, Order, Work
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

PROPAGATION_SECONDS = 1.0


def cascade(order: Order) -> Work:
    """Plan an outage of the target, or of the most needed service, and of all that need it in turn."""
    start = order.target.name if order.service else most_needed(order.services)
    names = [name for name in spreading(start, order.services) if can_fail(order.services[name])]
    outages = [_outage(_of(order, order.services[name])) for name in names]
    return CascadeWork(outages, order.parameters.get("delay", PROPAGATION_SECONDS))


def spreading(start: str, services: Mapping[str, Service]) -> list[str]:
    """Return `start` and all services that need it, the nearest first."""
    order = [start]
    for name in order:
        order += [
            other.name for other in services.values() if name in other.needs and other.name not in order
        ]
    return order


def can_fail(service: Service) -> bool:
    """Tell whether a service has a seam through which it can go down."""
    return bool(service.calls) or service.endpoint is not None or service.process is not None


def starts(services: Mapping[str, Service]) -> list[str]:
    """Return the services whose failure can spread to another that has a seam too."""
    return [
        name
        for name, service in services.items()
        if can_fail(service) and any(can_fail(services[other]) for other in spreading(name, services)[1:])
    ]


def most_needed(services: Mapping[str, Service]) -> str:
    """Return the service that most others need, directly or not; raise ScenarioError if none can spread."""
    possible = starts(services)
    if not possible:
        raise ScenarioError(f"Scenario 'cascading_failure' cannot act: {lack_of(services)}")
    reach = Counter({name: len(spreading(name, services)) for name in possible})
    return reach.most_common(1)[0][0]


def lack_of(services: Mapping[str, Service]) -> str:
    """Say why no failure can spread, and what to declare."""
    name, needed, *_ = (*services, *("api", "database")[len(services) :])
    return (
        "no failure can spread, as no service with a seam needs another one with a seam. "
        f'Declare it in resilience_services: Service({name!r}, calls=["…"], needs=["{needed}"], …).'
    )


def _outage(order: Order) -> Work:
    """Take a service down where that is most real."""
    service = order.target
    if service.endpoint is not None:
        return endpoint_ways.partition(order)
    return call_ways.refuse(order) if service.calls else host_ways.pause(order)


def _of(order: Order, service: Service) -> Order:
    return Order(service, {}, 1.0, order.shares, order.services, order.critical_percent)
