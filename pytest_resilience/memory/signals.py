"""Cheap readers of this process's signals.

None is a signal that cannot be read on this platform, or not now: descriptors may have run out.
"""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from pytest_resilience.host_memory import SystemMemory

T = TypeVar("T")

STATM = Path("/proc/self/statm")
DESCRIPTORS = Path("/proc/self/fd")
TASKS = Path("/proc/self/task")


class Signals:
    """The signals as psutil and the interpreter give them."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._system = SystemMemory()

    def rss(self) -> int:
        """Return the resident memory in bytes."""
        return int(self._process.memory_info().rss)

    def malloc_used(self) -> int | None:
        """Return the bytes that malloc has handed out; Python's small objects are not among them."""
        if not hasattr(psutil, "heap_info"):
            return None
        heap = psutil.heap_info()
        return int(heap.heap_used + heap.mmap_used)

    def blocks(self) -> int:
        """Return how many small blocks Python's allocator has handed out."""
        return sys.getallocatedblocks()

    def fds(self) -> int | None:
        """Return how many descriptors are open."""
        return or_none(self._process.num_fds)

    def threads(self) -> int | None:
        """Return how many threads run, native ones too."""
        return or_none(self._process.num_threads)

    def children(self) -> int | None:
        """Return how many child processes there are, zombies too."""
        return or_none(lambda: len(self._process.children()))

    def gc_objects(self) -> int:
        """Return how many containers the garbage collector knows; costs 0.7 ms for 100,000 not frozen."""
        return gc.get_freeze_count() + len(gc.get_objects())

    def system_percent(self) -> float | None:
        """Return how full memory is, of what the machine or the control group allows."""
        return or_none(self._system.percent)

    def close(self) -> None:
        """Release what the readers keep open."""


class LinuxSignals(Signals):
    """The same from /proc at a fraction of the cost, and with few descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._statm = os.open(STATM, os.O_RDONLY | os.O_CLOEXEC)

    def rss(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * self._page

    def fds(self) -> int | None:
        # Since Linux 6.2 the size of the folder is their number, and needs no descriptor; before it is 0.
        return or_none(lambda: DESCRIPTORS.stat().st_size) or super().fds()

    def threads(self) -> int | None:
        # The folder has one link per thread, and two of its own.
        return or_none(lambda: TASKS.stat().st_nlink - 2)

    def children(self) -> int | None:
        return or_none(lambda: sum(map(_children_of, TASKS.iterdir())))

    def close(self) -> None:
        if self._statm >= 0:
            os.close(self._statm)
            self._statm = -1


def open_signals() -> Signals:
    """Return the cheapest readers of this platform."""
    return LinuxSignals() if STATM.exists() else Signals()


def or_none(read: Callable[[], T]) -> T | None:
    """Return what `read` gives, or None if the system refuses just now."""
    try:
        return read()
    except (OSError, psutil.Error):
        return None


def _children_of(thread: Path) -> int:
    """Count the children of one thread; 0 if it has ended meanwhile."""
    try:
        return len((thread / "children").read_bytes().split())
    except (FileNotFoundError, ProcessLookupError):
        return 0
