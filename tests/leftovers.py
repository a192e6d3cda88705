"""What is left of faults, wherever they act: in this process, in its children, on the machine."""

import _thread
import gc
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from interrupt_cases import Client, Stage, fetch

SOON = 2.0
"""Seconds within which threads, processes and sockets are gone."""

SHARED_ROLES = ("disk", "folder")
"""What the children of a supervisor may do while nothing is injected: hold what engines share."""

PATCHED: dict[str, Callable[[], object]] = {
    "fetch": lambda: fetch.__code__,
    "Client.fetch": lambda: Client.fetch.__code__,
    "Client.fetch_async": lambda: Client.fetch_async.__code__,
    "time.sleep": lambda: time.sleep,
}


class Before:
    """How the world is before a stage is used; it tells what is different later."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._originals = {name: read() for name, read in PATCHED.items()}
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._children = set(children(os.getpid()))
        self._threads = self._descriptors = 0
        self.forgive()

    def forgive(self) -> None:
        """Take the threads and descriptors that are there now for granted: a leak is counted once."""
        alive = int(self._stage.outside.supervisor.alive)
        self._threads, self._descriptors = _thread._count() - alive, descriptors() - alive

    def left(self) -> list[str]:
        """Say what acts now and should not, while the engine lives: patches, limits, effects, processes."""
        return [*self._patches(), *self._limits(), *self._effects(), *self._stopped()]

    def left_soon(self) -> list[str]:
        """Say also what may take a moment to go: threads, descriptors, processes."""
        return [*self.left(), *_after_a_while(lambda: [*self._uses(), *self._helpers()])]

    def left_after_close(self) -> list[str]:
        """Say what is left of an engine that was closed."""
        return [*self.left(), *_after_a_while(lambda: [*self._uses(), *self._helpers(), *self._files()])]

    def _patches(self) -> list[str]:
        return [f"patch of {name}" for name, read in PATCHED.items() if read() is not self._originals[name]]

    def _limits(self) -> list[str]:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        return [] if limit == self._limit else [f"limit of descriptors {limit}"]

    def _effects(self) -> list[str]:
        """Only the proxy of each endpoint and the disk are shared, each once."""
        held = self._stage.outside.supervisor.held()
        shared = {effect_id.partition(" ")[2]: effect_id for effect_id in held}
        known = {"disk", *(str(one.listens_at) for one in self._stage.services if one.listens_at)}
        return [
            f"effect {one}"
            for one in held
            if one.partition(" ")[2] not in known or one not in shared.values()
        ]

    def _stopped(self) -> list[str]:
        return ["stopped process"] if state(self._stage.victim.pid) == "T" else []

    def _uses(self) -> list[str]:
        """A supervisor that runs is known by one socket and one thread."""
        alive = int(self._stage.outside.supervisor.alive)
        threads, opened = _thread._count() - self._threads - alive, descriptors() - self._descriptors - alive
        return [
            f"{count} {name}" for count, name in ((threads, "threads"), (opened, "descriptors")) if count > 0
        ]

    def _helpers(self) -> list[str]:
        """A supervisor that runs may have children that hold what is shared."""
        supervisor = self._stage.outside.supervisor.pid
        others = set(children(os.getpid())) - self._children - {supervisor}
        own = [] if supervisor is None else [pid for pid in children(supervisor) if not _shares(pid)]
        return [f"process {' '.join(words(pid)) or pid}" for pid in (*others, *own)]

    def _files(self) -> list[str]:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        mounted = [f"mount {path}" for path in mounts if path.startswith(str(self._stage.folder))]
        return [*mounted, *(f"file {path}" for path in self._stage.folder.iterdir())]


def _after_a_while(look: Callable[[], list[str]]) -> list[str]:
    """Return what is still there after the time that things may take to go; tracebacks' cycles are freed."""
    deadline = time.monotonic() + SOON
    while (left := look()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.005)
    return left


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def children(pid: int) -> Iterator[int]:
    """Yield the children of all threads of a process; none of one that has ended."""
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())
    except OSError:
        return


def state(pid: int) -> str:
    """Return the letter of a process's state; an empty string when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def words(pid: int) -> list[str]:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _shares(pid: int) -> bool:
    return any(role in words(pid) for role in SHARED_ROLES)
