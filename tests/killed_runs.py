"""Soaks that use faults on every seam, killed with SIGKILL at any instant, and what must be true then.

Each process of a run may be one of several: a controller and its workers, each with a supervisor of its own.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from interrupt_cases import Stage
from leftovers import children, listens, state, words

from pytest_resilience.errors import StoreError
from pytest_resilience.store.layout import newest_first
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

SOON_SECONDS, POLL_SECONDS = 2.0, 0.05
WORKERS_SECONDS = 10.0
"""Within this, and what is soon, workers whose controller was killed have ended."""
MOST_LOST_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
LASTS = 6.0
"""Seconds that a run was asked to last."""

CONFTEST = """
import os
import pathlib
import pytest
from pytest_resilience import Service

def fetch(game):
    return game

@pytest.fixture(scope="session")
def resilience_services():
    return [
        Service("provider", calls=[fetch], errors=[ConnectionError], timeout=0.2, needs=["database"]),
        Service("database", endpoint=("127.0.0.1", int(os.environ["PROOF_PORT"]))),
        Service("worker", process=int(os.environ["PROOF_PID"])),
    ]

@pytest.fixture(scope="session")
def database(service_address):
    address = service_address("database")
    with pathlib.Path("ports").open("a") as ports:
        ports.write(f"{address.port}\\n")
    return address.host, address.port
"""
TESTS = """
import socket
import pytest
import conftest

@pytest.mark.soak
def test_provider():
    try:
        conftest.fetch("game-1")
    except OSError:
        pass

@pytest.mark.soak
def test_database(database):
    try:
        with socket.create_connection(database, timeout=0.3) as client:
            client.settimeout(0.3)
            client.sendall(b"hello")
            client.recv(5)
    except OSError:
        pass
"""
INI = """[pytest]
pythonpath = .
addopts = -p no:cacheprovider -p no:randomly
soak_phases =
    BASELINE_ESTABLISHMENT = 500ms
    CHAOS_INJECTION = 4200ms
    RECOVERY_VALIDATION = 300ms
resilience_scenarios =
    not memory_pressure
    not resource_exhaustion
"""


@dataclass
class Tally:
    """What was counted of many kills."""

    kills: int = 0
    of_workers: int = 0
    under_faults: int = 0
    before_a_record: int = 0
    after_the_end: int = 0
    opened: int = 0
    resumed: int = 0
    resumed_otherwise: int = 0
    completed: int = 0
    most_lost: float = 0.0
    wrong: list[str] = field(default_factory=list)


def write_project(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_all.py").write_text(TESTS)
    (folder / "pytest.ini").write_text(INI)


class KilledRun:
    """A run in a folder of its own, with the services of `stage`, begun and resumed as often as it takes.

    Each time by the same command line, in so many `workers` or, with 0, in one process.
    """

    def __init__(self, stage: Stage, folder: Path, tally: Tally) -> None:
        self._stage, self._folder, self._tally = stage, folder, tally
        write_project(folder)

    def strike(self, way: "Way", delay: float, workers: int = 0, *, of_loop: bool = True) -> bool:
        """Begin the run, or go on with it, and kill `delay` seconds later; tell whether it is over.

        The delay begins when this attempt has a record or, not `of_loop`, when its process is started.
        """
        attempts = self._attempts()
        with self._started(workers) as process:
            while of_loop and process.poll() is None and self._attempts() <= attempts:
                time.sleep(POLL_SECONDS)
            try:
                process.communicate(timeout=delay)
            except subprocess.TimeoutExpired:
                helpers = (pid for pid in self._processes() if not _is_worker(pid))
                faults = any(True for _ in helpers) or self._is_stopped()
                killed_at = datetime.now(UTC)
                way(process)
                process.wait()
                self._tally.kills += 1
                self._tally.of_workers += workers > 0
                self._tally.under_faults += faults
                left_alone = workers > 0 and way is not kill_all_tests and way is not kill_all
                self._inspect(killed_at, attempts, WORKERS_SECONDS if left_alone else 0.0)
            else:
                self._tally.after_the_end += 1
        return self.is_over()

    def finish(self, workers: int = 0) -> None:
        """Let the run go on to its end; count what is wrong with that."""
        before = self._data()
        begun = before is not None
        with self._started(workers) as process:
            output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        data = self._data()
        self._tally.resumed += begun
        self._tally.resumed_otherwise += begun and bool(before and before.workers) is not workers > 0
        self._tally.completed += begun and data is not None and data.run.status == "complete"
        if process.returncode not in (0, 1) or data is None or data.run.status != "complete":
            self._complain(f"exit code {process.returncode}, {data and data.run.status}:\n{output[-2000:]}")
        self._look_for_leftovers()

    def _attempts(self) -> int:
        data = self._data()
        return len(data.attempts) if data else 0

    def is_over(self) -> bool:
        data = self._data()
        return data is not None and data.run.status == "complete"

    def _started(self, workers: int) -> "subprocess.Popen[str]":
        arguments = [
            *(f"--soak-duration={LASTS}s", "--soak-resume=auto"),
            *(f"-n{workers}", f"--basetemp={self._folder / 'tmp'}"),
        ]
        environment = {
            **os.environ,
            "PROOF_PORT": str(self._stage.port),
            "PROOF_PID": str(self._stage.victim.pid),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _inspect(self, killed_at: datetime, attempts: int, workers_seconds: float) -> None:
        self._look_for_leftovers(workers_seconds)
        data = self._data()
        if data is None:
            self._tally.before_a_record += 1
            return
        self._tally.opened += 1
        with closing(sqlite3.connect(newest_first(self._folder / ".resilience")[0].database)) as connection:
            (intact,) = connection.execute("PRAGMA integrity_check").fetchone()
        if intact != "ok":
            self._complain(f"the file is damaged: {intact}")
        if len(data.attempts) > attempts:  # else it was killed before it had opened the record
            self._tally.most_lost = max(self._tally.most_lost, self._lost(data, killed_at))

    def _lost(self, data: RunData, killed_at: datetime) -> float:
        """Return the seconds from the last sign of life to the kill; 0 where no test was looped then."""
        looping = any(
            one.status == "running" and one.name not in ("FINAL_ANALYSIS", "CLEANUP") for one in data.phases
        )
        last = max(data.attempts, key=lambda attempt: attempt.number)
        if not looping or last.alive_at == last.began:
            return 0.0
        alive = datetime.fromisoformat(last.started_utc).timestamp() + data.last_sign - last.began
        return max(0.0, killed_at.timestamp() - alive)

    def _data(self) -> RunData | None:
        """Return the record; None if there is none yet. One that cannot be read is wrong."""
        folders = newest_first(self._folder / ".resilience")
        if not folders or not folders[0].database.exists():
            return None
        try:
            return read(folders[0].database)
        except StoreError as reason:
            if "no run in it" not in str(reason):
                self._complain(str(reason))
            return None

    def _look_for_leftovers(self, workers_seconds: float = 0.0) -> None:
        """Count what is left; workers that may live on for a while, and what they hold, have that time."""
        deadline = time.monotonic() + workers_seconds + SOON_SECONDS
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.01)
        for what in left:
            self._complain(f"left: {what}")

    def _left(self) -> list[str]:
        folder = str(self._stage.folder)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        ports = self._folder / "ports"
        known = ports.read_text().split() if ports.exists() else []
        return [
            *(["a stopped process"] if self._is_stopped() else []),
            *(f"mount {path}" for path in mounts if path.startswith(folder)),
            *(f"file {path.name}" for path in self._stage.folder.iterdir()),
            *(f"process {' '.join(words(pid)[3:])}" for pid in self._processes()),
            *(f"proxy at {port}" for port in known if listens(int(port))),
        ]

    def _is_stopped(self) -> bool:
        return state(self._stage.victim.pid) == "T"

    def _processes(self) -> Iterator[int]:
        """Yield the processes that a test run has started, wherever they hang now."""
        mark = f"TMPDIR={self._stage.folder}".encode()
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            if pid not in self._stage.own and "pytest" not in words(pid) and mark in _environment(pid):
                yield pid

    def _complain(self, what: str) -> None:
        self._tally.wrong.append(f"{self._folder.name}: {what}")


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


Way = Callable[["subprocess.Popen[str]"], None]


def kill_tests(process: "subprocess.Popen[str]") -> None:
    """The process that was started; its workers notice, if it has some."""
    process.kill()


def kill_all_tests(process: "subprocess.Popen[str]") -> None:
    """It and its workers at once: none sees another die."""
    _kill_at_once([*_workers(process.pid), process.pid])


def kill_supervisors(process: "subprocess.Popen[str]") -> None:
    """The supervisors first; the run notices, and dies a moment later."""
    _kill_at_once(_supervisors(process.pid))
    time.sleep(0.05)
    process.kill()


def kill_all(process: "subprocess.Popen[str]") -> None:
    """Everything at once."""
    _kill_at_once([*_workers(process.pid), process.pid, *_supervisors(process.pid)])


def kill_a_worker(process: "subprocess.Popen[str]") -> None:
    """One worker first, while the run goes on; in the middle of that, the process that leads it."""
    _kill_at_once(_workers(process.pid)[:1])
    time.sleep(0.3)
    process.kill()


WAYS: tuple[Way, ...] = (kill_tests, kill_supervisors, kill_all)
WAYS_OF_WORKERS: tuple[Way, ...] = (*WAYS, kill_all_tests, kill_a_worker)


def _kill_at_once(pids: Sequence[int]) -> None:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _workers(leader: int) -> list[int]:
    return [pid for pid in children(leader) if _is_worker(pid)]


def _is_worker(pid: int) -> bool:
    """Tell whether execnet started a process: it is given its program over a pipe."""
    return any("sys.stdin.readline()" in word for word in words(pid))


def _supervisors(leader: int) -> list[int]:
    """Return those of a process and of its workers."""
    of_all = (pid for parent in (leader, *_workers(leader)) for pid in children(parent))
    return [pid for pid in of_all if any(word.endswith("supervisor/__main__.py") for word in words(pid))]
