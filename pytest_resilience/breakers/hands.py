"""Virtual time with two hands, a wall clock and a monotonic one, that move together or apart."""

import threading
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from time import monotonic, sleep, time

from pytest_resilience.breakers.limits import MARGIN, REAL_MARGIN
from pytest_resilience.errors import ResilienceError


class VacuousClockError(ResilienceError):
    """The time that a check moves is not the time that the breaker reads."""


class _Depth(threading.local):
    value = 0


class Hands:
    """Virtual time in seconds; the wall hand can be stepped alone, as NTP and administrators do.

    It starts at the real time, and moves only when told to. Patched clocks show it only to calls made inside
    `with hands:`, each thread for itself; all others see the real time.
    """

    virtual = True

    margin = MARGIN
    """Instants exactly at the timeout say nothing: a check looks this share before and after it."""

    def __init__(self) -> None:
        self._monotonic = monotonic()
        self._wall = time()
        self.zone: tzinfo = UTC
        self.reads = 0
        self._depth = _Depth()

    def __enter__(self) -> None:
        self._depth.value += 1

    def __exit__(self, *_: object) -> None:
        self._depth.value -= 1

    @property
    def seen(self) -> bool:
        """Tell whether the calling thread is inside a call of the check."""
        return self._depth.value > 0

    def now(self) -> float:
        """Return the monotonic hand; this and the other readings are counted as `reads`."""
        self.reads += 1
        return self._monotonic

    def wall(self) -> float:
        """Return the wall hand, in seconds since 1970."""
        self.reads += 1
        return self._wall

    def peek(self) -> float:
        """Return the monotonic hand, uncounted."""
        return self._monotonic

    def datetime(self, zone: tzinfo | None = None) -> datetime:
        """Return the wall hand in `zone`; naive and in the local zone of the hands without one."""
        self.reads += 1
        moment = datetime.fromtimestamp(self._wall, self.zone if zone is None else zone)
        return moment.replace(tzinfo=None) if zone is None else moment

    def advance(self, seconds: float) -> None:
        """Let time pass: both hands move."""
        self._monotonic += seconds
        self._wall += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back if negative; no time passes."""
        self._wall += seconds

    def set_zone(self, hours: float) -> None:
        """Travel to a time zone, or put summer time on: the local time changes, no time passes."""
        self.zone = timezone(timedelta(hours=hours))


class RealHands(Hands):
    """The machine's time: letting it pass is waiting, and it cannot be stepped."""

    virtual = False

    margin = REAL_MARGIN

    @property
    def seen(self) -> bool:
        return False

    def now(self) -> float:
        return monotonic()

    def wall(self) -> float:
        return time()

    def peek(self) -> float:
        return monotonic()

    def advance(self, seconds: float) -> None:
        sleep(max(0.0, seconds))

    def step_wall(self, seconds: float) -> None:
        raise ResilienceError("The machine's clock cannot be stepped. Check with real_time=False.")

    def set_zone(self, hours: float) -> None:
        raise ResilienceError("The machine's zone cannot be changed. Check with real_time=False.")
