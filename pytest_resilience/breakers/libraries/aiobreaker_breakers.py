"""Breakers of aiobreaker."""

import copy
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, cast

import aiobreaker.circuitbreaker
import aiobreaker.state
from aiobreaker import CircuitBreaker, CircuitBreakerListener, CircuitBreakerState
from aiobreaker.storage.memory import CircuitMemoryStorage

from pytest_resilience.breakers.adapter import (
    Adapter,
    AsyncDependency,
    Capability,
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
    "error_rate_threshold": "aiobreaker counts consecutive failures and knows no error rate",
    "slow_call_threshold": "aiobreaker does not time calls: a slow success is a success",
    "exponential_backoff": "aiobreaker stays open for the same timeout_duration after every failed probe",
}
_CAN: frozenset[Capability] = frozenset(
    {
        "call",
        "call_async",
        "generate",
        "wrap",
        "force_closed",
        "force_open",
        "force_half_open",
        "listen",
        "judge_by",
        "set_open_seconds",
        "zero_open_seconds",
    }
)


class AiobreakerAdapter(Adapter):
    """An aiobreaker breaker under test."""

    def __init__(self, breaker: CircuitBreaker, remark: str) -> None:
        self._breaker = breaker
        self.traits = read_traits(breaker, remark)

    def call(self, dependency: Dependency) -> object:
        return self._breaker.call(dependency)

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        return cast("Awaitable[object]", self._breaker.call_async(dependency))

    def generate(self, stream: Stream) -> Iterator[object]:
        # aiobreaker gives its own generator when the function returns one.
        return cast("Iterator[object]", self._breaker.call(stream))

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        return cast("Callable[[], object]", self._breaker(function))

    def force(self, state: State) -> None:
        breaker = self._breaker
        {"open": breaker.open, "half_open": breaker.half_open, "closed": breaker.close}[state]()

    def listen(self, listener: Callable[[str], None]) -> None:
        self._breaker.add_listener(_Telling(listener))

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        self._breaker.add_excluded_exception(ignore)

    def set_open_seconds(self, seconds: float) -> None:
        self._breaker.timeout_duration = timedelta(seconds=seconds)
        self.traits = read_traits(self._breaker, self.traits.remark)

    def zero_open_seconds(self) -> Adapter:
        return AiobreakerAdapter(CircuitBreaker(1, timedelta(0)), "")


class _Telling(CircuitBreakerListener):  # type: ignore[misc]
    """Tells of each event by its name."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def before_call(self, breaker: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        self._tell("before_call")

    def failure(self, breaker: Any, exception: Exception) -> None:
        self._tell("failure")

    def success(self, breaker: Any) -> None:
        self._tell("success")

    def state_change(self, breaker: Any, old: Any, new: Any) -> None:
        self._tell(f"state {new.state.name.lower()}")


def read_traits(breaker: CircuitBreaker, remark: str) -> Traits:
    """Return how `breaker` is set up; aiobreaker trips at the first failure if fail_max is below 1."""
    return Traits(
        threshold=calls_needed(breaker.fail_max),
        open_seconds=breaker.timeout_duration.total_seconds(),
        failure=counted_failure(breaker.is_system_error),
        ignored=ignored_error(breaker.is_system_error, breaker.excluded_exceptions),
        clocks=frozenset(("wall",)),
        can=_CAN,
        lacks={**_LACKS, **out_of_reach(fail_max=breaker.fail_max)},
        remark=remark,
    )


def _lend(made: object, hands: Hands, undo: ExitStack) -> Adapter:
    """Put a breaker under test, closed and on a private state; its listeners stay and hear what happens."""
    assert isinstance(made, CircuitBreaker)
    undo.enter_context(attributes_restored(made))
    return AiobreakerAdapter(made, _isolate(made))


def _isolate(breaker: CircuitBreaker) -> str:
    """Give `breaker` a closed state and counts of its own; say if its storage could not be used for that."""
    attributes = vars(breaker)
    storage = attributes["_state_storage"]
    attributes["_state_storage"] = CircuitMemoryStorage(CircuitBreakerState.CLOSED)
    attributes["_state"] = CircuitBreakerState.CLOSED.value(breaker)
    in_memory = isinstance(storage, CircuitMemoryStorage)
    return "" if in_memory else f"checked on memory storage, to leave its {type(storage).__name__} alone"


def twin(made: object) -> CircuitBreaker:
    """Return a closed breaker of the same class and settings that shares no counts."""
    other = copy.copy(made)
    _isolate(other)
    return other


LIBRARY = Library(
    name="aiobreaker",
    owns=lambda made: isinstance(made, CircuitBreaker),
    lend=_lend,
    twin=twin,
    clocks=(aiobreaker.circuitbreaker, aiobreaker.state),
)
