"""What can be done to a breaker, one after the other, and the sequences that are known to find defects."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from pytest_resilience.breakers.adapter import State, Traits
from pytest_resilience.breakers.flight import Outcome, Way
from pytest_resilience.breakers.limits import MARGIN

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True, slots=True)
class Start:
    """Start a call, or a stream, and hold it in the dependency."""

    stream: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Let a call in the air end: the oldest is 0."""

    which: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """Make a whole call."""

    outcome: Outcome = "ok"


@dataclass(frozen=True, slots=True)
class Wait:
    """Let a share of the longest open time pass, or of the usual one, that of a first opening."""

    share: float
    usual: bool = False


@dataclass(frozen=True, slots=True)
class Force:
    """Bring the breaker into a state by hand."""

    state: State


Move: TypeAlias = Start | End | Call | Wait | Force
Sequence: TypeAlias = tuple[Move, ...]
Undecided: TypeAlias = Literal["ignored", "cancelled", "base_exception"]

OUTLAST = Wait(1 + MARGIN)
OUTLAST_USUAL = Wait(1 + MARGIN, usual=True)
HALF = Wait(0.5)
OK, FAIL = Call("ok"), Call("failure")
UNDECIDED: tuple[Undecided, ...] = ("ignored", "cancelled", "base_exception")


def templates(traits: Traits) -> Mapping[str, Sequence]:
    """Return the written sequences: each shows in a few moves what random ones seldom come upon."""
    trip: Sequence = (FAIL,) * traits.threshold
    good: Sequence = (OK,) * traits.successes_to_close
    bad: Sequence = (FAIL,) * traits.failures_to_reopen
    most = traits.half_open_limit or 2
    half_open: Sequence = (*trip, OUTLAST)
    recover: Sequence = (*half_open, *good)
    late = Start()
    ends_well: Sequence = (End(0, "ok"),) * traits.successes_to_close
    sequences: dict[str, Sequence] = {
        "trip and recover": (*trip, OK, HALF, OK, HALF, Wait(0.02), *bad, OK, OUTLAST, *good, *trip, OK),
        "a failed probe after good ones": (*half_open, *good[1:], *bad, OK, *trip, OK),
        "open for longer after a failed probe": (*trip, OUTLAST_USUAL, *bad, OUTLAST_USUAL, OK, OUTLAST, OK),
        "a success starts the count anew": (*trip[1:], OK, *trip[1:], OK, *trip, OK),
        "late success while open": (late, *trip, End(0, "ok"), OK),
        "late success two eras later": (late, *recover, *trip, End(0, "ok"), OK),
        "late success in half-open": (
            late,
            *half_open,
            Start(),
            End(0, "ok"),
            End(0, "failure"),
            *bad[1:],
            OK,
        ),
        "late success instead of a probe": (
            *(late,) * traits.successes_to_close,
            *(*half_open, Start()),
            *ends_well,
            *trip[1:],
            Start(),
        ),
        "late failure while open": (late, *trip, HALF, End(0, "failure"), OK, OUTLAST, OK),
        "late failure in half-open": (
            late,
            *half_open,
            Start(),
            End(0, "failure"),
            End(0, "ok"),
            OUTLAST,
            *good,
            OK,
        ),
        "late failure after recovery": (late, *recover, End(0, "failure"), OK),
        "late cancellation after recovery": (late, *recover, End(0, "cancelled"), OK, *trip, OK),
        "second probe fails after the first closed": (
            *half_open,
            *(Start(),) * max(2, traits.successes_to_close + 1),
            *ends_well,
            End(0, "failure"),
            OK,
        ),
        "stale probe two eras later": (
            *half_open,
            *(Start(), Start()),
            *(End(1, "failure"),) * 1,
            *bad[1:],
            *(OUTLAST, OUTLAST, OUTLAST),
            Start(),
            End(0, "ok"),
            End(0, "failure"),
            *bad[1:],
            OK,
        ),
        "half-open limit": (*half_open, *(Start(),) * (most + 1), *(End(0, "ok"),) * most, OK),
        "streams fail": (*(Start(stream=True), End(0, "failure")) * traits.threshold, OK),
        "streams are closed early": (*(Start(stream=True), End(0, "closed")) * traits.threshold, OK),
        "a probe's stream is closed early": (
            *half_open,
            Start(stream=True),
            End(0, "closed"),
            *(OUTLAST, OUTLAST),
            *good,
            OK,
        ),
        "forced open": (Force("open"), OK, OUTLAST, *good, OK, *trip, OK),
        "forced closed": (*trip, Force("closed"), OK, *trip, OK),
        "forced half-open": (Force("half_open"), *bad, OK, Force("half_open"), *good, *trip, OK),
        "late failure after force": (late, *trip, Force("closed"), End(0, "failure"), OK),
    }
    for outcome in UNDECIDED:
        probe = (*half_open, Start(), End(0, outcome))
        sequences[f"{outcome} probe does not close"] = (*probe, *bad, OK)
        sequences[f"{outcome} probe gives its place back"] = (*probe, OUTLAST, OUTLAST, *good, OK)
        sequences[f"{outcome} stale probe gives no place back"] = (
            *half_open,
            *(Start(), *bad, OUTLAST, OUTLAST),
            *(Start(),) * most,
            End(0, outcome),
            Start(),
        )
        sequences[f"{outcome} call at the threshold"] = (*trip[1:], Call(outcome), *trip, OK)
    return MappingProxyType(sequences)


_USUAL: tuple[Sequence, ...] = (
    (OK,),
    (FAIL,),
    (OUTLAST,),
    (OUTLAST, OK),
    (OUTLAST_USUAL, FAIL),
    (HALF,),
    (Start(), Start()),
    (End(0, "failure"), End(0, "failure")),
)


def sequences(traits: Traits, way: Way) -> "SearchStrategy[Sequence]":
    """Return random sequences that go where defects are: over thresholds, open times and overlaps."""
    from hypothesis import strategies as st

    ends: list[Outcome] = ["ok", "failure", "ignored", "base_exception"]
    if way == "async":
        ends.append("cancelled")
    outcome = st.sampled_from(ends)
    trip = (FAIL,) * traits.threshold
    forces = [state for state in ("open", "half_open", "closed") if f"force_{state}" in traits.can]
    moves: list[SearchStrategy[Sequence]] = [
        st.just((Start(),)),
        st.builds(lambda which, how: (End(which, how),), st.integers(0, 2), outcome),
        st.sampled_from([*_USUAL, trip, (*trip, OUTLAST)]),
        st.builds(lambda how: (Call(how),), outcome),
    ]
    if forces:
        moves.append(st.sampled_from([(Force(state),) for state in forces]))  # type: ignore[arg-type]
    ending = (OK, FAIL, OK, OUTLAST, OK)
    return st.lists(st.one_of(moves), min_size=3, max_size=12).map(
        lambda drawn: (*(move for some in drawn for move in some), *ending)
    )
