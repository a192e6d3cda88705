"""One writer per run: a lock that the system lets go of when its process dies, however that happens."""

import errno
import os
import sys
from pathlib import Path
from typing import TextIO

from pytest_resilience.errors import StoreError


class RunLock:
    """Held from `take` to `release` by the process that writes a run; a context manager.

    It is a lock of the process (fcntl): children that were forked do not keep it. Where the file system or
    the platform has no locks, nothing is locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def take(self) -> None:
        """Take the lock; raise StoreError if another process has it, or the file cannot be made."""
        try:
            self._file = self._path.open("a+", encoding="utf-8")
            _lock(self._file)
        except OSError as reason:
            self._close()
            if reason.errno in (errno.EACCES, errno.EAGAIN):
                raise StoreError(self._busy()) from None
            raise StoreError(
                f"{self._path} cannot be made: {reason}. Choose another --resilience-dir."
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let go of the lock; doing it again changes nothing."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._close()

    def __enter__(self) -> "RunLock":
        self.take()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _busy(self) -> str:
        pid = self._path.read_text("utf-8").strip()
        run = self._path.parent.name
        return f"{run} is not over: process {pid} is running it. Wait for its end, or end it."

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: TextIO) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as reason:
        if reason.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
