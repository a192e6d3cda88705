"""Whatever toxics come and go, the bytes of a stream arrive complete and in order."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_peers import PATIENT_TOXICS, Pair, Rig, receive_all

from pytest_resilience.chaos.network.toxics import AnyToxic


@dataclass(frozen=True)
class Send:
    """One side sends bytes, in one piece."""

    side: Literal["client", "server"]
    size: int


@dataclass(frozen=True)
class Add:
    """Toxics are put on the proxy."""

    toxics: tuple[AnyToxic, ...]


@dataclass(frozen=True)
class Remove:
    """One of the effects that are on the proxy goes."""

    which: int


@dataclass(frozen=True)
class Pause:
    """Time passes."""

    seconds: float


Step = Send | Add | Remove | Pause

steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Send, st.sampled_from(["client", "server"]), st.integers(1, 20_000)),
    st.builds(Add, st.lists(PATIENT_TOXICS, min_size=1, max_size=2).map(tuple)),
    st.builds(Remove, st.integers(0, 5)),
    st.builds(Pause, st.floats(0.0, 0.005)),
)


@dataclass
class Walk:
    """Carries steps out on one connection, and knows what was sent."""

    rig: Rig
    pair: Pair
    sent: dict[str, bytearray] = field(default_factory=lambda: {"client": bytearray(), "server": bytearray()})
    effects: list[str] = field(default_factory=list)

    def take(self, step: Step) -> None:
        match step:
            case Send(side, size):
                data = bytes((len(self.sent[side]) + place) * 7 % 251 for place in range(size))
                self.sent[side] += data
                (self.pair.client if side == "client" else self.pair.server).sendall(data)
            case Add(toxics):
                self.effects.append(self.rig.add(*toxics))
            case Remove(which) if self.effects:
                self.rig.remove(self.effects.pop(which % len(self.effects)))
            case Pause(seconds):
                time.sleep(seconds)

    def end(self, *, remove_first: bool) -> None:
        """Close both directions, and check what arrived."""
        if remove_first:
            self.remove_all()
        self.pair.client.shutdown(1)
        self.pair.server.shutdown(1)
        assert receive_all(self.pair.server) == self.sent["client"]
        assert receive_all(self.pair.client) == self.sent["server"]

    def remove_all(self) -> None:
        while self.effects:
            self.rig.remove(self.effects.pop())


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A proxy for all examples."""
    with Rig() as rig:
        yield rig


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=12), st.booleans())
def test_no_byte_is_lost_doubled_or_moved(rig: Rig, walk: list[Step], remove_first: bool) -> None:
    """Random pieces through random toxics that are added and removed at random instants, in any order."""
    pair = rig.pair()
    doing = Walk(rig, pair)
    try:
        for step in walk:
            doing.take(step)
        doing.end(remove_first=remove_first)
    finally:
        doing.remove_all()
        pair.close()
