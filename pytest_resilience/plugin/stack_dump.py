"""Stacks of a process that cannot tell them itself: one that is stopped, or whose interpreter is held."""

import faulthandler
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DUMP_SECONDS = 0.5
POLL_SECONDS = 0.02
MEMORY_FILE = "resilience-stacks"
"""Has no place in the file system: a process that is killed leaves none behind."""


def _number() -> int | None:
    """Return the signal that asks for stacks: a real-time one, which hardly anything else uses."""
    low = getattr(signal, "SIGRTMIN", None)
    return None if low is None or not hasattr(os, "memfd_create") else int(low) + 11


@contextmanager
def offer_stacks() -> Iterator[None]:
    """Let another process of this user ask this one for its stacks, even while it is stopped."""
    number = _number()
    if number is None:
        yield
        return
    with os.fdopen(os.memfd_create(MEMORY_FILE), "w", encoding="utf-8") as file:
        faulthandler.register(number, file=file, all_threads=True)
        try:
            yield
        finally:
            faulthandler.unregister(number)


def ask_for_stacks(pid: int) -> str:
    """Return the stacks of a process that offers them; it goes on for a moment. Empty if it cannot tell."""
    number, text = _number(), ""
    with suppress(OSError):
        file = _file_of(pid)
        if number is None or file is None:
            return ""
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
        until = time.monotonic() + DUMP_SECONDS
        while time.monotonic() < until and not text:
            time.sleep(POLL_SECONDS)
            text = file.read_text("utf-8", errors="replace")
    return text


def _file_of(pid: int) -> Path | None:
    """Return the file that a process offers, by its place among the open files of the process."""
    for opened in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if MEMORY_FILE in str(opened.readlink()):
                return opened
    return None
