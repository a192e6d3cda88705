"""The event that ends the waits of a fault when it is removed."""

import threading
from contextlib import suppress


class Release(threading.Event):
    """An Event that an interrupt cannot leave locked.

    A plain Event guards itself with one lock; KeyboardInterrupt between taking and guarding it would block
    every later `set()`, and with it the removal of the fault. Here each waiter has a lock of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._released = False
        self._waiters: dict[threading.Lock, None] = {}

    def is_set(self) -> bool:
        return self._released

    def set(self) -> None:
        self._released = True
        for waiter in tuple(self._waiters):
            with suppress(RuntimeError):  # already released
                waiter.release()

    def wait(self, timeout: float | None = None) -> bool:
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters[waiter] = None
        try:
            if not self._released:
                waiter.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        finally:
            self._waiters.pop(waiter, None)
        return self._released
