"""What the support of several libraries needs: give a breaker back as it was, find errors that it counts."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from pytest_resilience.breakers.limits import MOST_CALLS, SCENARIOS_BY_CALLS

FAILURES: tuple[type[Exception], ...] = (ConnectionError, TimeoutError, RuntimeError)

_UNSET = object()
_STREAMS = ("closed_streams_open", "slot_lost_by_closed_stream", "failing_streams_missed")


@contextmanager
def attributes_restored(made: object) -> Iterator[None]:
    """Bind each attribute of `made`, in slots too, as it was; meanwhile its lists and mappings are copies."""
    saved = {name: getattr(made, name, _UNSET) for name in _attributes(made)}
    try:
        for name, value in saved.items():
            if isinstance(value, (list, dict)):
                object.__setattr__(made, name, copy.copy(value))
        yield
    finally:
        for name in (*saved, *(_attributes(made) - saved.keys())):
            value = saved.get(name, _UNSET)
            if value is not _UNSET:
                object.__setattr__(made, name, value)
            elif hasattr(made, name):
                object.__delattr__(made, name)


def _attributes(made: object) -> set[str]:
    slots = (vars(kind).get("__slots__", ()) for kind in type(made).__mro__)
    named = {name for names in slots for name in ((names,) if isinstance(names, str) else names)}
    return (named - {"__dict__", "__weakref__"}) | set(getattr(made, "__dict__", ()))


def calls_needed(setting: float) -> int:
    """Return how many calls reach a setting: at least one, and no more than a check makes."""
    return max(1, math.ceil(min(setting, MOST_CALLS)))


def out_of_reach(**settings: float) -> Mapping[str, str]:
    """Return why the scenarios that count calls do not apply, where a setting is too large for them."""
    for name, value in settings.items():
        if value > MOST_CALLS:
            reason = f"{name}={value} is more than the {MOST_CALLS} calls that a check makes"
            return dict.fromkeys(SCENARIOS_BY_CALLS, reason)
    return {}


def no_generators(library: str) -> Mapping[str, str]:
    """Return why the hazards of streams do not apply to a library."""
    return dict.fromkeys(_STREAMS, f"{library} does not guard generator functions")


def counted_failure(
    counts: Callable[[Exception], object], declared: Iterable[object] = ()
) -> type[Exception]:
    """Return an error type that a breaker counts: one of the usual, else one `declared` in its settings."""
    candidates: list[type[Exception]] = [*FAILURES, *_errors(declared)]
    return next((kind for kind in candidates if _counted(kind, counts)), FAILURES[0])


def ignored_error(
    counts: Callable[[Exception], object], declared: Iterable[object] = ()
) -> type[Exception] | None:
    """Return an error type that a breaker does not count, None if none of those that come to mind is one."""
    candidates: list[type[Exception]] = [*_errors(declared), LookupError, *FAILURES]
    return next((kind for kind in candidates if _counted(kind, counts) is False), None)


def _errors(declared: Iterable[object]) -> list[type[Exception]]:
    return [kind for kind in declared if isinstance(kind, type) and issubclass(kind, Exception)]


def _counted(kind: type[Exception], counts: Callable[[Exception], object]) -> bool | None:
    try:
        return bool(counts(kind("the dependency is down")))
    except Exception:  # a predicate that raises, or an error that needs more to be built: not this one
        return None
