"""Breakers of pybreaker: borrow one for a check, give it back as it was."""

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pybreaker
from pybreaker import CircuitBreaker, CircuitBreakerListener, CircuitClosedState, CircuitMemoryStorage

from pytest_resilience.breakers.adapter import (
    Adapter,
    Dependency,
    Library,
    State,
    Stream,
    Traits,
)
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.libraries.support import (
    attributes_restored,
    calls_needed,
    counted_failure,
    ignored_error,
    out_of_reach,
)

_LACKS = {
    "error_rate_threshold": "pybreaker counts consecutive failures and knows no error rate",
    "slow_call_threshold": "pybreaker does not time calls: a slow success is a success",
    "exponential_backoff": "pybreaker stays open for the same reset_timeout after every failed probe",
}


class PybreakerAdapter(Adapter):
    """A pybreaker breaker under test."""

    def __init__(self, breaker: CircuitBreaker, remark: str = "") -> None:
        self._breaker = breaker
        self.traits = read_traits(breaker, remark)

    def call(self, dependency: Dependency) -> object:
        return self._breaker.call(dependency)

    def generate(self, stream: Stream) -> Iterator[object]:
        # pybreaker gives its own generator when the function returns one.
        return self._breaker.call(stream)

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        wrapped: Callable[[], object] = self._breaker(function)
        return wrapped

    def force(self, state: State) -> None:
        breaker = self._breaker
        {"open": breaker.open, "half_open": breaker.half_open, "closed": breaker.close}[state]()

    def listen(self, listener: Callable[[str], None]) -> None:
        self._breaker.add_listener(_Telling(listener))

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        self._breaker.add_excluded_exception(ignore)  # type: ignore[arg-type, type-var]

    def set_open_seconds(self, seconds: float) -> None:
        self._breaker.reset_timeout = seconds
        self.traits = read_traits(self._breaker, self.traits.remark)

    def zero_open_seconds(self) -> Adapter:
        return PybreakerAdapter(CircuitBreaker(fail_max=1, reset_timeout=0))


class _Telling(CircuitBreakerListener):
    """Tells of each event by its name."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def before_call(self, cb: CircuitBreaker, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._tell("before_call")

    def failure(self, cb: CircuitBreaker, exc: BaseException) -> None:
        self._tell("failure")

    def success(self, cb: CircuitBreaker) -> None:
        self._tell("success")

    def state_change(self, cb: CircuitBreaker, old_state: Any, new_state: Any) -> None:
        self._tell(f"state {new_state.name}")


def read_traits(breaker: CircuitBreaker, remark: str = "") -> Traits:
    """Return how `breaker` is set up; pybreaker trips at the first failure if fail_max is below 1."""
    return Traits(
        threshold=calls_needed(breaker.fail_max),
        open_seconds=float(breaker.reset_timeout),
        successes_to_close=calls_needed(breaker.success_threshold),
        half_open_limit=1,
        failure=counted_failure(breaker.is_system_error),
        ignored=ignored_error(breaker.is_system_error, breaker.excluded_exceptions),
        clocks=frozenset(("wall",)),
        can=frozenset(
            (
                *("call", "generate", "wrap", "listen", "judge_by", "set_open_seconds"),
                *("force_closed", "force_open", "force_half_open", "zero_open_seconds"),
            )
        ),
        lacks={
            **_LACKS,
            **out_of_reach(fail_max=breaker.fail_max, success_threshold=breaker.success_threshold),
        },
        remark=remark,
    )


def _lend(made: object, hands: Hands, undo: ExitStack) -> Adapter:
    """Put a breaker under test, closed and on a private state; its listeners stay and hear what happens."""
    assert isinstance(made, CircuitBreaker)
    undo.enter_context(attributes_restored(made))
    remark = _isolate(made)
    return PybreakerAdapter(made, remark)


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


def twin(made: object) -> CircuitBreaker:
    """Return a closed breaker of the same class and settings that shares no lock and no counts."""
    assert isinstance(made, CircuitBreaker)
    other = copy.copy(made)
    vars(other)["_lock"] = threading.RLock()
    _isolate(other)
    return other


LIBRARY = Library(
    name="pybreaker",
    owns=lambda made: isinstance(made, CircuitBreaker),
    lend=_lend,
    twin=twin,
    clocks=(pybreaker,),
)
