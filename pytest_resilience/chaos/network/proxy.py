"""The proxy in front of an endpoint: doors for its clients, connections to the upstream, guests that act."""

import asyncio
import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import Protocol

from pytest_resilience.chaos.host.children import Child, stop_all
from pytest_resilience.chaos.host.program import remove_folder
from pytest_resilience.chaos.network.connections import Connection, Occasions
from pytest_resilience.chaos.network.dial import dial
from pytest_resilience.chaos.network.doorkeeper import Doorkeeper
from pytest_resilience.chaos.network.doors import TcpDoor, UnixDoor, listen_at, listen_on_one_port
from pytest_resilience.chaos.network.pipes import Pipes
from pytest_resilience.chaos.network.specs import ProxySpec
from pytest_resilience.chaos.network.wires import Poller, close
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.touched import Touched

BUFFER_BYTES = 256 * 1024
"""All connections that do not go through a pipe read into one buffer of this size."""

FOLDER_SECONDS = 0.5
"""Who keeps a folder removes it within this time."""

LONGEST_PATH = 90
"""Bytes of a Unix socket's path; the kernel takes a little more than a hundred."""


class Guest(Protocol):
    """What acts on a proxy's connections, or looks at them."""

    def admit(self, connection: Connection) -> bool:
        """Meet a new connection, or close it; tell whether it may have its upstream."""


class ProxyEffect:
    """Relays between clients and `spec.upstream`; an upstream that refuses shows as a reset connection."""

    def __init__(self, spec: ProxySpec) -> None:
        self.spec = spec
        self.connections: dict[Connection, None] = {}
        self.occasions = Occasions()
        self.guests: list[Guest] = []
        self._undo = contextlib.ExitStack()
        self._pipes = Pipes()
        self._keepers: list[Child] = []
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    async def start(self) -> Info:
        """Listen; return `host`, `port`, `port6` (0 without IPv6) and `path`. Raise OSError if it cannot."""
        self.loop = asyncio.get_running_loop()
        path = await self._make_folder() / "socket"
        ports = [self._own(sock) for sock in listen_on_one_port()]
        unix = self._own(listen_at(path))
        self._poller = Poller(self.loop)
        self._undo.callback(self._poller.close)
        self.doorkeeper = Doorkeeper(self._poller, self.occasions)
        self._undo.callback(self._pipes.close)
        self._undo.callback(self._close_connections)
        self._undo.callback(self.doorkeeper.close)
        for sock in ports:
            self.doorkeeper.add(TcpDoor(self._poller, sock, self._welcome))
        self.doorkeeper.add(UnixDoor(self._poller, unix, self._welcome, path))
        port = ports[0].getsockname()[1]
        return {"host": "127.0.0.1", "port": port, "port6": port if ports[1:] else 0, "path": str(path)}

    async def stop(self) -> None:
        """Close all doors and connections; doing it again changes nothing."""
        dialling = [one.dialling for one in self.connections if one.dialling is not None]
        self._undo.close()
        for keeper in self._keepers:
            await keeper.finish(FOLDER_SECONDS)
        await stop_all(self._keepers)
        if dialling:
            await asyncio.wait(dialling)

    def touched(self) -> Touched:
        """Say how many connections are open now; the proxy itself does nothing to them."""
        return Touched(reached=self.occasions.count, detail=f"{len(self.connections)} connections open")

    def _own(self, sock: socket.socket) -> socket.socket:
        self._undo.callback(sock.close)
        return sock

    async def _make_folder(self) -> Path:
        """Let a process of its own make a folder, and remove it if this one is killed.

        Its path must be short enough for a Unix socket.
        """
        parent = tempfile.gettempdir()
        if len(os.fsencode(parent)) > LONGEST_PATH - 40:
            parent = "/tmp"  # noqa: S108
        keeper = Child("folder", parent)
        self._keepers.append(keeper)
        folder = Path(await keeper.ready())
        self._undo.callback(remove_folder, folder)
        return folder

    def _close_connections(self) -> None:
        for connection in tuple(self.connections):
            connection.close()

    def _welcome(self, client: socket.socket) -> None:
        connection = Connection(self._poller, self._pipes, self._buffer, self.occasions)
        connection.client.plug(client)
        self.connections[connection] = None
        connection.on_closed = self._forget
        admitted = [guest.admit(connection) for guest in tuple(self.guests)]
        if all(admitted) and not connection.is_closed:
            connection.dialling = self.loop.create_task(self._connect(connection))

    async def _connect(self, connection: Connection) -> None:
        try:
            server = await dial(self.spec.upstream)
        except OSError:
            connection.dialling = None
            connection.close(reset=True)
            return
        if connection.is_closed:
            close(server, reset=True)
        else:
            connection.server.plug(server)
            connection.begin()

    def _forget(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
