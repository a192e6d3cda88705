"""Samples kept in arrays of a fixed size: the observer must not grow, or it sees its own growth."""

from array import array
from math import isnan, nan

from pytest_resilience.memory.records import Sample

COUNTS = ("rss", "malloc_used", "blocks", "gc_objects", "fds", "threads", "children")
MISSING = -1


class Columns:
    """A buffer of at most `capacity` samples."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._size = 0
        self._at = array("d", [0.0]) * capacity
        self._system = array("d", [nan]) * capacity
        self._iteration = array("q", [0]) * capacity
        self._checkpoint = array("b", [0]) * capacity
        self._phase = [""] * capacity
        self._counts = tuple(array("q", [MISSING]) * capacity for _ in COUNTS)

    @property
    def full(self) -> bool:
        return self._size == self.capacity

    def append(
        self,
        at: float,
        phase: str,
        iteration: int,
        counts: tuple[int | None, ...],
        system_percent: float | None,
        checkpoint: bool,
    ) -> None:
        """Keep one sample; `counts` in the order of COUNTS."""
        row = self._size
        self._at[row] = at
        self._phase[row] = phase
        self._iteration[row] = iteration
        self._checkpoint[row] = checkpoint
        self._system[row] = nan if system_percent is None else system_percent
        for column, value in zip(self._counts, counts, strict=True):
            column[row] = MISSING if value is None else value
        self._size = row + 1

    def drain(self) -> list[Sample]:
        """Return the samples as records and empty the buffer."""
        samples = [self._sample(row) for row in range(self._size)]
        self._size = 0
        return samples

    def _sample(self, row: int) -> Sample:
        rss, *others = (column[row] for column in self._counts)
        malloc_used, blocks, gc_objects, fds, threads, children = (
            None if value == MISSING else value for value in others
        )
        system = self._system[row]
        return Sample(
            at=self._at[row],
            phase=self._phase[row],
            checkpoint=bool(self._checkpoint[row]),
            iteration=self._iteration[row],
            rss=rss,
            malloc_used=malloc_used,
            blocks=blocks,
            gc_objects=gc_objects,
            fds=fds,
            threads=threads,
            children=children,
            system_percent=None if isnan(system) else system,
        )
