"""Stacks of a process that cannot tell them itself: one that is stopped, or whose interpreter is held."""

import faulthandler
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DUMP_SECONDS = 0.5
POLL_SECONDS = 0.02


def _number() -> int | None:
    """Return the signal that asks for stacks: a real-time one, which hardly anything else uses."""
    low = getattr(signal, "SIGRTMIN", None)
    return None if low is None else int(low) + 11


def _path(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"resilience-stacks-{os.getuid()}-{pid}"


@contextmanager
def offer_stacks() -> Iterator[None]:
    """Let another process of this user ask this one for its stacks, even while it is stopped."""
    number, path = _number(), _path(os.getpid())
    if number is None:
        yield
        return
    with path.open("w", encoding="utf-8") as file:
        faulthandler.register(number, file=file, all_threads=True)
        try:
            yield
        finally:
            faulthandler.unregister(number)
            path.unlink(missing_ok=True)


def ask_for_stacks(pid: int) -> str:
    """Return the stacks of a process that offers them; it goes on for a moment. Empty if it cannot tell."""
    number, path = _number(), _path(pid)
    if number is None or not path.exists():
        return ""
    text = ""
    with suppress(OSError):
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
        until = time.monotonic() + DUMP_SECONDS
        while time.monotonic() < until and not text:
            time.sleep(POLL_SECONDS)
            text = path.read_text("utf-8", errors="replace")
        path.unlink(missing_ok=True)
    return text
