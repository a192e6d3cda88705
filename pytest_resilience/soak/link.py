"""The link between conductor and runner: plain messages, both ways.

Here both live in one process; each message still goes through its plain form, so that what works here works
between processes.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Protocol, TypeAlias, get_args

from pytest_resilience.soak.messages import Command, Message, Report
from pytest_resilience.store import codec

_MESSAGES: Mapping[str, type[Any]] = {kind.__name__: kind for kind in (*get_args(Command), *get_args(Report))}

Wire: TypeAlias = tuple[Any, ...]


def encode(message: Message) -> Wire:
    """Return the name of the message's class and its values, as builtin types only."""
    if isinstance(message, codec.KINDS):
        return codec.encode(message)
    return (type(message).__name__, *(_plain(getattr(message, field.name)) for field in fields(message)))


def decode(wire: Wire) -> Message:
    """Return the message that `encode` was given."""
    name, *values = wire
    if name not in _MESSAGES:
        return codec.decode(wire)
    message: Message = _MESSAGES[name](*values)
    return message


def _plain(value: Any) -> Any:
    """Strip subclasses of builtin types, such as enums, also within tuples."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return next((kind(value) for kind in (bool, int, float, str) if isinstance(value, kind)), value)


Handler = Callable[[Message], None]


class Link(Protocol):
    """One end of the link."""

    def send(self, message: Message) -> None:
        """Give a message to the other end; it is handled on a thread of the link's choice."""

    def attach(self, handler: Handler) -> None:
        """Let `handler` have what the other end sends."""


class Loopback:
    """An end whose other end is in the same process: its handler runs on the sender's thread."""

    def __init__(self) -> None:
        self._handler: Handler | None = None
        self._peer: Loopback | None = None

    @classmethod
    def pair(cls) -> tuple["Loopback", "Loopback"]:
        """Return two ends that are each other's peer."""
        one, other = cls(), cls()
        one._peer, other._peer = other, one
        return one, other

    def attach(self, handler: Handler) -> None:
        self._handler = handler

    def send(self, message: Message) -> None:
        if self._peer is None:
            raise RuntimeError("An end is made by pair().")
        self._peer.receive(encode(message))

    def receive(self, wire: Wire) -> None:
        """Have what the other end sent."""
        if self._handler is None:
            raise RuntimeError(f"Nobody is attached to this end, so {wire!r} is lost.")
        self._handler(decode(wire))
