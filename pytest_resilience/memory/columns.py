"""Samples kept in arrays of a fixed size: the observer must not grow, or it sees its own growth."""

from array import array
from collections.abc import Mapping
from math import isnan, nan

from pytest_resilience.memory.records import ITSELF, Sample

COUNTS = (
    "rss",
    "vms",
    "shared",
    "uss",
    "pss",
    "malloc_used",
    "blocks",
    "gc_objects",
    "uncollectable",
    "fds",
    "threads",
    "children",
    "children_pss",
    "cgroup_used",
)
MISSING = -1


class Columns:
    """A buffer of at most `capacity` samples."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._size = 0
        self._at = array("d", [0.0]) * capacity
        self._system = array("d", [nan]) * capacity
        self._iteration = array("q", [0]) * capacity
        self._pid = array("q", [0]) * capacity
        self._checkpoint = array("b", [0]) * capacity
        self._phase = [""] * capacity
        self._process = [ITSELF] * capacity
        self._counts = {name: array("q", [MISSING]) * capacity for name in COUNTS}

    @property
    def full(self) -> bool:
        return self._size == self.capacity

    def append(
        self,
        at: float,
        phase: str,
        iteration: int,
        counts: Mapping[str, int | None],
        system_percent: float | None = None,
        *,
        checkpoint: bool = False,
        process: str = ITSELF,
        pid: int = 0,
    ) -> None:
        """Keep one sample; `counts` by the names in COUNTS, each of which may be missing."""
        row = self._size
        self._at[row] = at
        self._phase[row], self._process[row], self._pid[row] = phase, process, pid
        self._iteration[row] = iteration
        self._checkpoint[row] = checkpoint
        self._system[row] = nan if system_percent is None else system_percent
        for name, column in self._counts.items():
            value = counts.get(name)
            column[row] = MISSING if value is None else value
        self._size = row + 1

    def samples(self) -> list[Sample]:
        """Return the samples as records."""
        return [self._sample(row) for row in range(self._size)]

    def drain(self) -> list[Sample]:
        """Return the samples as records and empty the buffer."""
        samples = self.samples()
        self._size = 0
        return samples

    def halve(self) -> None:
        """Drop every second sample."""
        kept = (self._size + 1) // 2
        lists, arrays = (self._phase, self._process), (self._at, self._system, self._iteration, self._pid)
        for column in (*lists, *arrays, self._checkpoint, *self._counts.values()):
            for row in range(kept):
                column[row] = column[2 * row]  # type: ignore[index]
        self._size = kept

    def _sample(self, row: int) -> Sample:
        counts = {name: column[row] for name, column in self._counts.items() if column[row] != MISSING}
        system = self._system[row]
        return Sample(
            at=self._at[row],
            phase=self._phase[row],
            checkpoint=bool(self._checkpoint[row]),
            iteration=self._iteration[row],
            system_percent=None if isnan(system) else system,
            process=self._process[row],
            pid=self._pid[row],
            **counts,  # type: ignore[arg-type]
        )
