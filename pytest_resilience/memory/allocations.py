"""The lines whose allocations stay, found by memray: an extra, for a bounded time, after a suspicion.

memray sees what Python allocates and what C code does. It slows the tests to a quarter of their speed.
"""

import os
import sysconfig
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_resilience.memory.traced import Line, short_path

MOST_LINES = 3
LEAST_SHARE = 0.1
OURS = ("pytest_resilience", "_pytest", "pluggy")
STACK = 32
STANDARD = sysconfig.get_path("stdlib")
INSTALLED = ("/site-packages/", "/dist-packages/")


def available() -> bool:
    """Tell whether memray is installed."""
    return find_spec("memray") is not None


class Allocations:
    """Traces all allocations from `start` to `stop`; make it before anything is sampled: memray is large."""

    def __init__(self) -> None:
        import memray  # noqa: F401 - not in the middle of what is judged

        self._tracker: Any = None
        self._path = Path()

    @property
    def running(self) -> bool:
        return self._tracker is not None

    def start(self) -> bool:
        """Begin to trace; tell whether that could be: only one memray traces a process."""
        from memray import FileFormat, Tracker

        descriptor, name = tempfile.mkstemp(prefix="resilience-", suffix=".memray")
        os.close(descriptor)
        self._path = Path(name)
        self._path.unlink()  # memray makes it anew
        try:
            tracker = Tracker(
                self._path, trace_python_allocators=True, file_format=FileFormat.AGGREGATED_ALLOCATIONS
            )
            tracker.__enter__()
        except (RuntimeError, OSError):
            self._path.unlink(missing_ok=True)
            return False
        self._tracker = tracker
        return True

    def stop(self) -> tuple[Line, ...]:
        """End the tracing and return the lines that allocated most of what is still there."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return ()
        tracker.__exit__(None, None, None)
        try:
            return _lines(self._path)
        finally:
            self._path.unlink(missing_ok=True)


def _lines(path: Path) -> tuple[Line, ...]:
    from memray import FileReader

    sizes: dict[str, int] = {}
    with suppress(OSError, ValueError), FileReader(path) as reader:
        for record in reader.get_leaked_allocation_records(merge_threads=True):
            place = _place(record.stack_trace(max_stacks=STACK))
            if place:
                sizes[place] = sizes.get(place, 0) + record.size
    largest = sorted(sizes.items(), key=lambda pair: -pair[1])[:MOST_LINES]
    least = LEAST_SHARE * sum(sizes.values())
    return tuple(Line(place, size) for place, size in largest if size >= least)


def _place(stack: list[tuple[str, str, int]]) -> str:
    """Return the innermost line outside the standard library; empty if that is the tests' machinery."""
    lines = [one for one in stack if not one[1].startswith("<")]
    function, file, line = next(
        (one for one in lines if not _is_standard(one[1])), (lines or [("", "", 0)])[0]
    )
    if not file or any(f"/{one}/" in file for one in OURS):
        return ""
    return f"{short_path(file)}:{line} ({function})"


def _is_standard(file: str) -> bool:
    return file.startswith(STANDARD) and not any(one in file for one in INSTALLED)
