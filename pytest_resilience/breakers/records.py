"""What the breakers room reports: plain records that can be stored and sent.

Times are in seconds since the run began, sizes in bytes, shares from 0 to 1.
A record whose class has a KEY replaces the earlier one with the same key; without, it is appended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class BreakerResult:
    """One breaker scenario on one breaker; `verdict` is passed, failed or not_applicable."""

    KEY: ClassVar[tuple[str, ...]] = ("breaker", "scenario")
    breaker: str
    scenario: str
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class HazardResult:
    """One hazard tried on one breaker; `verdict` is passed, failed or not_applicable.

    `level` is "wrong", where failing is wrong by any reading, or "strict", where it is a matter of taste;
    `counts` tells whether the run was asked to fail for hazards of this level.
    """

    KEY: ClassVar[tuple[str, ...]] = ("breaker", "hazard")
    breaker: str
    hazard: str
    level: str
    verdict: str
    detail: str
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """One measured state change of a breaker: `change` is such as closed>open; the cost in seconds."""

    KEY: ClassVar[tuple[str, ...]] = ()
    breaker: str
    change: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """One cascade over the topology, in one failure mode. Seconds are virtual.

    Args:
        kind, mode: the cascade type and the failure mode.
        verdict: passed, failed or not_applicable.
        services_down: the blast radius: most services that did not answer at one moment.
        opened, edges: breakers that opened before the heal, of how many.
        seconds_to_closed: from the heal until every breaker was closed; None if one never was.
        detail: what happened, and what was wrong.
        seconds_to_detect: longest time from the first failure on an edge until its breaker was open.
        calls_wasted: calls that failed on all edges until then.
        calls_rejected: calls that breakers kept from what was down.
        entered_while_open: calls that got into a dependency though its breaker had to be open; 0 is right.
        most_probes: most calls that a breaker let in from one half-open until it had decided.
        amplification: calls into what was down at one moment, as a multiple of a healthy moment's.
        seconds_to_first_answer: from the heal until a user who had got none was answered; None if none was.
        flips: how often breakers opened or closed, over all edges.
    """

    KEY: ClassVar[tuple[str, ...]] = ("kind", "mode")
    kind: str
    verdict: str
    services_down: int
    opened: int
    edges: int
    seconds_to_closed: float | None
    detail: str
    mode: str = "outage"
    seconds_to_detect: float | None = None
    calls_wasted: int = 0
    calls_rejected: int = 0
    entered_while_open: int = 0
    most_probes: int = 0
    amplification: float = 0.0
    seconds_to_first_answer: float | None = None
    flips: int = 0


def hazard_summary(hazards: Sequence[HazardResult]) -> str:
    """Say how many hazards a breaker fell for, by their level; nothing if none was tried."""
    if not hazards:
        return ""
    failed = [one.level for one in hazards if one.verdict == "failed"]
    tried = sum(one.verdict != "not_applicable" for one in hazards)
    if not failed:
        return f", none of {tried} hazards failed"
    return f", {failed.count('wrong')} wrong and {failed.count('strict')} strict of {tried} hazards failed"
