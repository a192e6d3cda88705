"""A small disk in memory, and a full one."""

import asyncio
import errno
import os
import platform
import tempfile
from pathlib import Path

from pytest_resilience.chaos.host import program
from pytest_resilience.chaos.host.checks import Checks
from pytest_resilience.chaos.host.children import Child, stop_all
from pytest_resilience.chaos.host.specs import DiskSpec, FullSpec
from pytest_resilience.chaos.supervisor.effects import Find, Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock
from pytest_resilience.errors import ScenarioError, requirement
from pytest_resilience.host_memory import SystemMemory, room_below, tightest_limit
from pytest_resilience.units import MIB, counted, format_bytes

LEAST_BYTES = 4096
CEILING_PERCENT = 80.0
"""Its files are in memory: even when it is full, the machine's use stays below this."""

UNMOUNT_SECONDS = 0.5
CHUNK = bytes(MIB // 4)


class DiskEffect:
    """A disk of a limited size, in memory. A check fires when it is there and has that size.

    With the right to mount its path is a plain folder. Else it is `/proc/<pid>/root/...`, which programs that
    resolve links themselves (SQLite, os.path.realpath) cannot follow.
    """

    def __init__(self, spec: DiskSpec, clock: Clock | None = None) -> None:
        self._spec = spec
        self._children: list[Child] = []
        self._checks = Checks(lambda: self.there, clock=clock)
        self.path = Path()

    async def start(self) -> Info:
        _require(self._spec)
        child = Child("disk", str(self._spec.size), _parent_folder())
        self._children.append(child)
        self.path = Path(await _ready(child))
        self._checks.start()
        return {"path": str(self.path)}

    async def stop(self) -> None:
        """Take it away; its process was perhaps killed, then another one unmounts it."""
        try:
            await self._checks.stop()
        finally:
            for child in self._children:
                await child.finish(UNMOUNT_SECONDS)
            await stop_all(self._children)
            if any(_folder(child).exists() for child in self._children):
                await self._sweep()

    def touched(self) -> Touched:
        size = f"{format_bytes(self._spec.size)} at {self.path}"
        return self._checks.touched(size if self.path != Path() else "")

    @property
    def there(self) -> bool:
        """Whether it can be used, and has its size."""
        try:
            disk = os.statvfs(self.path)
        except OSError:
            return False
        return 0 <= disk.f_blocks * disk.f_frsize - self._spec.size < LEAST_BYTES

    async def _sweep(self) -> None:
        sweeper = Child("sweep", _parent_folder())
        await sweeper.finish(UNMOUNT_SECONDS)
        await sweeper.stop()


class FullEffect:
    """Leaves not a byte on a disk, by a file without a name. A check fires when one more byte met ENOSPC.

    What the code under test deletes is free again for it, as on any disk.
    """

    def __init__(self, spec: FullSpec, find: Find, clock: Clock | None = None) -> None:
        self._spec = spec
        self._find = find
        self._checks = Checks(self._full, clock=clock)
        self._ballast: int | None = None
        self._size = 0

    async def start(self) -> Info:
        disk = self._disk()
        self._ballast = os.open(disk.path, os.O_TMPFILE | os.O_WRONLY, 0o600)
        while (written := _write(self._ballast, CHUNK)) > 0:
            self._size += written
            await asyncio.sleep(0)
        self._checks.start()
        return {"path": str(disk.path), "bytes": self._size}

    async def stop(self) -> None:
        try:
            await self._checks.stop()
        finally:
            ballast, self._ballast = self._ballast, None
            if ballast is not None:
                os.close(ballast)

    def touched(self) -> Touched:
        return self._checks.touched(f"{counted(self._size, 'byte')} of ballast" if self._size else "")

    def _disk(self) -> DiskEffect:
        disk = self._find(self._spec.disk)
        if not isinstance(disk, DiskEffect) or not disk.there:
            raise ScenarioError(requirement("disk", "the id of a disk that is there", self._spec.disk))
        return disk

    def _full(self) -> bool:
        """Try to write one byte more; where that works it is taken back, for there is room for others too."""
        assert self._ballast is not None
        if _write(self._ballast, b"x") == 0:
            return True
        os.ftruncate(self._ballast, self._size)
        os.lseek(self._ballast, 0, os.SEEK_END)
        return False


def _write(descriptor: int, data: bytes) -> int:
    """Return how many bytes could be written; 0 when the disk is full."""
    try:
        return os.write(descriptor, data)
    except OSError as failure:
        if failure.errno == errno.ENOSPC:
            return 0
        raise


async def _ready(child: Child) -> str:
    try:
        return await child.ready()
    except ScenarioError as failure:
        raise ScenarioError(
            f"A small disk cannot be mounted here. {failure} Run as root with CAP_SYS_ADMIN, or allow user "
            "namespaces (kernel.unprivileged_userns_clone=1; in Docker --security-opt seccomp=unconfined)."
        ) from None


def _folder(child: Child) -> Path:
    """Return where a child's disk is, if that was permitted."""
    return Path(_parent_folder(), f"{program.DISK}{child.pid}")


def _parent_folder() -> str:
    return str(Path(tempfile.gettempdir()).resolve())


def _require(spec: DiskSpec) -> None:
    if platform.system() != "Linux":
        raise ScenarioError("A small disk needs Linux. Leave this fault out on other systems.")
    most = max(0, room_below(CEILING_PERCENT, SystemMemory().percent(), tightest_limit()))
    if not LEAST_BYTES <= spec.size <= most:
        constraint = f"from {LEAST_BYTES} to {most} bytes, for which memory has room"
        raise ScenarioError(requirement("size", constraint, spec.size))
