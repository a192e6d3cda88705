"""The five cascade types: which part of the topology, what goes down, and who is asked first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from types import MappingProxyType
from typing import TypeAlias

from pytest_resilience.breakers.topology import (
    Needs,
    cycles,
    dependents,
    edges,
    entries,
    longest_chain,
)


@dataclass(frozen=True, slots=True)
class Outage:
    """What goes down in the system of `needs`; users ask its `entries`."""

    needs: Needs
    down: tuple[str, ...]
    entries: tuple[str, ...]


class NotApplicableError(Exception):
    """The topology or the breaker has no place for a cascade; the message says what is missing."""


Plan: TypeAlias = Callable[[Needs, Random], Outage]

SPREAD = 0.5
"""How likely a service that needs a lost one is lost too, in the random cascade."""


def linear(needs: Needs, _: Random) -> Outage:
    """Take the longest chain alone, and let its last service go down."""
    chain = longest_chain(needs)
    if len(chain) < 2:
        raise NotApplicableError("no service needs another")
    links = {service: (need,) for service, need in pairwise(chain)}
    return _outage({**links, chain[-1]: ()}, chain[-1:])


def branched(needs: Needs, _: Random) -> Outage:
    """Let the service go down that most others need, two at least."""
    root = max(needs, key=lambda service: len(dependents(needs, service)))
    if len(dependents(needs, root)) < 2:
        raise NotApplicableError("no service is needed by two others")
    return _outage(needs, (root,))


def circular(needs: Needs, _: Random) -> Outage:
    """Let the first service of a cycle go down."""
    found = [cycle for cycle in cycles(needs) if len(cycle) > 1]
    if not found:
        raise NotApplicableError("the topology has no cycle")
    return _outage(needs, found[0][:1])


def random(needs: Needs, draw: Random) -> Outage:
    """Let a drawn service that another needs go down, then a drawn share of those that need what is lost."""
    needed = sorted({need for service, need in edges(needs) if service != need})
    if not needed:
        raise NotApplicableError("no service needs another")
    down: tuple[str, ...] = (draw.choice(needed),)
    for service in draw.sample(sorted(needs), len(needs)):
        spread = (*down, service)
        hit = service not in down and not set(down).isdisjoint(needs[service])
        if hit and draw.random() < SPREAD and _has_callers(needs, spread):
            down = spread
    outage = _outage(needs, down)
    return replace(outage, entries=tuple(draw.sample(outage.entries, len(outage.entries))))


def dependency(needs: Needs, _: Random) -> Outage:
    """Take the service with the most dependencies, and let all of them go down at once."""
    service = max(needs, key=lambda name: len(needs[name]))
    lost = tuple(need for need in needs[service] if need != service)
    if not lost:
        raise NotApplicableError("no service needs another")
    return _outage(needs, lost)


def _outage(needs: Needs, down: tuple[str, ...]) -> Outage:
    return Outage(needs, down, entries(needs, down))


def _has_callers(needs: Needs, down: tuple[str, ...]) -> bool:
    return any(need in down and service not in down for service, need in edges(needs))


OUTAGES: Mapping[str, Plan] = MappingProxyType(
    {"linear": linear, "branched": branched, "circular": circular, "random": random, "dependency": dependency}
)
