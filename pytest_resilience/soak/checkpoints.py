"""When memory is read after a garbage collection: cheaply, and always where growth is judged."""

import threading

SHARE = 0.02
SHARE_WHERE_JUDGED = 0.05
PLACES_BEFORE = (0.80, 0.86, 0.92, 0.98)
PLACES_AFTER = (0.915, 0.94, 0.965, 0.99)


def due_times(started: float, ended: float, places: tuple[float, ...]) -> tuple[float, ...]:
    """Return the times at these shares of a phase."""
    return tuple(started + place * (ended - started) for place in places)


class Checkpoints:
    """Says when the `next` checkpoint is due (run seconds).

    The first of a phase `begins` it. Regular checkpoints stay under a share of the time, whatever one costs;
    those planned as due are taken anyway.
    `plan` may be called on any thread.
    """

    def __init__(self) -> None:
        self.next = float("inf")
        self.begins = False
        self._lock = threading.Lock()
        self._period, self._share = float("inf"), SHARE
        self._due: tuple[float, ...] = ()

    def plan(self, now: float, period: float, due: tuple[float, ...], share: float = SHARE) -> None:
        """Begin a phase: one checkpoint now, then one each `period` seconds, and those at `due`.

        The regular ones take at most `share` of the time.
        """
        with self._lock:
            self._period, self._share, self._due, self.next = period, share, due, now
            self.begins = True

    def ask(self, now: float) -> None:
        """Have one taken at once."""
        with self._lock:
            self.next = min(self.next, now)

    def room(self, now: float) -> float:
        """Return the seconds until one that must be taken in time; infinity if none is planned."""
        with self._lock:
            return min(self._due, default=float("inf")) - now

    def cost_of(self, gap: float) -> float:
        """Return what a checkpoint may cost if the next one comes after so many seconds."""
        return self._share * gap

    def taken(self, now: float, cost: float) -> None:
        """Plan the next one after a checkpoint that cost this many seconds."""
        with self._lock:
            self.begins = False
            self._due = tuple(time for time in self._due if time > now)
            self.next = min(now + max(self._period, cost / self._share), *self._due, float("inf"))
