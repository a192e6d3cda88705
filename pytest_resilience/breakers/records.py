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
    """One cascade over the topology; `opened` counts edges whose breaker opened."""

    KEY: ClassVar[tuple[str, ...]] = ("kind",)
    kind: str
    verdict: str
    services_down: int
    opened: int
    edges: int
    seconds_to_closed: float | None
    detail: str


def hazard_summary(hazards: Sequence[HazardResult]) -> str:
    """Say how many hazards a breaker fell for, by their level; nothing if none was tried."""
    if not hazards:
        return ""
    failed = [one.level for one in hazards if one.verdict == "failed"]
    tried = sum(one.verdict != "not_applicable" for one in hazards)
    if not failed:
        return f", none of {tried} hazards failed"
    return f", {failed.count('wrong')} wrong and {failed.count('strict')} strict of {tried} hazards failed"
