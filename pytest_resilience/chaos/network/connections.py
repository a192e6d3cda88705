"""A connection through the proxy: two flows, the exchanges on it, and how it ends."""

from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pytest_resilience.chaos.network.flows import End, Flow
from pytest_resilience.chaos.network.pipes import Pipes
from pytest_resilience.chaos.network.toxics import Stream
from pytest_resilience.chaos.network.wires import READ, Poller, Wire


class Observer(Protocol):
    """What wants to know about a connection: the toxics on it, or who measures its exchanges."""

    def asked(self, connection: "Connection") -> None:
        """A question begins; its first bytes were read and not yet handed on."""

    def answered(self, connection: "Connection") -> None:
        """The first bytes of an answer are about to reach the client."""

    def closed(self, connection: "Connection") -> None:
        """The connection is gone."""


@dataclass(slots=True)
class Occasions:
    """Numbers what a toxic may act on, from 1: a new connection with its first question, each other question.

    `count_from` is where the latest toxic began to count: to it, the first question on an older connection is
    one more.
    """

    count: int = 0
    count_from: int = 0

    def next(self) -> int:
        self.count += 1
        return self.count


class Connection:
    """A client's connection and the one to the upstream that belongs to it.

    `occasion` is the number of its latest question, or of its beginning while nothing was asked.
    """

    def __init__(self, poller: Poller, pipes: Pipes, buffer: memoryview, occasions: Occasions) -> None:
        self.client = Wire(poller)
        self.server = Wire(poller)
        self.up = Flow(self.client, self.server, self, pipes, buffer)
        self.down = Flow(self.server, self.client, self, pipes, buffer)
        self.occasion = occasions.next()
        self.is_closed = False
        self._has_asked = False
        self.dialling: Task[None] | None = None
        self.observers: list[Observer] = []
        self.on_closed: Callable[[Connection], None] | None = None
        self._occasions = occasions
        self.up.on_read = self._asked

    def flow(self, stream: Stream) -> Flow:
        return self.up if stream == "upstream" else self.down

    def begin(self) -> None:
        """Relay: the upstream's socket is there."""
        self.dialling = None
        self.up.balance()
        self.down.balance()

    def lost(self, wire: Wire, *, unread: bool) -> None:
        """The peer at `wire` has reset the connection; the other one learns it behind the data on its way."""
        away, towards = (self.up, self.down) if wire is self.client else (self.down, self.up)
        towards.outlet.drop()
        towards.ended = True
        towards.source.want(READ, on=False)
        if unread:
            away.last_end = End.RESET
        else:
            away.end(End.RESET)
        self.half_closed()

    def half_closed(self) -> None:
        """Close when both directions have ended."""
        if self.up.outlet.finished and self.down.outlet.finished:
            self.close()

    def close(self, *, reset: bool = False) -> None:
        """Close both sides, with a reset (RST) if asked; doing it again changes nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.dialling is not None:
            self.dialling.cancel()
        self.up.discard()
        self.down.discard()
        self.client.close(reset=reset)
        self.server.close(reset=reset)
        if self.on_closed is not None:
            self.on_closed(self)
        for observer in tuple(self.observers):
            observer.closed(self)

    def _asked(self) -> None:
        """Count an exchange: the client speaks first, or again after an answer."""
        if self._has_asked or self.occasion <= self._occasions.count_from:
            self.occasion = self._occasions.next()
        self._has_asked = True
        self.up.on_read = None
        self.down.outlet.on_sent = self._answered
        if self.observers:
            for observer in tuple(self.observers):
                observer.asked(self)

    def _answered(self) -> None:
        self.down.outlet.on_sent = None
        self.up.on_read = self._asked
        if self.observers:
            for observer in tuple(self.observers):
                observer.answered(self)
