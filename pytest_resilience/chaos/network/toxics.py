"""Toxics: what goes wrong with the connections of an endpoint. Pure data, with Toxiproxy's names and meaning.

Units differ from Toxiproxy's, which counts milliseconds and KB/s: here times are in seconds, sizes in bytes.
See https://github.com/Shopify/toxiproxy#toxics. Values that make no sense raise ScenarioError.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from pytest_resilience.chaos.triggers import AnyTrigger
from pytest_resilience.errors import ScenarioError, requirement

Stream: TypeAlias = Literal["upstream", "downstream"]
"""From the client to the server, or back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """What all toxics have.

    Args:
        stream: the direction that is hit; it says nothing for toxics that act on whole connections.
        toxicity: the share (0 to 1) of connections that are hit, drawn by the seed, the first one at
            connection ceil(1 / toxicity) at the latest; with 0 nothing is touched. Open connections count
            first, the oldest one first.
        trigger: which ones are hit, instead of a share: nth(2), first(3), every(5), window(2, 4).
        per: "exchange" decides for each question on a connection instead of once for each connection.
    """

    stream: Stream = "downstream"
    toxicity: float = 1.0
    trigger: AnyTrigger | None = None
    per: Literal["connection", "exchange"] = "connection"

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(f"{type(self).__name__}.{each.name}", each.name, getattr(self, each.name))
        if self.per == "exchange" and isinstance(self, WholeConnection):
            name = f"{type(self).__name__}.per"
            raise ScenarioError(
                requirement(name, "'connection'", self.per, "It acts when a client connects.")
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeConnection(Toxic):
    """What toxics have that decide whether a client gets a connection."""


@dataclass(frozen=True, slots=True)
class Latency(Toxic):
    """Each piece of data arrives `latency` seconds late, give or take up to `jitter` seconds, in order."""

    latency: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Bandwidth(Toxic):
    """At most `rate` bytes per second pass on each connection."""

    rate: float


@dataclass(frozen=True, slots=True)
class SlowClose(Toxic):
    """The end of the stream arrives `delay` seconds late."""

    delay: float


@dataclass(frozen=True, slots=True)
class Timeout(Toxic):
    """Nothing passes (a black hole); `timeout` seconds after it was hit the connection is closed.

    With 0 that is at the removal. A connection that lost nothing until then lives on.
    """

    timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class ResetPeer(Toxic):
    """The connection is reset (RST) on both sides `timeout` seconds after it is hit, idle or not."""

    timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Slicer(Toxic):
    """Data arrives in slices of `average_size` bytes, give or take `size_variation`, `delay` seconds apart.

    Where it is cut depends on the seed and on how many bytes passed, not on how they came in.
    """

    average_size: int
    size_variation: int = 0
    delay: float = 0.0

    def __post_init__(self) -> None:
        Toxic.__post_init__(self)
        if self.size_variation >= self.average_size:
            constraint = f"below average_size, {self.average_size}"
            raise ScenarioError(requirement("Slicer.size_variation", constraint, self.size_variation))


@dataclass(frozen=True, slots=True)
class LimitData(Toxic):
    """The connection is closed once `bytes` have passed."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Down(WholeConnection):
    """Open connections are reset, and new ones are refused: nobody listens (Toxiproxy: enabled=false).

    A port refuses all or none: with a toxicity below 1, and not on Linux, new connections that are hit are
    made, then reset.
    """


@dataclass(frozen=True, slots=True)
class Refuse(WholeConnection):
    """New connections are refused; open ones go on.

    A port refuses all or none: with a toxicity below 1, and not on Linux, connections that are hit are
    made, then reset.
    """


@dataclass(frozen=True, slots=True)
class NeverAccept(WholeConnection):
    """New connections are never accepted: the client waits for its own time-out. Open ones go on.

    When it is removed, a client that still waits gets its connection when it asks again: TCP does so after 1,
    2, 3, 4, 5, 7, 11 … seconds. A Unix socket that is not to block gives EAGAIN instead of waiting.
    With a toxicity below 1, and not on Linux, connections that are hit are made, and nothing ever passes.
    """


@dataclass(frozen=True, slots=True)
class FailFirst(WholeConnection):
    """The first `connections` new ones are reset, the later ones go through."""

    connections: int


@dataclass(frozen=True, slots=True)
class Slots(WholeConnection):
    """At most `connections` are open at once; each one more is reset as soon as it is made."""

    connections: int


AnyToxic: TypeAlias = (
    Latency
    | Bandwidth
    | SlowClose
    | Timeout
    | ResetPeer
    | Slicer
    | LimitData
    | Down
    | Refuse
    | NeverAccept
    | FailFirst
    | Slots
)


def _is_number(value: object, lowest: float, highest: float = math.inf) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and lowest <= value <= highest  # type: ignore[arg-type,operator]


def _is_whole(value: object, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


_SECONDS = ("a number of seconds from 0", lambda value: _is_number(value, 0))
_COUNT = ("a whole number from 0", lambda value: _is_whole(value, 0))

_RULES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "stream": ("'upstream' or 'downstream'", lambda value: value in ("upstream", "downstream")),
    "toxicity": ("a share from 0 to 1", lambda value: _is_number(value, 0, 1)),
    "trigger": (
        "nth(n), every(n), first(n), window(start, stop) or share(p)",
        lambda value: value is None or isinstance(value, AnyTrigger),
    ),
    "per": ("'connection' or 'exchange'", lambda value: value in ("connection", "exchange")),
    "latency": _SECONDS,
    "jitter": _SECONDS,
    "delay": _SECONDS,
    "timeout": _SECONDS,
    "rate": ("a number of bytes per second above 0", lambda value: _is_number(value, 0) and value != 0),
    "average_size": ("a whole number of bytes from 1", lambda value: _is_whole(value, 1)),
    "size_variation": _COUNT,
    "bytes": _COUNT,
    "connections": _COUNT,
}


def _check(name: str, field: str, value: object) -> None:
    constraint, holds = _RULES[field]
    if not holds(value):
        raise ScenarioError(requirement(name, constraint, value))
