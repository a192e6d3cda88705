"""Which process, of which machine: a number alone may be another process's by now."""

import os
import platform
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ON_LINUX = platform.system() == "Linux"


@dataclass(frozen=True, slots=True)
class Identity:
    """A process: its number, when it began (comparable within one boot of a machine), and its name."""

    pid: int
    started: float
    name: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})"

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it still is this one and has not ended; a zombie has."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if started(process) == self.started and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    @property
    def alive(self) -> bool:
        return self.process is not None

    @property
    def stopped(self) -> bool:
        """Whether the kernel does not run it, because of a SIGSTOP."""
        with suppress(psutil.Error):
            process = self.process
            return process is not None and process.status() == psutil.STATUS_STOPPED
        return False

    def send(self, number: int) -> bool:
        """Send a signal to this process of ours and to no other one; tell whether it was sent."""
        try:
            if ON_LINUX:
                return self._send_to_descriptor(number)
            if self._is_ours():
                os.kill(self.pid, number)
                return True
        except (ProcessLookupError, PermissionError):
            pass
        return False

    def _send_to_descriptor(self, number: int) -> bool:
        """The descriptor is taken first: what is seen then is the process that it leads to."""
        descriptor = os.pidfd_open(self.pid)
        try:
            if not self._is_ours():
                return False
            signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
        return True

    def _is_ours(self) -> bool:
        with suppress(psutil.Error):
            process = self.process
            return process is not None and process.uids().effective == os.geteuid()
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where numbers of processes mean something: a machine since it was started, a container, a user."""

    host: str
    boot: str
    namespace: str
    user: int


def identify(pid: int) -> Identity | None:
    """Return who has this number now; None if nobody has."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return Identity(pid, started(process), process.name())
    return None


def here() -> Place:
    """Return where this process runs, as far as the system tells."""
    boot, namespace = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return Place(socket.gethostname(), boot, namespace, os.geteuid())


def started(process: psutil.Process) -> float:
    """Return when a process began: on Linux in ticks since the boot, which no change of the time moves."""
    if not ON_LINUX:
        return process.create_time()
    try:
        return float(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        raise psutil.NoSuchProcess(process.pid) from None
