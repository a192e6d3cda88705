"""Move the clocks that a module reads, for the calls of a check and for nobody else."""

import datetime as dt
import threading
import time as time_module
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from types import ModuleType
from typing import Any

from pytest_resilience.breakers.hands import Hands

# One check at a time moves a library's clocks, so that undoing one never brings back another's.
_MOVING = threading.RLock()

_NANOSECONDS = 1_000_000_000
_MONOTONIC = ("monotonic", "perf_counter")
_WALL = ("time",)


@contextmanager
def moved_clocks(modules: Iterable[ModuleType], hands: Hands) -> Iterator[int]:
    """Let the names in `modules` that are clocks of the standard library follow `hands` inside `with hands:`.

    Yields how many names were replaced.
    """
    with _MOVING:
        moved = _moved_values(hands)
        replaced: list[tuple[dict[str, Any], str, object]] = []
        try:
            for names in [vars(module) for module in modules]:
                for name, value in list(names.items()):
                    if id(value) in moved:
                        replaced.append((names, name, value))
                        names[name] = moved[id(value)]
            yield len(replaced)
        finally:
            for names, name, value in reversed(replaced):
                names[name] = value


def _moved_values(hands: Hands) -> dict[int, object]:
    """Return what stands in for each clock, by the identity of the real one."""
    functions = {name: _moved_function(name, hands) for name in _clock_functions()}
    moved: dict[int, object] = {
        id(getattr(time_module, name)): function for name, function in functions.items()
    }
    moved_class = _moved_datetime(datetime, hands)
    moved[id(datetime)] = moved_class
    moved[id(time_module)] = _stand_in(time_module, functions)
    moved[id(dt)] = _stand_in(dt, {"datetime": moved_class})
    return moved


def _clock_functions() -> list[str]:
    return [name + suffix for name in (*_MONOTONIC, *_WALL) for suffix in ("", "_ns")]


def _moved_function(name: str, hands: Hands) -> Callable[[], float]:
    real = getattr(time_module, name)
    hand = hands.wall if name.removesuffix("_ns") in _WALL else hands.now
    if name.endswith("_ns"):
        return lambda: int(hand() * _NANOSECONDS) if hands.seen else real()
    return lambda: hand() if hands.seen else real()


def _stand_in(module: ModuleType, names: dict[str, Any]) -> ModuleType:
    stand_in = ModuleType(module.__name__, module.__doc__)
    vars(stand_in).update({**vars(module), **names})
    return stand_in


def _moved_datetime(real: type[datetime], hands: Hands) -> type[datetime]:
    class SameInstances(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

    class MovedDatetime(real, metaclass=SameInstances):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return hands.datetime(tz) if hands.seen else real.now(tz)

        @classmethod
        def today(cls) -> datetime:
            return hands.datetime() if hands.seen else real.today()

        @classmethod
        def utcnow(cls) -> datetime:
            return (hands.datetime(UTC) if hands.seen else real.now(UTC)).replace(tzinfo=None)

    return MovedDatetime
