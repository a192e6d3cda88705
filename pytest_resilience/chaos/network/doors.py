"""Doors: where clients knock. A door is open, refuses, or ignores who knocks, and always keeps its place."""

import contextlib
import ctypes
import errno
import socket
import struct
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_resilience.chaos.network.wires import READ, Poller, Wire

Mode: TypeAlias = Literal["open", "refusing", "ignoring"]

WAITING = 4096
"""Clients that may wait to be accepted."""

CAN_TURN_AWAY = sys.platform == "linux"
"""Elsewhere a door lets everybody in; who is to be turned away is cut off then."""

ACCEPTS_AT_ONCE = 128
"""Then others have their turn."""

REST_SECONDS = 0.1

TRIES = 100
"""To find a port that is free on all addresses."""

_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # the filter program "return 0 bytes"
SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_SO_MEMINFO = 55
_DROPS = struct.Struct("9I")  # the last one of its nine numbers


class Door(ABC):
    """A listening socket."""

    def __init__(self, poller: Poller, sock: socket.socket, welcome: Callable[[socket.socket], None]) -> None:
        self.mode: Mode = "open"
        self._poller = poller
        self._welcome = welcome
        self._sock = sock
        self._watch()

    def turn(self, mode: Mode) -> None:
        """Change what happens to those who knock; who got in before is let in."""
        if mode == self.mode:
            return
        self.accept_waiting()
        if self.mode != "open":
            self._open()
            self.mode = "open"
        if mode == "refusing":
            self._refuse()
        elif mode == "ignoring":
            self._ignore()
        self.mode = mode

    def accept_waiting(self) -> None:
        """Let in all who wait."""
        while self.mode == "open" and self._accept():
            pass

    def close(self) -> None:
        self._wire.close()

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _refuse(self) -> None: ...

    @abstractmethod
    def _ignore(self) -> None: ...

    def _is_client(self, address: object) -> bool:
        return True

    def _watch(self) -> None:
        self._wire = Wire(self._poller)
        self._wire.on_readable = self._accept_some
        self._wire.plug(self._sock)
        self._wire.want(READ, on=True)

    def _accept_some(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if not self._accept():
                break

    def _accept(self) -> bool:
        """Let one in; tell whether there may be more."""
        try:
            client, address = self._sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError:  # out of descriptors
            self._rest()
            return False
        if self._is_client(address):
            self._welcome(client)
        else:
            client.close()
        return True

    def _rest(self) -> None:
        """Try again when there may be descriptors; who waits stays ready, and would be tried without end."""
        self._wire.want(READ, on=False)
        self._poller.later(REST_SECONDS, self._try_again)

    def _try_again(self) -> None:
        if self.mode == "open":
            self._wire.want(READ, on=True)


class TcpDoor(Door):
    """A port. It stays ours while it refuses: the socket keeps the port, and merely does not listen."""

    _dropped_before = 0

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    @property
    def ignored(self) -> int:
        """How many questions of clients it dropped since it ignores them; each repetition counts."""
        return self._dropped() - self._dropped_before

    def _open(self) -> None:
        if self.mode == "ignoring":
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        else:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.listen(WAITING)
            self._wire.want(READ, on=True)

    def _refuse(self) -> None:
        self._wire.want(READ, on=False)
        self._sock.shutdown(socket.SHUT_RD)  # Linux: it leaves the state LISTEN and keeps the port
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # nobody may share it meanwhile

    def _ignore(self) -> None:
        self._dropped_before = self._dropped()
        program = ctypes.create_string_buffer(_DROP_ALL)
        filter_all = struct.pack("HP", 1, ctypes.addressof(program))
        self._sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_all)

    def _dropped(self) -> int:
        info = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.size)
        return int(_DROPS.unpack(info)[-1])


class UnixDoor(Door):
    """A socket in the file system. A new one takes the path over after it refused."""

    def __init__(
        self, poller: Poller, sock: socket.socket, welcome: Callable[[socket.socket], None], path: Path
    ) -> None:
        self._path = path
        self._stopper: socket.socket | None = None
        super().__init__(poller, sock, welcome)

    def close(self) -> None:
        super().close()
        self._remove_stopper()

    def _open(self) -> None:
        if self.mode == "ignoring":
            self._remove_stopper()
            self._sock.listen(WAITING)
            self._wire.want(READ, on=True)
            return
        beside = self._path.with_suffix(".new")
        self._sock = listen_at(beside)
        beside.rename(self._path)
        self._watch()

    def _refuse(self) -> None:
        self._wire.close()

    def _ignore(self) -> None:
        """Let a client of our own fill the queue, which has one place."""
        self._wire.want(READ, on=False)
        self._sock.listen(0)
        self._stopper = socket.socket(socket.AF_UNIX)
        self._stopper.setblocking(False)
        self._stopper.bind(str(self._stopper_path))
        with contextlib.suppress(BlockingIOError):  # a client was faster: the queue is full too
            self._stopper.connect(str(self._path))

    def _is_client(self, address: object) -> bool:
        return address != str(self._stopper_path)

    @property
    def _stopper_path(self) -> Path:
        return self._path.with_suffix(".stop")

    def _remove_stopper(self) -> None:
        if self._stopper is not None:
            self._stopper.close()
            self._stopper = None
            self._stopper_path.unlink(missing_ok=True)


def listen_at(path: Path) -> socket.socket:
    """Return a Unix socket that listens at a path."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
        sock.listen(WAITING)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_on_one_port() -> list[socket.socket]:
    """Return sockets that listen on one free port: of 127.0.0.1 and, where there is IPv6, of ::1."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(OSError):
            return _listen_on_both()
    return _listen_on_both()


def _listen_on_both() -> list[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with contextlib.ExitStack() as undo:
        sockets = [undo.enter_context(_listen(socket.AF_INET, ("127.0.0.1", port)))]
        try:
            sockets.append(_listen(socket.AF_INET6, ("::1", port)))
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
        undo.pop_all()
    return sockets


def _listen(family: int, address: tuple[str, int]) -> socket.socket:
    """Listen on a port that is given: only then does a socket keep it while it refuses."""
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(WAITING)
    except BaseException:
        sock.close()
        raise
    return sock
