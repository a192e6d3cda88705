"""What is interrupted at random instants: every seam that faults act on, and what must be left of it."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.outside import Outside
from pytest_resilience.chaos.triggers import every, nth
from pytest_resilience.services import Service
from pytest_resilience.units import MIB

ECHO = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def echo(client):
    with client:
        try:
            while data := client.recv(4096):
                client.sendall(data)
        except OSError:
            pass
while True:
    threading.Thread(target=echo, args=server.accept()[:1], daemon=True).start()
"""
FUSE_SECONDS = 0.05
"""An interrupt may be swallowed, as in a finalizer: then the round ends so long after its instant."""


def fetch(game: str) -> str:
    return game


class Client:
    def fetch(self, game: str) -> str:
        return game

    async def fetch_async(self, game: str) -> str:
        return game


class Stage:
    """Services with every seam, and an engine on them. A context manager: afterwards all of it is gone.

    Its temporary files are in a folder of their own, so that nobody else's are mistaken for ours.
    """

    def __init__(self) -> None:
        self._undo = ExitStack()
        self.folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="resilience-stage-")))
        self._undo.enter_context(_temporary_files_in(self.folder))
        echo = self._process(sys.executable, "-I", "-S", "-c", ECHO)
        assert echo.stdout is not None
        self.victim = self._process("sleep", "3600")
        self.own = (echo.pid, self.victim.pid)
        self.port = int(echo.stdout.readline())
        self.services = _services(self.port, self.victim.pid)
        self._seeds = itertools.count(1)
        self.outside = Outside()
        self.chaos = self._engine()

    def renew(self) -> None:
        """Close the engine, and begin anew with nothing outside."""
        self.chaos.close()
        self.outside = Outside()
        self.chaos = self._engine()

    def reseed(self) -> None:
        """Take a new engine, as each test does, with the same outside."""
        self.chaos = self._engine()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._undo:
            self.chaos.close()

    def _engine(self) -> Chaos:
        return Chaos(self.services, seed=next(self._seeds), outside=self.outside)

    def _process(self, *command: str) -> "subprocess.Popen[bytes]":
        process = self._undo.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        self._undo.callback(process.kill)
        return process


def _services(port: int, pid: int) -> list[Service]:
    calls: list[Callable[..., object]] = [fetch, Client.fetch, Client.fetch_async]
    return [
        Service("provider", calls=calls, errors=[ConnectionError], timeout=1.0, needs=["database"]),
        Service("clock", calls=["time:sleep"], errors=[OSError]),
        Service("database", endpoint=("127.0.0.1", port)),
        Service("worker", process=pid),
    ]


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        os.environ.pop("TMPDIR")
        if before[0] is not None:
            os.environ["TMPDIR"] = before[0]
        tempfile.tempdir = before[1]


def nested(stage: Stage) -> None:
    with (
        stage.chaos.inject("latency_spike", "provider", delay=0.001, trigger=nth(999)),
        stage.chaos.inject("valuation_exception", "provider", trigger=nth(999)),
    ):
        fetch("game")


def crossed(stage: Stage) -> None:
    one = stage.chaos.inject("latency_spike", "provider", delay=0.001, trigger=nth(999))
    other = stage.chaos.inject("provider_timeout", "provider", trigger=every(999))
    one.remove()
    other.remove()


def native(stage: Stage) -> None:
    with stage.chaos.inject("valuation_exception", "clock", trigger=nth(999)):
        pass


def timed(stage: Stage) -> None:
    with stage.chaos.inject("valuation_exception", "provider", trigger=nth(999), duration=0.0001):
        pass


def scoped(stage: Stage) -> None:
    with (
        stage.chaos.inject("latency_spike", "provider", delay=0.0001, scope="task"),
        stage.chaos.inject("lost_acknowledgement", "provider", scope="task", trigger=nth(999)),
    ):
        fetch("game")


def watched(stage: Stage) -> None:
    with stage.chaos.watch(), stage.chaos.inject("intermittent_errors", "provider", trigger=nth(999)):
        fetch("game")


def toxics(stage: Stage) -> None:
    with connected(stage) as client:
        with (
            stage.chaos.inject("latency_spike", "database", delay=0.0005),
            stage.chaos.inject("packet_slicing", "database"),
        ):
            say(client)
        with stage.chaos.inject("network_partition", "database"), suppress(OSError):
            say(client)


@contextmanager
def connected(stage: Stage) -> Iterator[socket.socket]:
    """Connect to the database through its proxy."""
    address = stage.chaos.address("database")
    with socket.create_connection((address.host, address.port), timeout=2) as client:
        yield client


def say(client: socket.socket) -> None:
    client.sendall(b"hello")
    client.recv(5)


def watched_traffic(stage: Stage) -> None:
    with connected(stage) as client, stage.chaos.watch():
        say(client)


def paused(stage: Stage) -> None:
    with stage.chaos.inject("process_pause", "worker"):
        pass


def saturated(stage: Stage) -> None:
    with stage.chaos.inject("cpu_saturation", cores=1, load=0.1):
        pass


def pressed(stage: Stage) -> None:
    with stage.chaos.inject("memory_pressure", size=MIB):
        pass


def out_of_descriptors(stage: Stage) -> None:
    with stage.chaos.inject("resource_exhaustion", "host", spare=2):
        pass


def full_disk(stage: Stage) -> None:
    with stage.chaos.inject("resource_exhaustion", "host", resource="disk"):
        pass


def cascading(stage: Stage) -> None:
    with stage.chaos.inject("cascading_failure", "database", delay=0.0005):
        time.sleep(0.001)


def first_address(stage: Stage) -> None:
    stage.chaos.address("database")


def first_disk(stage: Stage) -> None:
    stage.chaos.disk()


def use_all(stage: Stage) -> None:
    stage.chaos.address("database")
    stage.chaos.disk()
    stage.chaos.inject("process_pause", "worker")
    stage.chaos.inject("latency_spike", "database", delay=0.001)
    stage.chaos.inject("valuation_exception", "provider", trigger=nth(999))


def closed(stage: Stage) -> None:
    stage.chaos.close()


def nothing(stage: Stage) -> None:
    """Prepare nothing."""


Use = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A way to use the engine; `once` needs an outside of its own, made ready by `prepare`."""

    seam: str
    use: Use
    once: bool = False
    prepare: Use = nothing


CALLS = tuple(Case("calls", use) for use in (nested, crossed, native, timed, scoped, watched))
QUICK = (
    Case("endpoint: toxics", toxics),
    Case("endpoint: watch", watched_traffic),
    Case("host: descriptors", out_of_descriptors),
    Case("host: full disk", full_disk),
    Case("topology: cascade", cascading),
)
SLOW = (
    Case("process: pause", paused),
    Case("host: processor", saturated),
    Case("host: memory", pressed),
    Case("first address", first_address, once=True),
    Case("first disk", first_disk, once=True),
    Case("close", closed, once=True, prepare=use_all),
)


def seconds_of(case: Case, stage: Stage, times: int = 5) -> float:
    """Measure how long a case takes: the median of some times, but for the first one, which starts more."""
    return median([_timed(case, stage) for _ in range(1 + times)][1:])


def _timed(case: Case, stage: Stage) -> float:
    ready(case, stage)
    started = time.perf_counter()
    case.use(stage)
    return time.perf_counter() - started


def ready(case: Case, stage: Stage) -> None:
    """Make ready what the case needs."""
    if case.once:
        stage.renew()
        case.prepare(stage)


def interrupt(case: Case, stage: Stage, delay: float) -> KeyboardInterrupt | None:
    """Let a signal strike `delay` seconds into uses of the case; return what it raised."""
    try:
        _use(case, stage, delay)
    except KeyboardInterrupt as struck:
        return struck
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def _use(case: Case, stage: Stage, delay: float) -> None:
    deadline = time.monotonic() + delay + FUSE_SECONDS
    signal.setitimer(signal.ITIMER_REAL, delay)
    while time.monotonic() < deadline:
        case.use(stage)
        if case.once:
            break


def instant(rng: random.Random, longest: float) -> float:
    """Draw when to interrupt."""
    return rng.uniform(0.000_001, longest)
