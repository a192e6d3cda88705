"""Wires: the sockets of a proxy, and the poller that says which of them can be read or written.

The poller is a selector of its own inside the event loop. It keeps looking for a few microseconds after it
found something: a process that sleeps between a question and its answer adds tens of microseconds to both.
"""

import select
import selectors
import socket
import struct
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

READ = 1
WRITE = 4
_BROKEN = ~(READ | WRITE)
"""Events that nobody asks for: both reading and writing will tell what they are."""

LOOK_SECONDS = 30e-6
"""How long to look for more after something was found."""

MOST_IN_VAIN = 6
"""Looks in vain after which no more are left out than now: 63 of 64."""

TURN_SECONDS = 1e-3
"""After this long the event loop gets its turn, so that its timers are on time."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Events(Protocol):
    """What the kernel offers to wait for many sockets, in the form of epoll."""

    def fileno(self) -> int: ...
    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float, /) -> Sequence[tuple[int, int]]: ...
    def close(self) -> None: ...


class OtherEvents:
    """The form of epoll for systems that have something else (kqueue)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def fileno(self) -> int:
        return self._selector.fileno()

    def register(self, fd: int, eventmask: int, /) -> None:
        self._selector.register(fd, _TO_SELECTORS[eventmask])

    def modify(self, fd: int, eventmask: int, /) -> None:
        self._selector.modify(fd, _TO_SELECTORS[eventmask])

    def unregister(self, fd: int, /) -> None:
        self._selector.unregister(fd)

    def close(self) -> None:
        self._selector.close()

    def poll(self, timeout: float, /) -> Sequence[tuple[int, int]]:
        return [(key.fd, _FROM_SELECTORS[mask]) for key, mask in self._selector.select(timeout)]


_TO_SELECTORS = {READ: selectors.EVENT_READ, WRITE: selectors.EVENT_WRITE, READ | WRITE: 3}
_FROM_SELECTORS = {its: ours for ours, its in _TO_SELECTORS.items()}


def new_events() -> Events:
    """Return the fastest that there is here."""
    return select.epoll() if hasattr(select, "epoll") else OtherEvents()


class Poller:
    """Tells wires that they are ready."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._events = new_events()
        self._wires: dict[int, Wire] = {}
        self._closed = False
        self._in_vain = self._to_leave_out = 0
        loop.add_reader(self._events.fileno(), self._serve)

    def change(self, wire: "Wire", before: int, after: int) -> None:
        """Look for other things than before on a wire; 0 is nothing."""
        number = wire.sock.fileno()
        if not before:
            self._events.register(number, after)
            self._wires[number] = wire
        elif after:
            self._events.modify(number, after)
        else:
            del self._wires[number]
            self._events.unregister(number)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later, unless the poller is closed by then."""
        self._loop.call_later(seconds, self._act_unless_closed, act)

    def close(self) -> None:
        """Look no more; doing it again changes nothing."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._events.fileno())
            self._events.close()

    def _act_unless_closed(self, act: Callable[[], None]) -> None:
        if not self._closed:
            act()

    def _serve(self) -> None:
        """Serve what is ready, and look for more where that was worth it lately."""
        poll, wires = self._events.poll, self._wires
        ends = perf_counter() + TURN_SECONDS
        events = poll(0)
        while events:
            for number, event in events:
                if number in wires:  # it may have gone since this round began
                    wires[number].ready(event)
            now = perf_counter()
            if now > ends:
                return
            events = (len(events) > 1 and poll(0)) or self._look(now)

    def _look(self, now: float) -> Sequence[tuple[int, int]]:
        """Wait for more; each time in vain, the next looks are left out, twice as many as before."""
        if self._to_leave_out:
            self._to_leave_out -= 1
            return ()
        poll, ends = self._events.poll, now + LOOK_SECONDS
        while perf_counter() < ends:
            events = poll(0)
            if events:
                self._in_vain = 0
                return events
        self._in_vain = min(self._in_vain + 1, MOST_IN_VAIN)
        self._to_leave_out = (1 << self._in_vain) - 1
        return ()


class Wire:
    """A socket that does not block, known before it is there: until `plug` it remembers what is wanted."""

    __slots__ = ("_mask", "_plugged", "_poller", "on_readable", "on_writable", "sock")

    sock: socket.socket

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._mask = 0
        self._plugged = False
        self.on_readable: Callable[[], None] = _nothing
        self.on_writable: Callable[[], None] = _nothing

    def plug(self, sock: socket.socket) -> None:
        """Give the wire its socket."""
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX and sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._plugged = True
        if self._mask:
            self._poller.change(self, 0, self._mask)

    def want(self, event: int, on: bool) -> None:
        """Begin or end to look whether it can be read or written."""
        before = self._mask
        after = before | event if on else before & ~event
        if after != before:
            self._mask = after
            if self._plugged:
                self._poller.change(self, before, after)

    def ready(self, event: int) -> None:
        if event & _BROKEN:
            event = READ | WRITE
        if event & self._mask & WRITE:
            self.on_writable()
        if event & self._mask & READ:
            self.on_readable()

    def close(self, *, reset: bool = False) -> None:
        """Close the socket; a reset (RST) tells the peer at once and drops what it was not sent yet."""
        self.want(READ | WRITE, on=False)
        if self._plugged:
            self._plugged = False
            close(self.sock, reset=reset)


def close(sock: socket.socket, *, reset: bool) -> None:
    """Close a socket, with a reset (RST) if asked; a Unix socket knows none, its peer sees the end."""
    if reset and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    sock.close()


def _nothing() -> None:
    """Stand in for what is called when a wire is ready."""
