"""What is open or running, by name: descriptors by target, threads by what they run, child processes."""

import os
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

NUMBERS = re.compile(r"\d+")
OWN_THREADS = "resilience-"
LONGEST_COMMAND = 60
MOST_SOCKETS = 5_000
"""Descriptors up to which sockets are told apart: asking the system for more takes seconds."""


@dataclass(frozen=True, slots=True)
class HandleGrowth:
    """A name of which there are more and more."""

    name: str
    grew: int


def growing_handles(listings: Sequence[Mapping[str, int]]) -> list[HandleGrowth]:
    """Return the names of which each listing has no fewer than the one before and the last has most."""
    if len(listings) < 2:
        return []
    names = dict.fromkeys(name for listing in listings for name in listing)
    readings = {name: [listing.get(name, 0) for listing in listings] for name in names}
    grown = {
        name: counts[-1] - counts[0]
        for name, counts in readings.items()
        if counts == sorted(counts) and counts[-1] > counts[0]
    }
    return sorted((HandleGrowth(name, grew) for name, grew in grown.items()), key=lambda one: -one.grew)


def open_descriptors(pid: int = 0) -> Counter[str]:
    """Count the open descriptors of a process (0: this one) by what they lead to; empty if it is hidden."""
    folder = Path(f"/proc/{pid or 'self'}/fd")
    targets: dict[int, str] = {}
    with suppress(OSError):
        for link in folder.iterdir():
            with suppress(OSError):  # the one by which the folder is read
                targets[int(link.name)] = os.fspath(link.readlink())
    sockets = _sockets(pid) if len(targets) <= MOST_SOCKETS else {}
    return Counter(_target(target, sockets.get(number)) for number, target in targets.items())


def _sockets(pid: int) -> Mapping[int, str]:
    try:
        connections = psutil.Process(pid or None).net_connections(kind="all")
    except (psutil.Error, OSError):
        return {}
    return {one.fd: _socket(one) for one in connections}


class _Connection(Protocol):
    """What psutil tells about a socket."""

    @property
    def laddr(self) -> Any: ...

    @property
    def raddr(self) -> Any: ...

    @property
    def status(self) -> str: ...


def _socket(one: _Connection) -> str:
    """Name a socket by its far end, or by where it listens: the near end of a client is a random port."""
    near, far = (end if isinstance(end, str) else ":".join(map(str, end)) for end in (one.laddr, one.raddr))
    if far:
        return f"connection to {far}"
    if one.status == psutil.CONN_LISTEN:
        return f"listener on {near}"
    return f"socket {NUMBERS.sub('N', near)}" if near.startswith("/") else "unconnected socket"


def _target(target: str, socket: str | None) -> str:
    """Name a target so that many of the same kind have one name: numbers in a path become N."""
    if socket:
        return socket
    if target.startswith("/"):
        return f"file {_without_numbers(target.removesuffix(' (deleted)'))}"
    return target.partition(":")[0].removeprefix("anon_inode") or target.partition(":")[2].strip("[]")


def _without_numbers(path: str) -> str:
    """Write the name of a file without what makes each temporary one different."""
    folder, _, name = path.rpartition("/")
    plain = NUMBERS.sub("N", name)
    return f"{NUMBERS.sub('N', folder)}/{'*' if name.startswith('tmp') else plain}"


def running_threads() -> Counter[str]:
    """Count the threads of this process by name and by the function that they were started with."""
    return Counter(_thread(one) for one in threading.enumerate() if not one.name.startswith(OWN_THREADS))


def _thread(one: threading.Thread) -> str:
    name = NUMBERS.sub("N", one.name)
    function = getattr(one, "_target", None) or type(one).run
    module, named = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    return f"thread {name} running {'.'.join(filter(None, (module, named)))}" if named else f"thread {name}"


def threads_of(pid: int) -> Counter[str]:
    """Count the threads of another process by the name that the system knows; empty if it is hidden."""
    names: Counter[str] = Counter()
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                names[f"thread {NUMBERS.sub('N', (task / 'comm').read_text().strip())}"] += 1
    return names


def child_processes(pid: int = 0) -> Counter[str]:
    """Count the child processes of a process (0: this one) by their command."""
    try:
        children = psutil.Process(pid or None).children()
    except (psutil.Error, OSError):
        return Counter()
    return Counter(map(_command, children))


def _command(child: psutil.Process) -> str:
    with suppress(psutil.Error, OSError):
        if child.status() == psutil.STATUS_ZOMBIE:
            return f"ended process {child.name()} that nobody waits for"
        words = [Path(word).name if word.startswith("/") else word for word in child.cmdline()]
        return f"process {' '.join(words)[:LONGEST_COMMAND]}" if words else f"process {child.name()}"
    return "process"
