"""A process that has run out of file descriptors: the limit is lowered to what is in use."""

import errno
import fcntl
import resource
import select
import sys
import threading
from collections.abc import Iterator
from itertools import count, islice

from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ScenarioError, requirement


class Limit:
    """The soft limit of this process for descriptors, and who wants it low.

    A change is "write down who wants what, then make the limit agree": an interrupt between the two is
    settled by the next change. The lock may be taken again by its own thread, as in a signal handler.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._spares: dict[object, int] = {}
        self._former: int | None = None

    def lower(self, holder: object, spare: int) -> None:
        """Let only `spare` more descriptors be opened until `holder` gives its wish back."""
        with self._lock:
            if self._former is None:
                self._former = _soft()
            self._spares[holder] = spare
            _set(min(_soft(), self._wanted()))
            while (wanted := self._wanted()) < _soft():  # another thread closed one meanwhile
                _set(wanted)
            self._make_room()

    def give_back(self, holder: object) -> None:
        """Take back what `holder` wished; doing it again, or without it, changes nothing."""
        with self._lock:
            self._spares.pop(holder, None)
            if self._former is not None:
                _set(self._wanted())
                self._make_room()
                self._former = self._former if self._spares else None

    def former(self) -> int:
        """Return the limit as it is while nobody lowers it."""
        former = self._former
        return _soft() if former is None else former

    def _make_room(self) -> None:
        """Count what nobody sees: a thread that waits in accept() has a number reserved for who comes.

        So try: one more than is spared must be too many, and just so.
        """
        if not self._spares:
            return
        spare = min(self._spares.values())
        while _soft() < self.former():
            _set(_soft() + 1)
            if _openable(spare + 1) > spare:
                _set(_soft() - 1)
                break

    def _wanted(self) -> int:
        former = self.former()
        if not self._spares:
            return former
        return next(islice(_free(former), min(self._spares.values()), None), former)


LIMIT = Limit()
"""The limit is the process's, and so is the record of who lowered it."""


class Descriptors:
    """Lets this process open only `spare` more descriptors: files, sockets, pipes, folders.

    All threads are hit, and everything in them: while it is active no module can be imported for the first
    time, no process started, no SQLite database opened, no event loop made, and a traceback shows no source
    lines. What is open goes on working, and who closes a descriptor can open another.

    A context manager. A check fires when the process really could not open one file more than is spared
    (EMFILE); one is made at the start, one before the end, and one at each `check()`.
    """

    def __init__(self, spare: int = 0, clock: Clock | None = None) -> None:
        if spare < 0:
            raise ScenarioError(requirement("spare", "0 or more descriptors", spare))
        self._spare = spare
        self._clock = clock or SystemClock()
        self._active = False
        self._reached = 0
        self._fired = 0
        self._first: float | None = None
        self._last: float | None = None

    def start(self) -> None:
        """Lower the limit; raise ScenarioError if there are no more free descriptors than shall be spared."""
        free = sum(1 for _ in islice(_free(LIMIT.former()), self._spare + 1))
        if free <= self._spare:
            fix = "Spare fewer."
            raise ScenarioError(requirement("spare", f"below the {free} free descriptors", self._spare, fix))
        self._active = True
        LIMIT.lower(self, self._spare)
        self.check()

    def stop(self) -> None:
        """Restore the limit; doing it again changes nothing."""
        try:
            if self._active:
                self.check()
        finally:
            LIMIT.give_back(self)
            self._active = False

    def check(self) -> None:
        """Try to open one file more than is spared, and count whether that failed."""
        self._reached += 1
        if _openable(self._spare + 1) <= self._spare:
            self._fired += 1
            self._last = self._clock.now()
            self._first = self._last if self._first is None else self._first

    def touched(self) -> Touched:
        """Return the evidence so far."""
        detail = f"{self._fired} of {self._reached} checks met EMFILE" if self._reached else ""
        return Touched(self._reached, self._fired, self._first, self._last, detail)

    def __enter__(self) -> "Descriptors":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _free(limit: int) -> Iterator[int]:
    """Yield the numbers below a limit that are not in use, lowest first."""
    numbers = count() if limit == resource.RLIM_INFINITY else range(limit)
    return (number for number in numbers if not _is_open(number))


def _openable(most: int) -> int:
    """Return how many files can be opened at once before EMFILE, up to `most`; none of them stays open."""
    opened: list[object] = []
    try:
        opened.extend(_open() for _ in range(most))
    except OSError as failure:
        if failure.errno != errno.EMFILE:
            raise
        return len(opened)
    finally:
        opened.clear()  # also for who keeps the traceback
    return most


def _open() -> object:
    """Open the cheapest file whose object closes it: a bare number would be lost to an interrupt."""
    opened: object = getattr(select, "epoll" if sys.platform == "linux" else "kqueue")()
    return opened


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _set(soft: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
