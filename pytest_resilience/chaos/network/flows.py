"""One direction of a connection: read from one wire, through the stages of its toxics, write to the other.

Without stages a piece goes on at once: through one buffer that all connections share or, where much comes,
through a pipe inside the kernel. What the receiver does not take is kept, and nothing more is read until it
is gone: so backpressure passes through.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeAlias

from pytest_resilience.chaos.network.pipes import Pipe, Pipes
from pytest_resilience.chaos.network.wires import READ, WRITE, Wire

Data: TypeAlias = bytes | memoryview
"""A memoryview is only good until `take` returns: who keeps it copies it."""


MUCH = 32 * 1024
"""Bytes from which on the way through the kernel is the faster one."""


class End(Enum):
    """How a direction ends, in its order behind the data."""

    FIN = "the sender has said all"
    CLOSE = "the whole connection is closed"
    RESET = "the sender has reset the connection"


class Taker(Protocol):
    """Takes data and its end: a stage, or the outlet behind the last one."""

    def take(self, data: Data) -> None: ...

    def end(self, how: End) -> None: ...


class Stage(Taker, Protocol):
    """What a toxic does to one direction of one connection."""

    following: Taker

    @property
    def full(self) -> bool:
        """Tell whether it holds so much that no more should be read."""

    def release(self) -> None:
        """Hand on at once, in order, all that is held; the toxic is removed."""

    def discard(self) -> None:
        """Forget all that is held; the connection is gone."""


class Ends(Protocol):
    """Whom a flow tells about ends: its connection."""

    def lost(self, wire: Wire, *, unread: bool) -> None:
        """The peer at `wire` has reset the connection; what it sent before may still be `unread`."""

    def half_closed(self) -> None:
        """One direction has ended in order."""

    def close(self, *, reset: bool = False) -> None:
        """Close both directions."""


class Outlet:
    """Writes to a wire, and keeps what it does not take yet."""

    def __init__(self, wire: Wire, connection: Ends, pipes: Pipes, changed: Callable[[], None]) -> None:
        self.wire = wire
        self.finished = False
        self.on_sent: Callable[[], None] | None = None
        self._connection = connection
        self._changed = changed
        self._pipes = pipes
        self._pipe: Pipe | None = None
        self._kept: deque[Data] = deque()
        self._ending: End | None = None
        wire.on_writable = self._writable

    @property
    def full(self) -> bool:
        return self._pipe is not None or bool(self._kept)

    @property
    def kept(self) -> int:
        """How many bytes wait for the receiver."""
        return sum(map(len, self._kept)) + (self._pipe.size if self._pipe else 0)

    def take(self, data: Data) -> None:
        if self.finished:
            return  # there is nobody left to tell
        if self.on_sent is not None:
            self.on_sent()
        if self._kept or self._pipe is not None:
            self._kept.append(bytes(data))
            return
        sent = self._send(data)
        if sent < len(data):
            self._kept.append(bytes(data[sent:]))
            self._wait()

    def take_pipe(self, pipe: Pipe) -> None:
        """Take what is in a pipe, and the pipe. Nothing is kept when this is called."""
        if self.finished:
            self._pipes.discard(pipe)
            return
        if self.on_sent is not None:
            self.on_sent()
        self._pipe = pipe
        if not self._empty_pipe() and not self.finished:
            self._wait()

    def end(self, how: End) -> None:
        if how is End.RESET:
            self._connection.close(reset=True)
        elif self._ending is not End.CLOSE:
            self._ending = how
            if not self.full:
                self._finish()

    def drop(self) -> None:
        """Forget what is kept: the peer is gone."""
        self._kept.clear()
        if self._pipe is not None:
            self._pipes.discard(self._pipe)
            self._pipe = None
        self.finished = True
        self.wire.want(WRITE, on=False)

    def _send(self, data: Data) -> int:
        try:
            return self.wire.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._connection.lost(self.wire, unread=True)
            return len(data)

    def _empty_pipe(self) -> bool:
        """Send what is in the pipe, if there is one; tell whether what is behind it may follow."""
        pipe = self._pipe
        if pipe is None:
            return True
        try:
            pipe.empty(self.wire.sock)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self._connection.lost(self.wire, unread=True)
            return False
        if not pipe.size:
            self._pipe = None
            self._pipes.give(pipe)
        return not pipe.size

    def _wait(self) -> None:
        self.wire.want(WRITE, on=True)
        self._changed()

    def _writable(self) -> None:
        if not self._empty_pipe():
            return
        while self._kept:
            data = self._kept[0]
            sent = self._send(data)
            if self.finished:
                return
            if sent < len(data):
                self._kept[0] = memoryview(data)[sent:]
                return
            self._kept.popleft()
        self.wire.want(WRITE, on=False)
        if self._ending is not None:
            self._finish()
        self._changed()

    def _finish(self) -> None:
        if self.finished:
            return
        self.finished = True
        if self._ending is End.CLOSE:
            self._connection.close()
        else:
            self._half_close()

    def _half_close(self) -> None:
        try:
            self.wire.sock.shutdown(1)
        except OSError:
            self._connection.lost(self.wire, unread=True)
        else:
            self._connection.half_closed()


class Flow:
    """One direction of a connection."""

    def __init__(self, source: Wire, sink: Wire, connection: Ends, pipes: Pipes, buffer: memoryview) -> None:
        self.source = source
        self.outlet = Outlet(sink, connection, pipes, self.balance)
        self.ended = False
        self.last_end = End.FIN
        self.on_read: Callable[[], None] | None = None
        self._connection = connection
        self._pipes = pipes
        self._buffer = buffer
        self._much = False
        self._stages: list[Stage] = []
        self._first: Taker = self.outlet
        source.on_readable = self._readable

    def add(self, stage: Stage) -> None:
        """Let data pass through one more stage, behind the others."""
        self._stages.append(stage)
        self._link()

    def remove(self, stage: Stage) -> None:
        """Let what a stage holds go on, and take it out."""
        if stage in self._stages:
            stage.release()
        if stage in self._stages:  # its release may have closed the connection
            self._stages.remove(stage)
            self._link()
            self.balance()

    def balance(self) -> None:
        """Read only while all that is held is within its bounds."""
        full = self.outlet.full or any(stage.full for stage in self._stages)
        self.source.want(READ, on=not (self.ended or full))

    def end(self, how: End) -> None:
        """Read no more; the end goes the way of the data."""
        if not self.ended:
            self.ended = True
            self.source.want(READ, on=False)
            self._first.end(how)

    def discard(self) -> None:
        """Drop all: the connection is gone."""
        self.ended = True
        for stage in self._stages:
            stage.discard()
        self._stages.clear()
        self._first = self.outlet
        self.outlet.drop()

    def _link(self) -> None:
        takers: list[Taker] = [*self._stages, self.outlet]
        for stage, following in zip(self._stages, takers[1:], strict=True):
            stage.following = following
        self._first = takers[0]

    def _readable(self) -> None:
        pipe = self._pipes.take() if self._much and not self._stages else None
        try:
            sock = self.source.sock
            size = pipe.fill(sock) if pipe is not None else sock.recv_into(self._buffer)
        except OSError as error:
            self._give_back(pipe)
            if not isinstance(error, (BlockingIOError, InterruptedError)):
                self._connection.lost(self.source, unread=False)
            return
        if not size:
            self._give_back(pipe)
            self.end(self.last_end)
            return
        self._much = size >= MUCH
        if self.on_read is not None:
            self.on_read()
        if pipe is not None:
            self.outlet.take_pipe(pipe)
        else:
            self._first.take(self._buffer[:size])
            if self._stages:
                self.balance()

    def _give_back(self, pipe: Pipe | None) -> None:
        if pipe is not None:
            self._pipes.give(pipe)
