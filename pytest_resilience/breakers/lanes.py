"""Threads in lock-step: one is let run until it parks, ends or blocks; only then the next one is."""

import threading
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 0.002
BLOCKED_POLLS = 6
"""A thread that has stood still and asleep for so many polls waits for something that nobody will give it."""

SLOW_POLLS = 100
"""Where the system does not tell whether a thread sleeps, it must stand still for longer."""

END_SECONDS = 2.0


class Lane:
    """A thread for calls that may be held, or that may block in the breaker; it runs one job at a time."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._job: Callable[[], None] | None = None
        self._work = threading.Semaphore(0)
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="resilience-breaker", daemon=True)

    def open(self) -> None:
        """Start the thread; whoever does this knows the lane already, to end it if an interrupt comes."""
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Tell whether its job has not returned yet."""
        return self._job is not None

    @property
    def alive(self) -> bool:
        """Tell whether the thread has not ended."""
        return self._thread.is_alive()

    def begin(self, job: Callable[[], None]) -> None:
        """Let it run `job`, which must not raise."""
        self._job = job
        self._work.release()

    def end(self) -> None:
        """End it once its job is over; what blocks for ever stays behind, as a daemon."""
        self._ending = True
        self._work.release()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def settle(self, done: Callable[[], bool]) -> bool:
        """Wait until `done`, or until the thread stands still without it: return False then."""
        still = Stillness(self._thread)
        with self._changed:
            while not done():
                if not self._changed.wait(POLL_SECONDS) and still.for_long():
                    return done()
        return True

    def _run(self) -> None:
        while True:
            self._work.acquire()
            if self._ending:
                return
            job = self._job
            assert job is not None
            job()
            with self._changed:
                self._job = None
                self._changed.notify_all()


class Stillness:
    """Tells by looking at it again and again whether a thread waits for something, or only has no turn.

    Its Python frames are not looked at: before CPython 3.11.8, sys._current_frames can hang the process.
    """

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self._seen: str | None = None
        self._polls = 0

    def for_long(self) -> bool:
        """Look at it; tell whether it has been still for so long that it must be blocked."""
        seen = _sleeps(self._thread.native_id) if _TELLS_SLEEP else "unknown"
        self._polls = self._polls + 1 if seen is not None and seen == self._seen else 0
        self._seen = seen
        return self._polls >= (BLOCKED_POLLS if _TELLS_SLEEP else SLOW_POLLS)


_TELLS_SLEEP = Path("/proc/self/task").exists()


def _sleeps(native_id: int | None) -> str | None:
    """Return how often a sleeping thread has gone to sleep; None if it runs or wants to.

    A thread that waits for the interpreter's lock wakes up every few milliseconds, so that its count rises.
    """
    try:
        status = Path(f"/proc/self/task/{native_id}/status").read_text("ascii", "replace")
    except OSError:
        return None
    return status[status.index("voluntary_ctxt_switches") :] if "State:\tS" in status else None
