"""Space that is kept for the end of a run: given up on a full disk, so that the record can be completed."""

import os
from pathlib import Path

RESERVE_BYTES = 1024 * 1024


class Reserve:
    """A file of 1 MiB beside the record, from `take` until `give_up`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> None:
        """Really occupy the space; raise OSError if there is not that much."""
        with self._path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
            else:
                file.write(os.urandom(RESERVE_BYTES))  # a file system that compresses would not keep zeros

    def give_up(self) -> bool:
        """Free the space; tell whether there was any to free."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
