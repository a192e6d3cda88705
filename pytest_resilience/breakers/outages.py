"""The five cascade types: which part of the topology, what goes down, and who is asked first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from types import MappingProxyType
from typing import TypeAlias

from pytest_resilience.breakers.topology import (
    Needs,
    cycles,
    dependents,
    edges,
    from_the_top,
    longest_chain,
)


@dataclass(frozen=True, slots=True)
class Outage:
    """What goes down in the system of `needs`; requests reach its services in `order`."""

    needs: Needs
    down: tuple[str, ...]
    order: tuple[str, ...]


class NotApplicableError(Exception):
    """The topology or the breaker has no place for a cascade; the message says what is missing."""


Plan: TypeAlias = Callable[[Needs, Random], Outage]


def linear(needs: Needs, _: Random) -> Outage:
    """Take the longest chain alone, and let its last service go down."""
    chain = longest_chain(needs)
    if len(chain) < 2:
        raise NotApplicableError("no service needs another")
    links = {service: (need,) for service, need in pairwise(chain)}
    return Outage({**links, chain[-1]: ()}, (chain[-1],), chain)


def branched(needs: Needs, _: Random) -> Outage:
    """Let the service go down that most others need, two at least."""
    root = max(needs, key=lambda service: len(dependents(needs, service)))
    if len(dependents(needs, root)) < 2:
        raise NotApplicableError("no service is needed by two others")
    return Outage(needs, (root,), from_the_top(needs))


def circular(needs: Needs, _: Random) -> Outage:
    """Let the first service of a cycle go down."""
    found = cycles(needs)
    if not found:
        raise NotApplicableError("the topology has no cycle")
    return Outage(needs, found[0][:1], from_the_top(needs))


def random(needs: Needs, draw: Random) -> Outage:
    """Let a drawn service that another needs go down, and ask in a drawn order."""
    needed = sorted({need for _, need in edges(needs)})
    if not needed:
        raise NotApplicableError("no service needs another")
    return Outage(needs, (draw.choice(needed),), tuple(draw.sample(sorted(needs), len(needs))))


def dependency(needs: Needs, _: Random) -> Outage:
    """Take the service with the most dependencies, and let all of them go down at once."""
    service = max(needs, key=lambda name: len(needs[name]))
    lost = tuple(need for need in needs[service] if need != service)
    if not lost:
        raise NotApplicableError("no service needs another")
    return Outage(needs, lost, from_the_top(needs))


OUTAGES: Mapping[str, Plan] = MappingProxyType(
    {"linear": linear, "branched": branched, "circular": circular, "random": random, "dependency": dependency}
)
