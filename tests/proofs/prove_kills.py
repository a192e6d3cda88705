"""Kill a test run that uses faults on every seam, or its supervisor, or both, and see when nothing is left.

Run: python tests/proofs/prove_kills.py [kills, default 100] [seed]
Each kill strikes a pytest run of its own at a random instant of starting, using and removing faults. Then no
process of it may live but for what was not killed, nothing may be stopped, listen, be mounted or lie around.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from interrupt_cases import Stage
from leftovers import children, listens, state, words

PROMISED_SECONDS = 2.0
MARGIN = 1.1

CONFTEST = """
import os
import pytest
from pytest_resilience import Service

def fetch(game):
    return game

@pytest.fixture(scope="session")
def resilience_services():
    return [
        Service("provider", calls=[fetch], errors=[ConnectionError], needs=["database"]),
        Service("database", endpoint=("127.0.0.1", int(os.environ["PROOF_PORT"]))),
        Service("worker", process=int(os.environ["PROOF_PID"])),
    ]

def pytest_runtest_setup():
    print("begin", flush=True)

def pytest_sessionfinish():
    print("end", flush=True)
"""
TESTS = """
import os, socket, time
from contextlib import ExitStack, suppress

def test_all(chaos, service_address, resilience_disk):
    address = service_address("database")
    print("listens at", address.port, flush=True)
    client = socket.create_connection((address.host, address.port))
    with client, ExitStack() as faults:
        def inject(*names, **parameters):
            faults.enter_context(chaos.inject(*names, must_fire=False, **parameters))
        (resilience_disk / "file").write_bytes(b"x")
        inject("process_pause", "worker")
        inject("latency_spike", "database", delay=0.001)
        inject("cpu_saturation", cores=1, load=0.2)
        inject("memory_pressure", size=2**20)
        inject("disk_full")
        inject("valuation_exception", "provider")
        client.sendall(b"hello")
        client.recv(5)
        inject("network_partition", "database")
        inject("resource_exhaustion", "host", spare=2)
        time.sleep(0.05)
"""
OPTIONS = (
    "-q",
    "-s",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:randomly",
    "-o",
    "resilience_max_concurrent_chaos=20",
)


class Run:
    """A pytest run under the eyes of the proof. A context manager: it is killed at the end at the latest."""

    def __init__(self, stage: Stage, project: Path) -> None:
        self._stage = stage
        environment = {
            **os.environ,
            "PROOF_PORT": str(stage.port),
            "PROOF_PID": str(stage.victim.pid),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *OPTIONS, str(project)],
            env=environment,
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self._said = self.process.stdout

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self._said.close()

    def wait_for(self, word: str) -> None:
        """Wait until it says a word."""
        said = ""
        while word not in said:
            said = self._said.readline()
            if not said:
                raise RuntimeError(f"The run ended before it said {word!r}.")

    def supervisor(self) -> int | None:
        """Wait until its supervisor lives; return the pid, or None if the run ended before."""
        while self.process.poll() is None:
            for pid in children(self.process.pid):
                if any(word.endswith("supervisor/__main__.py") for word in words(pid)):
                    return pid
            time.sleep(0.001)
        return None

    def ports(self) -> list[int]:
        """Return what it said that it listens at, once it is dead."""
        lines = [line.split() for line in self._said.read().splitlines() if line.startswith("listens at")]
        return [int(line[-1]) for line in lines]

    def left(self) -> list[str]:
        """Say what of it acts now: its processes, the process it stopped, mounts and files."""
        stopped = ["stopped process"] if state(self._stage.victim.pid) == "T" else []
        folder = str(self._stage.folder)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        files = [f"file {path.name}" for path in self._stage.folder.iterdir()]
        mounted = [f"mount {path}" for path in mounts if path.startswith(folder)]
        return [*stopped, *mounted, *files, *self._processes()]

    def _processes(self) -> Iterator[str]:
        """Yield all processes that inherited the folder for temporary files, wherever they hang now."""
        mark = f"TMPDIR={self._stage.folder}".encode()
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            if pid != self.process.pid and pid not in self._stage.own and mark in _environment(pid):
                yield f"process {' '.join(words(pid)[3:])}"


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def kill_tests(run: Run) -> bool:
    """Return whether it was there to be killed, as all these do."""
    alive = run.process.poll() is None
    run.process.kill()
    return alive


def kill_supervisor(run: Run) -> bool:
    """Nobody helps: the test process stands still."""
    supervisor = run.supervisor()
    run.process.send_signal(signal.SIGSTOP)
    return _kill(supervisor)


def kill_supervisor_and_go_on(run: Run) -> bool:
    """The test process goes on, may start another supervisor, and ends by itself."""
    killed = _kill(run.supervisor())
    run.process.wait()
    return killed


def kill_both(run: Run) -> bool:
    supervisor = run.supervisor()
    run.process.kill()
    return _kill(supervisor)


def _kill(pid: int | None) -> bool:
    """Kill a process, unless it ended by itself meanwhile."""
    try:
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return pid is not None


WAYS: dict[str, Callable[[Run], bool]] = {
    "the test process": kill_tests,
    "the supervisor, the test process stands still": kill_supervisor,
    "the supervisor, the test process goes on": kill_supervisor_and_go_on,
    "both at once": kill_both,
}


@dataclass(slots=True)
class Row:
    """What was counted of one way to kill."""

    kills: int = 0
    acting: int = 0
    left: int = 0
    worst: float = 0.0
    what: list[str] = field(default_factory=list)


@contextmanager
def project() -> Iterator[Path]:
    """Write the tests that use all faults."""
    with tempfile.TemporaryDirectory(prefix="resilience-kills-") as folder:
        Path(folder, "conftest.py").write_text(CONFTEST)
        Path(folder, "test_all.py").write_text(TESTS)
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        yield Path(folder)


def seconds_of(stage: Stage, folder: Path) -> float:
    """Measure how long a run uses faults that nobody kills; it must succeed."""
    with Run(stage, folder) as run:
        run.wait_for("begin")
        started = time.monotonic()
        run.wait_for("end")
        lasted = time.monotonic() - started
        if run.process.wait():
            raise RuntimeError(f"The tests of the proof fail where nothing is killed: {folder}")
    return lasted


def strike(stage: Stage, folder: Path, way: Callable[[Run], bool], delay: float, row: Row) -> None:
    """Kill once, and count, unless the run is over before."""
    with Run(stage, folder) as run:
        run.wait_for("begin")
        time.sleep(delay)
        acting = bool(run.left())
        if not way(run):
            return
        began = time.monotonic()
        left = gone_within(PROMISED_SECONDS, run.left)
        row.worst = max(row.worst, time.monotonic() - began)
        run.process.kill()
        run.process.wait()
        left += gone_within(PROMISED_SECONDS, run.left)
        left += [f"port {port}" for port in run.ports() if listens(port)]
    row.kills += 1
    row.acting += acting
    row.left += bool(left)
    row.what += left


def gone_within(seconds: float, look: Callable[[], list[str]]) -> list[str]:
    """Return what is left after so many seconds; at once if there is nothing."""
    deadline = time.monotonic() + seconds
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return left


def main(wanted: int = 100, seed: int = 1) -> int:
    """Print what was killed and what was left; return 1 if anything was."""
    rng, rows = random.Random(seed), {name: Row() for name in WAYS}
    with project() as folder, Stage() as stage:
        lasts = max(seconds_of(stage, folder) for _ in range(3))
        for number in range(wanted):
            name = list(WAYS)[number % len(WAYS)]
            while rows[name].kills <= number // len(WAYS):
                strike(stage, folder, WAYS[name], rng.uniform(0, MARGIN * lasts), rows[name])
    print(
        f"{wanted} kills, Python {sys.version.split()[0]}, seed {seed}; a run uses faults for {lasts:.2f} s"
    )
    print("| killed | kills | while something acted | left after 2 s | all gone after at most, s |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row.kills} | {row.acting} | {row.left} | {row.worst:.2f} |")
        for what in row.what:
            print(f"    left: {what}")
    return 1 if any(row.left for row in rows.values()) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with all processes of the stage
    sys.exit(main(*map(int, sys.argv[1:])))
