"""When memory is read after a garbage collection: cheaply, and always where growth is judged."""

import threading

SHARE = 0.02
PLACES_BEFORE = (0.80, 0.86, 0.92, 0.98)
PLACES_AFTER = (0.915, 0.94, 0.965, 0.99)


def due_times(started: float, ended: float, places: tuple[float, ...]) -> tuple[float, ...]:
    """Return the times at these shares of a phase."""
    return tuple(started + place * (ended - started) for place in places)


class Checkpoints:
    """Says when the `next` checkpoint is due (run seconds).

    Regular checkpoints stay under 2 % of the time, whatever one costs; those planned as due are taken anyway.
    `plan` may be called on any thread.
    """

    def __init__(self) -> None:
        self.next = float("inf")
        self._lock = threading.Lock()
        self._period = float("inf")
        self._due: tuple[float, ...] = ()

    def plan(self, now: float, period: float, due: tuple[float, ...]) -> None:
        """Begin a phase: one checkpoint now, then one each `period` seconds, and those at `due`."""
        with self._lock:
            self._period, self._due, self.next = period, due, now

    def ask(self, now: float) -> None:
        """Have one taken at once."""
        with self._lock:
            self.next = min(self.next, now)

    def room(self, now: float) -> float:
        """Return the seconds until one that must be taken in time; infinity if none is planned."""
        with self._lock:
            return min(self._due, default=float("inf")) - now

    def taken(self, now: float, cost: float) -> None:
        """Plan the next one after a checkpoint that cost this many seconds."""
        with self._lock:
            self._due = tuple(time for time in self._due if time > now)
            self.next = min(now + max(self._period, cost / SHARE), *self._due, float("inf"))
