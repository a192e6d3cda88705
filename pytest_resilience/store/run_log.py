"""The run's log as text: one line per note, readable with tail -f."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

from pytest_resilience.store.records import Note


class RunLog:
    """Appends notes to a file; without a path it writes nothing. Open it with `with`."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> None:
        if self._path is not None:
            self._file = self._path.open("a", encoding="utf-8", errors="backslashreplace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, notes: Iterable[Note]) -> None:
        """Append the notes; they are in the file when this returns. After an OSError it writes no more."""
        if self._file is None:
            return
        try:
            self._file.writelines(map(line, notes))
            self._file.flush()
        except OSError:
            self._close()
            raise

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what could not be written cannot be written now either
                file.close()


def line(note: Note) -> str:
    """Return the note as one line, its time in seconds since the run began."""
    return f"{note.at:10.3f}  {' '.join(note.text.split())}\n"
