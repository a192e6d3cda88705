"""What the test process asks of the host in the supervisor."""

from dataclasses import dataclass

AFTER_RESTART = "The service stays dead: bring it back, and correct what restarts it."
"""What to do when a restart has failed."""


@dataclass(frozen=True, slots=True)
class CpuSpec:
    """Keep `cores` cores busy for a share `load` (above 0, up to 1) of the time, in child processes."""

    cores: int
    load: float


@dataclass(frozen=True, slots=True)
class MemorySpec:
    """Take and touch `size` bytes in a child process.

    It takes less where the machine's (or cgroup's) use would pass `ceiling` percent. All is let go
    at once when that use passes `critical` percent.
    """

    size: int
    ceiling: float
    critical: float


@dataclass(frozen=True, slots=True)
class PauseSpec:
    """Stop the process `pid` and its descendants (SIGSTOP), and let them go on (SIGCONT)."""

    pid: int


@dataclass(frozen=True, slots=True)
class KillSpec:
    """Kill the process `pid` and its descendants (SIGKILL).

    `restart`, a command, is run when the fault is removed.
    """

    pid: int
    restart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk of `size` bytes, in memory; started, it tells its `path`."""

    size: int


@dataclass(frozen=True, slots=True)
class FullSpec:
    """Fill the disk that was started under the id `disk` to its last byte, and free it again."""

    disk: str
