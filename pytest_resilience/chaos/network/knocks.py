"""Knocks: how many clients asked for a connection while the door refused or ignored them.

The kernel answers such a client, or drops its question, by itself. Who may open packet sockets (CAP_NET_RAW:
root, most containers) sees each question. Others see those that are ignored: the kernel counts for a socket
what it dropped, and lists who waits. Of refused ones it tells them how many there were on the whole machine.
Nobody sees those of Unix sockets.
"""

import ctypes
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from pytest_resilience.chaos.network.doors import SO_ATTACH_FILTER, TcpDoor
from pytest_resilience.chaos.network.wires import READ, Poller, Wire

INVISIBLE = "refused attempts cannot be seen without CAP_NET_RAW"
MACHINE_WIDE = "at most: without CAP_NET_RAW, all that were refused on this machine count"
INVISIBLE_BY_PATH = "attempts at the Unix socket cannot be seen"

LOOK_SECONDS = 0.05
"""How often to look for clients that wait."""

REMEMBERED = 4096
"""Questions that are known if they come again."""

_IPV4, _IPV6 = 0x0800, 0x86DD
_SYN_SENT = "02"

_LOAD_BYTE, _LOAD_HALF, _LOAD_HALF_AT_X, _LOAD_BYTE_AT_X = 0x30, 0x28, 0x48, 0x50
_X_IS_HEADER_LENGTH, _AND, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0xB1, 0x54, 0x15, 0x45, 0x06
_TCP, _SYN, _SYN_AND_ACK = 6, 0x02, 0x12

Step = tuple[int, int, int, int]
"""A step of a filter program: code, steps to skip if true and if false, value."""


def _questions_by_ipv4(port: int) -> Sequence[Step]:
    """A filter for the first segments of connections to a port."""
    return (
        (_LOAD_BYTE, 0, 0, 9),
        (_IF_EQUAL, 0, 9, _TCP),
        (_LOAD_HALF, 0, 0, 6),
        (_IF_ANY_BIT, 7, 0, 0x1FFF),  # a later fragment
        (_X_IS_HEADER_LENGTH, 0, 0, 0),
        (_LOAD_HALF_AT_X, 0, 0, 2),
        (_IF_EQUAL, 0, 4, port),
        (_LOAD_BYTE_AT_X, 0, 0, 13),
        (_AND, 0, 0, _SYN_AND_ACK),
        (_IF_EQUAL, 0, 1, _SYN),
        (_RETURN, 0, 0, 64),
        (_RETURN, 0, 0, 0),
    )


def _questions_by_ipv6(port: int) -> Sequence[Step]:
    return (
        (_LOAD_BYTE, 0, 0, 6),
        (_IF_EQUAL, 0, 6, _TCP),
        (_LOAD_HALF, 0, 0, 42),
        (_IF_EQUAL, 0, 4, port),
        (_LOAD_BYTE, 0, 0, 53),
        (_AND, 0, 0, _SYN_AND_ACK),
        (_IF_EQUAL, 0, 1, _SYN),
        (_RETURN, 0, 0, 64),
        (_RETURN, 0, 0, 0),
    )


class Listener:
    """Sees each question to a port of the loopback device, in the packets themselves."""

    def __init__(self, poller: Poller, port: int, found: Callable[[int], None]) -> None:
        """Raise PermissionError where that is not allowed, and other OSErrors where it is not possible."""
        self._found = found
        self._known: dict[bytes, None] = {}
        self._undo = ExitStack()
        with ExitStack() as undo:
            self._wires = [
                self._listen(poller, protocol, filter_, undo)
                for protocol, filter_ in (
                    (_IPV4, _questions_by_ipv4(port)),
                    (_IPV6, _questions_by_ipv6(port)),
                )
            ]
            self._undo = undo.pop_all()

    def look(self) -> None:
        """Count all questions until now."""
        for wire in self._wires:
            with suppress(BlockingIOError):
                while True:
                    self._see(wire.sock.recv(128))

    def close(self) -> None:
        self._undo.close()

    def _listen(self, poller: Poller, protocol: int, steps: Sequence[Step], undo: ExitStack) -> Wire:
        sock = undo.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0))
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
        program = struct.pack("HP", len(steps), ctypes.addressof(code))
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        sock.bind(("lo", protocol))
        wire = Wire(poller)
        undo.callback(wire.close)
        wire.on_readable = self.look
        wire.plug(sock)
        wire.want(READ, on=True)
        return wire

    def _see(self, packet: bytes) -> None:
        if packet[0] >> 4 == 4:
            start, client, server = 4 * (packet[0] & 15), packet[12:16], packet[16:20]
        else:
            start, client, server = 40, packet[8:24], packet[24:40]
        key = client + packet[start : start + 2] + packet[start + 4 : start + 8]  # and its first number
        if key in self._known or server not in _OURS:
            return
        self._known[key] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        self._found(1)


_OURS = (socket.inet_pton(socket.AF_INET, "127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1"))


class Lookout(ABC):
    """Looks every LOOK_SECONDS at what the kernel tells everybody."""

    def __init__(self, poller: Poller, found: Callable[[int], None]) -> None:
        self._poller, self._found = poller, found
        self._closed = False
        self._look_again()

    @abstractmethod
    def look(self) -> None:
        """Count all clients until now."""

    def close(self) -> None:
        self._closed = True

    def _look_again(self) -> None:
        if not self._closed:
            self.look()
            self._poller.later(LOOK_SECONDS, self._look_again)


class Estimate(Lookout):
    """Counts the clients that wait; rather too few than too many."""

    def __init__(self, poller: Poller, doors: Sequence[TcpDoor], found: Callable[[int], None]) -> None:
        self._doors = doors
        self._asked: dict[str, int] = {}
        self._gone: set[str] = set()
        self._dropped = self._counted = 0
        super().__init__(poller, found)

    def look(self) -> None:
        """Count all clients until now.

        Each question that was dropped is the first of a client or a repetition. Who still waits is listed
        with its repetitions; who is gone may have repeated once more; the rest came and went meanwhile.
        """
        dropped = sum(door.ignored for door in self._doors)
        if dropped == self._dropped:
            return
        self._dropped = dropped
        waiting = {client: times for door in self._doors for client, times in waiting_for(door.port)}
        self._asked |= waiting
        self._gone |= self._asked.keys() - waiting.keys()
        known = sum(1 + times for times in self._asked.values()) + len(self._gone)
        clients = len(self._asked) + max(0, dropped - known)
        if clients > self._counted:
            self._found(clients - self._counted)
            self._counted = clients


class Refusals(Lookout):
    """Counts the attempts that failed on the whole machine: those at our doors are among them.

    Where it counts nothing, nobody was refused.
    """

    def __init__(self, poller: Poller, found: Callable[[int], None]) -> None:
        """Raise OSError where the kernel does not tell."""
        self._counted = failed_attempts()
        super().__init__(poller, found)

    def look(self) -> None:
        failed = failed_attempts()
        if failed > self._counted:
            self._found(failed - self._counted)
            self._counted = failed


def failed_attempts() -> int:
    """Return how many TCP connections of this machine (its network namespace) failed before they were made.

    See RFC 4022, tcpAttemptFails. Raise OSError where the kernel does not tell.
    """
    lines = Path("/proc/net/snmp").read_text("ascii").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("AttemptFails")])


def waiting_for(port: int) -> Iterator[tuple[str, int]]:
    """Yield who waits for a connection to a port of this machine, and how often each has asked again."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError), Path(table).open(encoding="ascii") as lines:
            for line in lines:
                _, local, remote, state, _, _, repeated, *_ = line.split()
                if state == _SYN_SENT and remote.endswith(f":{port:04X}"):
                    yield local, int(repeated, 16)
