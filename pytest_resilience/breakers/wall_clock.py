"""Move the wall clock that a library reads, for the calls of a check and for nobody else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType

from pytest_resilience.clock import ManualClock

# One check at a time moves a library's clock, so that undoing one never brings back another's.
_MOVING = threading.RLock()


class _Depth(threading.local):
    value = 0


class WallHand:
    """Virtual wall time that is seen only by calls made inside `with hand:`, each thread for itself."""

    def __init__(self, time: ManualClock) -> None:
        self._time = time
        self._start = datetime.now(UTC) - timedelta(seconds=time.now())
        self._depth = _Depth()

    def __enter__(self) -> None:
        self._depth.value += 1

    def __exit__(self, *_: object) -> None:
        self._depth.value -= 1

    @property
    def seen(self) -> bool:
        """Tell whether the calling thread is inside a call of the check."""
        return self._depth.value > 0

    def now(self, tz: tzinfo | None) -> datetime:
        """Return the virtual time."""
        return (self._start + timedelta(seconds=self._time.now())).astimezone(tz)


@contextmanager
def moved_wall_clock(module: ModuleType, time: ManualClock) -> Iterator[WallHand]:
    """Replace the `datetime` that `module` reads by one that follows `time` inside `with hand:`."""
    hand = WallHand(time)
    with _MOVING:
        real = vars(module)["datetime"]
        try:
            vars(module)["datetime"] = _moved(real, hand)
            yield hand
        finally:
            vars(module)["datetime"] = real


def _moved(real: type[datetime], hand: WallHand) -> type[datetime]:
    class MovedDatetime(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return hand.now(tz) if hand.seen else real.now(tz)

    return MovedDatetime
