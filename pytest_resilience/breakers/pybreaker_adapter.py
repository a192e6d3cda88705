"""Breakers of pybreaker: borrow one for a check, move its time, give it back as it was."""

import copy
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import pybreaker
from pybreaker import CircuitBreaker, CircuitClosedState, CircuitMemoryStorage

from pytest_resilience.breakers.adapter import Traits
from pytest_resilience.breakers.wall_clock import WallHand, moved_wall_clock
from pytest_resilience.clock import ManualClock
from pytest_resilience.errors import ResilienceError, requirement

Build: TypeAlias = Callable[[], CircuitBreaker]
Lend: TypeAlias = Callable[[CircuitBreaker], "PybreakerAdapter"]

# A check calls a breaker a few times its thresholds; beyond this it would no longer be quick.
MOST_CALLS = 10_000

_FAILURES = (ConnectionError, TimeoutError, RuntimeError)
_DRIVEN = ("failure_threshold", "half_open_recovery", "forced_state_transitions", "concurrent_failures")
_LACKS = {
    "error_rate_threshold": "pybreaker counts consecutive failures and knows no error rate",
    "slow_call_threshold": "pybreaker does not time calls: a slow success is a success",
    "exponential_backoff": "pybreaker stays open for the same reset_timeout after every failed probe",
}


class PybreakerAdapter:
    """A pybreaker breaker under test, on the time of `hand`."""

    def __init__(self, breaker: CircuitBreaker, hand: WallHand, remark: str = "") -> None:
        self._breaker = breaker
        self._hand = hand
        self.traits = read_traits(breaker, remark)

    def call(self, dependency: Callable[[], object]) -> object:
        with self._hand:
            return self._breaker.call(dependency)

    def force_open(self) -> None:
        with self._hand:
            self._breaker.open()

    def force_half_open(self) -> None:
        with self._hand:
            self._breaker.half_open()

    def force_closed(self) -> None:
        with self._hand:
            self._breaker.close()


def read_traits(breaker: CircuitBreaker, remark: str = "") -> Traits:
    """Return how `breaker` is set up; pybreaker trips at the first failure if fail_max is below 1."""
    return Traits(
        threshold=_calls_needed(breaker.fail_max),
        open_seconds=float(breaker.reset_timeout),
        successes_to_close=_calls_needed(breaker.success_threshold),
        failure=next((error for error in _FAILURES if _counts(breaker, error)), _FAILURES[0]),
        lacks=_LACKS | _out_of_reach(breaker),
        remark=remark,
    )


def _calls_needed(setting: float) -> int:
    return max(1, math.ceil(min(setting, MOST_CALLS)))


def _out_of_reach(breaker: CircuitBreaker) -> dict[str, str]:
    for name in ("fail_max", "success_threshold"):
        value = getattr(breaker, name)
        if value > MOST_CALLS:
            reason = f"{name}={value} is more than the {MOST_CALLS} calls that a check makes"
            return dict.fromkeys(_DRIVEN, reason)
    return {}


def _counts(breaker: CircuitBreaker, error: type[Exception]) -> bool:
    try:
        return breaker.is_system_error(error("the dependency is down"))
    except Exception:  # a user's exclusion that raises: the scenarios will show what follows from it
        return False


@contextmanager
def pybreaker_bench(time: ManualClock) -> Iterator[Lend]:
    """Yield a function that puts a breaker under test on `time`; at the end everything is as it was.

    A lent breaker starts closed, on a private state. Its listeners stay and hear what happens to it.
    Nothing else may call it meanwhile: it would be rejected when the check opens it.
    """
    with ExitStack() as undo:
        hand = undo.enter_context(moved_wall_clock(pybreaker, time))

        def lend(breaker: CircuitBreaker) -> PybreakerAdapter:
            undo.enter_context(attributes_restored(breaker))
            return PybreakerAdapter(breaker, hand, remark=_isolate(breaker))

        yield lend


@contextmanager
def attributes_restored(breaker: CircuitBreaker) -> Iterator[None]:
    """Bind each attribute of `breaker` again as it was: settings, state and the storage of its counts."""
    attributes = vars(breaker)
    saved = dict(attributes)
    try:
        yield
    finally:
        attributes.update(saved)
        for added in attributes.keys() - saved.keys():
            del attributes[added]


def _isolate(breaker: CircuitBreaker) -> str:
    """Give `breaker` a closed state and counts of its own; say if its storage could not be used for that."""
    attributes = vars(breaker)
    storage = attributes["_state_storage"]
    in_memory = isinstance(storage, CircuitMemoryStorage)
    private = copy.copy(storage) if in_memory else CircuitMemoryStorage(pybreaker.STATE_CLOSED)
    private.state = pybreaker.STATE_CLOSED
    private.reset_counter()
    private.reset_success_counter()
    attributes["_state_storage"] = private
    attributes["_state"] = CircuitClosedState(breaker)
    return "" if in_memory else f"checked on memory storage, to leave its {type(storage).__name__} alone"


def twin(breaker: CircuitBreaker) -> CircuitBreaker:
    """Return a closed breaker of the same class and settings that shares no lock and no counts."""
    other = copy.copy(breaker)
    vars(other)["_lock"] = threading.RLock()
    _isolate(other)
    return other


def pybreaker_factory(name: str, source: object) -> Build:
    """Return a function that gives the breaker to check: `source` itself, or what it returns when called.

    Raise ResilienceError if it is neither a breaker nor a factory of breakers.
    """
    if isinstance(source, CircuitBreaker):
        return lambda: source
    if not callable(source):
        raise _unsupported(name, source)

    def build() -> CircuitBreaker:
        return _built(name, source)

    build()
    return build


def _built(name: str, factory: Callable[[], object]) -> CircuitBreaker:
    try:
        breaker = factory()
    except Exception as reason:
        failed = f"Calling it raised {type(reason).__name__}: {reason}."
        raise _unsupported(name, factory, failed) from reason
    if not isinstance(breaker, CircuitBreaker):
        raise _unsupported(name, breaker)
    return breaker


def _unsupported(name: str, value: object, fix: str = "This version supports pybreaker.") -> ResilienceError:
    allowed = "a pybreaker.CircuitBreaker, or a function without arguments that returns one"
    return ResilienceError(requirement(f"Breaker {name!r}", allowed, value, fix))
