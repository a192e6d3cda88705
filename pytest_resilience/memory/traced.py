"""Exact sizes and lines of what Python allocates, for a bounded time: tracing slows 3 to 16 times."""

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OURS = ("*/pytest_resilience/*", "*/tracemalloc.py", "*/_pytest/*", "*/pluggy/*")
MOST_LINES = 3
LEAST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Line:
    """A line whose allocations stay: `place` is file:line, `size` in bytes."""

    place: str
    size: int


@dataclass(frozen=True, slots=True)
class Traced:
    """What a traced stretch left: bytes, and the lines that allocated most of them.

    `completed` is what the stretch itself returned.
    """

    completed: bool
    size: int
    lines: tuple[Line, ...]


class Tracing:
    """Traces allocations while something runs; a tracing that runs already is used and left alone."""

    def measure(self, stretch: Callable[[], bool]) -> Traced:
        """Run the stretch and return what it left."""
        ours = not tracemalloc.is_tracing()
        if ours:
            tracemalloc.start()
        try:
            return self._measure(stretch)
        finally:
            if ours:
                tracemalloc.stop()

    def _measure(self, stretch: Callable[[], bool]) -> Traced:
        before = _snapshot()
        gc.collect()
        began = tracemalloc.get_traced_memory()[0]
        completed = stretch()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] - began
        return Traced(completed, size, _lines(before, _snapshot()))


def _snapshot() -> tracemalloc.Snapshot:
    """Return what is there now, without the tests' machinery."""
    return tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, one) for one in OURS])


def _lines(before: tracemalloc.Snapshot, after: tracemalloc.Snapshot) -> tuple[Line, ...]:
    """Return the lines that allocated most of what is there after and was not before."""
    grown = [one for one in after.compare_to(before, "lineno") if one.size_diff > 0]
    grown.sort(key=lambda one: -one.size_diff)
    least = LEAST_SHARE * sum(one.size_diff for one in grown)
    return tuple(Line(_place(one), one.size_diff) for one in grown[:MOST_LINES] if one.size_diff >= least)


def _place(one: tracemalloc.StatisticDiff) -> str:
    frame = one.traceback[0]
    return f"{short_path(frame.filename)}:{frame.lineno}"


def short_path(file: str) -> Path:
    """Return a path as seen from the working folder, if it is below it."""
    path = Path(file)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
