"""What this process uses of the machine, read in a fraction of a millisecond."""

import ctypes
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_resilience.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class HostMetrics:
    """What a process uses: processor in percent of one core since the reading before, and memory in bytes.

    `connections` are TCP and UDP sockets, also those that listen.
    """

    cpu_percent: float
    rss: int
    threads: int
    fds: int
    connections: int


class Meter:
    """Reads what this process uses, also after a fork; each meter has its own reading before."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._begin()

    def measure(self) -> HostMetrics:
        """Return the present use; raise OSError where no descriptor is left to read it with."""
        if self._process.pid != os.getpid():
            self._begin()
        process = self._process  # without oneshot(): an interrupt in there would leave its cache in place
        rss, threads, fds = process.memory_info().rss, process.num_threads(), process.num_fds()
        return HostMetrics(self._cpu_percent(), rss, threads, fds, _connections(process))

    def _begin(self) -> None:
        self._process = psutil.Process()
        self._before = (self._clock.now(), time.process_time())

    def _cpu_percent(self) -> float:
        (then, used_then), self._before = self._before, (self._clock.now(), time.process_time())
        now, used = self._before
        return 100 * (used - used_then) / (now - then) if now > then else 0.0


def _connections(process: psutil.Process) -> int:
    """Count the internet sockets of this process.

    On Linux by asking each descriptor: the machine's tables, which psutil reads, may have thousands of lines.
    """
    if sys.platform != "linux":
        return len(process.net_connections("inet"))
    open_now = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    return sum(_domain(number) in (socket.AF_INET, socket.AF_INET6) for number in open_now)


def _domain(descriptor: int) -> int:
    """Return the address family of a socket; 0 for what is none. No socket object: its end would close it."""
    domain, size = ctypes.c_int(), ctypes.c_uint(ctypes.sizeof(ctypes.c_int))
    option = socket.SOL_SOCKET, socket.SO_DOMAIN
    _LIBC.getsockopt(descriptor, *option, ctypes.byref(domain), ctypes.byref(size))
    return domain.value


_LIBC = ctypes.CDLL(None)

_METER = Meter()
"""Processor time is that of the process: so is the reading before."""

measure = _METER.measure
