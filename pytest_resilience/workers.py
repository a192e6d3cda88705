"""Who runs the tests: the name of a process in the records, and which machine it is on."""

import os
import socket
import uuid
from pathlib import Path

MAIN = "main"
"""The only process of a soak that is not distributed, and the one that leads a soak that is."""


def machine_id() -> str:
    """Return what is equal where pids mean the same: the boot of the kernel, and the pid namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{uuid.getnode():x}:{socket.gethostname()}"


def is_here(machine: str) -> bool:
    """Tell whether a machine is this one, so that its pids can be signalled from here."""
    return machine == machine_id()


def own_pid() -> int:
    """Return the pid of this process."""
    return os.getpid()
