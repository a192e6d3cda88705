"""Connecting to the upstream."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Any, TypeAlias

from pytest_resilience.chaos.network.wires import close
from pytest_resilience.endpoints import Endpoint

Addresses: TypeAlias = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]

FULL_SECONDS = 0.005
"""How long to wait before a Unix socket whose queue is full is tried again."""


async def dial(upstream: Endpoint) -> socket.socket:
    """Return a connection to the upstream, with the first of its addresses that accepts; raise OSError."""
    if upstream.path:
        return await _dial_unix(upstream.path)
    refused: OSError | None = None
    for family, _, _, _, address in await _resolve(upstream):
        try:
            return await _connect(family, address)
        except OSError as error:
            refused = error
    raise refused or OSError(f"{upstream} has no address")


async def _resolve(upstream: Endpoint) -> Addresses:
    """Look up a name in a thread; a number needs none."""
    host, port = upstream.host, upstream.port
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _connect(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    with contextlib.ExitStack() as undo:
        sock = socket.socket(family)
        undo.callback(close, sock, reset=True)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        undo.pop_all()
    return sock


async def _dial_unix(path: str) -> socket.socket:
    with contextlib.ExitStack() as undo:
        sock = socket.socket(socket.AF_UNIX)
        undo.callback(sock.close)
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:  # its queue is full
                await asyncio.sleep(FULL_SECONDS)
            else:
                break
        undo.pop_all()
    return sock
