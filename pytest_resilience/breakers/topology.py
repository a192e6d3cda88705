"""The shape of a system: which service needs which, and what follows from it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from pytest_resilience.errors import ResilienceError, did_you_mean, requirement

Needs: TypeAlias = Mapping[str, tuple[str, ...]]
Edge: TypeAlias = tuple[str, str]

# A request goes through all services of a chain in one call stack, which Python limits.
MOST_SERVICES = 50

# A service that is needed on many ways is called once for each of them.
MOST_CALLS_PER_REQUEST = 1_000

_EXAMPLE = "Write {'shop': ['database'], 'database': []}."


def read_topology(topology: Mapping[str, Sequence[str]]) -> Needs:
    """Return each service with what it needs, once; raise ResilienceError for a wrong or unknown name."""
    if not isinstance(topology, Mapping) or not topology:
        allowed = "a mapping from each service to the list of services that it needs"
        raise ResilienceError(requirement("The topology", allowed, topology, _EXAMPLE))
    if len(topology) > MOST_SERVICES:
        fix = "Give the part of it around the services to break."
        allowed = f"one of at most {MOST_SERVICES} services"
        raise ResilienceError(requirement("The topology", allowed, len(topology), fix))
    needs = {service: _read_needs(service, needed, topology) for service, needed in topology.items()}
    calls = sum(calls_per_request(needs, entries(needs)).values())
    if calls > MOST_CALLS_PER_REQUEST:
        allowed = f"one where a request makes at most {MOST_CALLS_PER_REQUEST:,} calls"
        fix = "Give the part of it around the services to break."
        raise ResilienceError(requirement("The topology", allowed, calls, fix))
    return needs


def _read_needs(service: str, needs: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    if isinstance(needs, str) or not isinstance(needs, Iterable):
        fix = f"Write [{needs!r}]." if isinstance(needs, str) else _EXAMPLE
        raise ResilienceError(requirement(f"What {service!r} needs", "a list of services", needs, fix))
    unique = tuple(dict.fromkeys(needs))
    for need in unique:
        if need not in known:
            hint = did_you_mean(str(need), known)
            raise ResilienceError(f"Service {service!r} needs {need!r}, which is not in the topology. {hint}")
    return unique


def edges(needs: Needs) -> list[Edge]:
    """Return each (service, what it needs)."""
    return [(service, need) for service, needed in needs.items() for need in needed]


def dependents(needs: Needs, service: str) -> list[str]:
    """Return the other services that need `service` directly."""
    return [other for other, needed in needs.items() if service in needed and other != service]


def from_the_top(needs: Needs) -> tuple[str, ...]:
    """Return all services, those that nobody needs first."""
    return tuple(sorted(needs, key=lambda service: bool(dependents(needs, service))))


def cycles(needs: Needs) -> list[tuple[str, ...]]:
    """Return the cycles that a walk from the top runs into; the last service of each needs the first."""
    found: list[tuple[str, ...]] = []
    finished: set[str] = set()

    def walk(path: tuple[str, ...]) -> None:
        for need in needs[path[-1]]:
            if need in path:
                found.append(path[path.index(need) :])
            elif need not in finished:
                walk((*path, need))
        finished.add(path[-1])

    for service in from_the_top(needs):
        if service not in finished:
            walk((service,))
    return found


def closing_edges(needs: Needs) -> frozenset[Edge]:
    """Return the edges that close a cycle.

    They ask for something that the service can answer by itself: if it had to ask round the cycle again,
    no request would ever be answered, in a healthy system either.
    """
    return frozenset((cycle[-1], cycle[0]) for cycle in cycles(needs))


def longest_chain(needs: Needs) -> tuple[str, ...]:
    """Return the longest chain from a service down to what it needs last; a cycle is cut where it closes."""
    closing = closing_edges(needs)
    chains: dict[str, tuple[str, ...]] = {}

    def chain(service: str) -> tuple[str, ...]:
        if service not in chains:
            below = [chain(need) for need in needs[service] if (service, need) not in closing]
            chains[service] = (service, *max(below, key=len, default=()))
        return chains[service]

    return max((chain(service) for service in from_the_top(needs)), key=len)


def entries(needs: Needs, down: Collection[str] = ()) -> tuple[str, ...]:
    """Return where users must ask so that requests can reach every service that is up."""
    closing = closing_edges(needs)
    reached: set[str] = set(down)
    found: list[str] = []

    def walk(service: str) -> None:
        reached.add(service)
        for need in needs[service]:
            if need not in reached and (service, need) not in closing:
                walk(need)

    for service in from_the_top(needs):
        if service not in reached:
            found.append(service)
            walk(service)
    return tuple(found)


def calls_per_request(needs: Needs, asked: Collection[str]) -> dict[Edge, int]:
    """Return how many calls go over each edge when all is well and each of `asked` is asked once."""
    closing = closing_edges(needs)
    visits: dict[str, int] = {}

    def visited(service: str) -> int:
        if service not in visits:
            callers = [
                other for other, need in edges(needs) if need == service and (other, need) not in closing
            ]
            visits[service] = (service in asked) + sum(map(visited, callers))
        return visits[service]

    return {edge: visited(edge[0]) for edge in edges(needs)}
