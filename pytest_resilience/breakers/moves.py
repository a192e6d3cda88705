"""What can be done to a breaker, one after the other, and random sequences of it."""

from dataclasses import dataclass
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
