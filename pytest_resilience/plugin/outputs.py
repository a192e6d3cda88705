"""Standard output and error whose terminal or reader is gone: what cannot be shown must not end a soak."""

import os
import select
from contextlib import suppress
from pathlib import Path


class Outputs:
    """Standard output and error as they are now, and all copies of them, such as pytest's capture keeps."""

    def __init__(self) -> None:
        self._files = {_file(descriptor) for descriptor in (1, 2)}

    def let_go_if_lost(self) -> bool:
        """Let those lead nowhere whose terminal or reader is gone; tell if there were any."""
        lost = [one for one in _descriptors() if _file(one) in self._files - {None} and _is_lost(one)]
        for descriptor in lost:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor, inheritable=descriptor <= 2)
            os.close(nowhere)
        return bool(lost)


def _descriptors() -> list[int]:
    return [int(entry.name) for entry in Path("/dev/fd").iterdir()]


def _file(descriptor: int) -> tuple[int, int] | None:
    """Say which file a descriptor leads to; None if it is closed."""
    with suppress(OSError):
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino
    return None


def _is_lost(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
