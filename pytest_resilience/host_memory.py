"""How full memory is: of the machine, and of the control groups that limit this process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a version of control groups keeps a group's limit, its usage, and cache that can be dropped."""

    limit: str
    used: str
    cache: str


V2 = Layout("memory.max", "memory.current", "inactive_file")
V1 = Layout("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@dataclass(frozen=True, slots=True)
class Group:
    """A control group with a memory limit in bytes."""

    folder: Path
    layout: Layout
    limit: int

    def percent(self) -> float | None:
        """Return how full the group is, not counting cache that the kernel can drop; None if unreadable."""
        try:
            return 100 * self.used() / self.limit
        except (OSError, ValueError):
            return None

    def used(self) -> int:
        """Return the bytes that the group uses, without cache that can be dropped; raise OSError."""
        return max(0, int(self.folder.joinpath(self.layout.used).read_text()) - self._cache())

    def _cache(self) -> int:
        for line in self.folder.joinpath("memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == self.layout.cache:
                return int(value)
        return 0


def find_groups(root: Path = CGROUPS, membership: Path = MEMBERSHIP) -> tuple[Group, ...]:
    """Return the control groups, from this process's own up to the root, that limit its memory."""
    found = (
        _group(folder, layout) for base, own, layout in _mounts(root, membership) for folder in _up(base, own)
    )
    return tuple(group for group in found if group)


class SystemMemory:
    """Reads how full memory is, by the tightest of the machine's and the groups' limits."""

    def __init__(self, groups: tuple[Group, ...] | None = None) -> None:
        self._groups = find_groups() if groups is None else groups

    def percent(self) -> float:
        """Return the share of the tightest limit that is used, from 0 to 100."""
        of_groups = [percent for group in self._groups if (percent := group.percent()) is not None]
        return max([float(psutil.virtual_memory().percent), *of_groups])

    def cgroup_used(self) -> int | None:
        """Return the bytes that the innermost limited group uses; None without one. Raise OSError."""
        return self._groups[0].used() if self._groups else None


def tightest_limit() -> int:
    """Return the bytes of the machine's memory, or the lowest limit of the control groups around it."""
    return min([psutil.virtual_memory().total, *(group.limit for group in find_groups())])


def room_below(ceiling: float, percent: float, limit: int) -> int:
    """Return the bytes between the use and the ceiling, both in percent of `limit`; negative above it."""
    return int(limit * (ceiling - percent) / 100)


def _mounts(root: Path, membership: Path) -> Iterator[tuple[Path, str, Layout]]:
    """Yield the base folder, this process's path below it, and the layout, of each hierarchy with memory."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, own = line.split(":", 2)
        if number == "0":
            yield root, own, V2
        elif "memory" in controllers.split(","):
            yield root / "memory", own, V1


def _up(base: Path, own: str) -> Iterator[Path]:
    """Yield the group's folder and its parents down to the base; a foreign path has only the base."""
    relative = Path(own.lstrip("/"))
    for part in (relative, *relative.parents):
        if ".." not in part.parts and base.joinpath(part).is_dir():
            yield base / part


def _group(folder: Path, layout: Layout) -> Group | None:
    try:
        limit = int(folder.joinpath(layout.limit).read_text())
    except (OSError, ValueError):
        return None
    return Group(folder, layout, limit) if 0 < limit < UNLIMITED else None
