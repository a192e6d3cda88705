"""Distributed soaks by a pytest of their own, and their workers as real processes."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from plugin_soaks import MOSTLY_CHAOS, NO_CHAOS, NO_HOST, NO_MEMORY, Project

from pytest_resilience.store.layout import latest_folder
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Worker
from pytest_resilience.store.run_data import RunData

XDIST = ("xdist.plugin",)
QUIET = NO_MEMORY + NO_CHAOS
CHAOS = NO_MEMORY + NO_HOST + MOSTLY_CHAOS
POLL_SECONDS = 0.05
UNHURRIED = "--soak-rate=100/s"
"""Several of these soaks share the machine with other tests."""


def distributed(
    *arguments: str,
    ini: str = QUIET,
    files: Mapping[str, str] | None = None,
    duration: str = "4s",
    plugins: tuple[str, ...] = (),
) -> Project:
    """Return a project that is soaked with these arguments of pytest-xdist."""
    options = (f"--soak-duration={duration}", UNHURRIED, *arguments)
    return Project(options, ini, files or {}, plugins=(*XDIST, *plugins))


def workers(folder: Path) -> dict[str, Worker]:
    """Return the workers of the newest run by name."""
    return {worker.name: worker for worker in read_of(folder).workers}


def read_of(folder: Path) -> RunData:
    """Return what the newest run has recorded so far."""
    found = latest_folder(folder / ".resilience")
    assert found is not None
    return read(found.database)


def looping(data: RunData, number: int = 2) -> bool:
    """Tell whether that many workers have looped for a while."""
    busy = {tally.worker for tally in data.tallies if tally.iterations > 5}
    return len(busy & {one.name for one in data.workers if one.status == "running"}) >= number


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def seconds_until_gone(pids: list[int], within: float) -> float:
    """Return how long it took until none of the processes was left; fail if one is left for too long."""
    began = time.monotonic()
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < began + within, f"{left} are still there after {within} s"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def signal_worker(folder: Path, name: str, number: int) -> int:
    """Send a real signal to a worker; return its pid."""
    pid = workers(folder)[name].pid
    os.kill(pid, number)
    return pid
