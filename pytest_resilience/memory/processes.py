"""Other processes that are watched: the service under test is often not the test process.

A watched process is read from outside: its sizes, and the descriptors, threads and memory of its children
with it. What its allocators have handed out only it knows itself.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import psutil

from pytest_resilience.errors import ResilienceError, requirement
from pytest_resilience.memory.procfs import (
    PROC,
    Sizes,
    count_descriptors,
    count_threads,
    descendants,
    read_statm,
)
from pytest_resilience.memory.signals import STATM, Whole, or_none, total_pss


class HasPid(Protocol):
    """A running process, such as subprocess.Popen or psutil.Process."""

    @property
    def pid(self) -> int: ...


Target: TypeAlias = int | str | HasPid | Callable[[], int | HasPid | None]
"""A pid, a process, the name of one, or a function that returns the one that runs now."""

FIX = "Give its pid, its Popen, its name, or a function that returns one of them."


@dataclass(frozen=True)
class WatchedProcess:
    """A process to watch, by the name that the report gives it.

    Args:
        name: how leaks and samples call it.
        target: which one it is; a name is that of the oldest process of it.
    """

    name: str
    target: Target

    def find(self) -> int | None:
        """Return the pid of the process that runs now; None if none does."""
        target: object = self.target
        if callable(target) and not hasattr(target, "pid"):
            target = target()
        pid = _oldest(target) if isinstance(target, str) else getattr(target, "pid", target)
        return pid if isinstance(pid, int) and pid > 0 and psutil.pid_exists(pid) else None


def watched_processes(given: object) -> tuple[WatchedProcess, ...]:
    """Return what the fixture resilience_processes gives; raise ResilienceError if it is wrong."""
    name = "resilience_processes"
    if not isinstance(given, Mapping):
        fix = 'Return {"server": process}.'
        raise ResilienceError(requirement(name, "a mapping from names", given, fix))
    return tuple(_checked(each, target) for each, target in given.items())


def _checked(name: object, target: object) -> WatchedProcess:
    if not (isinstance(name, str) and name.strip()):
        raise ResilienceError(requirement("Each name of resilience_processes", "a non-empty string", name))
    is_pid = isinstance(target, int) and not isinstance(target, bool) and target > 0
    is_name = isinstance(target, str) and bool(target.strip())
    if not (is_pid or is_name or callable(target) or isinstance(getattr(target, "pid", None), int)):
        raise ResilienceError(requirement(f"resilience_processes[{name!r}]", "a process", target, FIX))
    return WatchedProcess(name, target)  # type: ignore[arg-type]


def _oldest(name: str) -> int | None:
    """Return the pid of the oldest process of that name."""
    found = [one for one in psutil.process_iter(["name", "create_time"]) if one.info["name"] == name]
    return min(found, key=lambda one: one.info["create_time"]).pid if found else None


class OutsideSignals:
    """What can be read of another process from outside; of one that is gone everything is None."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = PROC / str(pid)
        self._process = psutil.Process(pid)

    def sizes(self) -> Sizes | None:
        """Return the resident, the virtual and the shared memory in bytes."""
        if STATM.exists():
            return or_none(lambda: read_statm((self._folder / "statm").read_bytes()))
        memory = or_none(self._process.memory_info)
        return Sizes(int(memory.rss), int(memory.vms), None) if memory else None

    def whole(self) -> Whole | None:
        """Return USS and PSS in bytes; None if it belongs to somebody else."""
        memory = or_none(self._process.memory_full_info)
        return Whole(int(memory.uss), getattr(memory, "pss", None)) if memory else None

    def tree(self) -> tuple[int, ...]:
        """Return the pids of its descendants."""
        if STATM.exists():
            return tuple(descendants(self.pid))
        children = or_none(lambda: self._process.children(recursive=True)) or []
        return tuple(child.pid for child in children)

    def counts(self) -> Mapping[str, int | None]:
        """Return how many descriptors and threads it and its descendants have, and how many these are."""
        tree = or_none(self.tree)
        if tree is None or not STATM.exists():
            return {"fds": or_none(self._process.num_fds), "threads": or_none(self._process.num_threads)}
        folders = [self._folder, *(PROC / str(pid) for pid in tree)]
        return {
            "fds": _sum(map(count_descriptors, folders)),
            "threads": _sum(map(count_threads, folders)),
            "children": len(tree),
        }

    def children_pss(self) -> int | None:
        """Return the bytes of all descendants together, each shared page once; 0 without any."""
        return or_none(lambda: total_pss(self.tree()))


def _sum(counts: Iterable[int | None]) -> int | None:
    """Add up what could be read; None if the first, the process itself, could not."""
    own, *others = counts
    return None if own is None else own + sum(filter(None, others))
