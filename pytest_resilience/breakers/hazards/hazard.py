"""What a hazard is, and what its scripts share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_resilience.breakers.drive import Drive, Mismatch
from pytest_resilience.breakers.flight import Kind, NotPossibleError, Outcome

MORE_ROUNDS = 3

Level: TypeAlias = Literal["wrong", "strict"]
"""How bad it is to fall for a hazard: wrong by any reading, or a matter of taste."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """One way to go wrong.

    Args:
        name: how reports call it.
        level: whether failing is wrong by any reading, or strict.
        explanation: what a right breaker does, in one sentence.
        script: the shortest calls that show it; raises Mismatch, or NotPossibleError with the reason.
    """

    name: str
    level: Level
    explanation: str
    script: Callable[[Drive], None]


def needs_two_failures(drive: Drive) -> None:
    """Leave out what cannot be seen of a breaker that opens at the first failure."""
    if drive.traits.threshold == 1:
        raise NotPossibleError("the breaker opens at the first failure, late or not")


def must_not_be_closed(drive: Drive) -> None:
    """Demand of a breaker that it has not closed: it is half-open, or open again."""
    traits = drive.traits
    if traits.failures_to_reopen >= traits.threshold:
        raise NotPossibleError(
            f"half-open opens after {traits.failures_to_reopen} failures, closed after {traits.threshold}: "
            "the two cannot be told apart"
        )
    for _ in range(traits.failures_to_reopen):
        if not drive.attempt("failure").entered:
            return
    drive.healthy(1, enter=False)


def must_recover(drive: Drive) -> None:
    """Demand that it lets probes in after another open time, and closes.

    One that goes by a rate may count failures from before against the good probes, and open once more: it
    closes then after a whole round of good ones.
    """
    by_count = drive.traits.consecutive and drive.traits.failures_to_reopen == 1
    for _ in range(1 if by_count else MORE_ROUNDS):
        drive.perhaps_reopened()
        drive.outlast_open()
        if all(drive.attempt().entered for _ in range(drive.traits.successes_to_close + 1)):
            return
    raise Mismatch("expected good probes to close the breaker, but the last call was rejected")


def half_open(drive: Drive) -> None:
    """Bring it to where the next call is a probe."""
    drive.trip()
    drive.outlast_open()


def places(drive: Drive) -> int:
    """Return how many probes must keep their places for none to be left."""
    return drive.traits.half_open_limit or 1


def probes_that_end(drive: Drive, outcome: Outcome, most: int, *, kind: Kind = "call") -> None:
    """Let up to `most` probes end in a row without a verdict, as long as they are let in."""
    drive.bench.check(outcome, kind)
    half_open(drive)
    drive.land(drive.take_off(kind=kind), outcome)
    for _ in range(most - 1):
        probe = drive.start(kind=kind)
        if not probe.in_air:
            return
        drive.land(probe, outcome)


def need(drive: Drive, capability: str, what: str) -> None:
    """Leave out what the adapter cannot do."""
    if capability not in drive.traits.can:
        raise NotPossibleError(f"its adapter cannot {what}")
