"""What Linux tells of any process under /proc: sizes, descriptors, threads and descendants."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
NOT_OF_FILES = (b"Pss_Anon:", b"Pss_Shmem:")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a process: resident, virtual, and the resident ones that others may share."""

    rss: int
    vms: int
    shared: int | None


def read_statm(text: bytes) -> Sizes:
    """Read the content of /proc/<pid>/statm."""
    vms, rss, shared = text.split(maxsplit=3)[:3]
    return Sizes(int(rss) * PAGE, int(vms) * PAGE, int(shared) * PAGE)


def read_pss(folder: Path) -> int | None:
    """Return the PSS of the process in this folder in bytes; 0 once it is gone, None if it is forbidden.

    Pages of files are left out where Linux tells them apart (since 5.9): a share of them grows as soon as
    another process that maps the same libraries ends.
    """
    try:
        lines = folder.joinpath("smaps_rollup").read_bytes().splitlines()
    except PermissionError:
        return None
    except (FileNotFoundError, ProcessLookupError):
        return 0
    parts = (line.split() for line in lines if line.endswith(b" kB"))
    sizes = {name: int(size) * 1024 for name, size, _ in parts}
    if sizes.keys() >= set(NOT_OF_FILES):
        return sum(sizes[name] for name in NOT_OF_FILES)
    return sizes.get(b"Pss:", 0)


def descendants(pid: int, proc: Path = PROC) -> Iterator[int]:
    """Yield the pids of the children of a process, and of theirs."""
    waiting = [pid]
    while waiting:
        children = _children(proc / str(waiting.pop()) / "task")
        yield from children
        waiting += children


def _children(tasks: Path) -> list[int]:
    found: list[int] = []
    try:
        for thread in tasks.iterdir():
            found += map(int, (thread / "children").read_bytes().split())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass  # it has ended meanwhile, or belongs to somebody else
    return found


def count_descriptors(folder: Path) -> int | None:
    """Return how many descriptors the process in this folder has open; None if it may not be asked."""
    try:
        descriptors = folder / "fd"
        # Since Linux 6.2 the size of the folder is their number; before it is 0.
        return descriptors.stat().st_size or sum(1 for _ in descriptors.iterdir())
    except OSError:
        return None


def count_threads(folder: Path) -> int | None:
    """Return how many threads the process in this folder has; None once it is gone."""
    try:
        return (folder / "task").stat().st_nlink - 2
    except OSError:
        return None
