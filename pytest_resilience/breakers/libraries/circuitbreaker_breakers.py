"""Breakers of circuitbreaker: called through its decorator, because its call() never rejects."""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from inspect import getclosurevars, isfunction
from typing import Any, cast

import circuitbreaker
from circuitbreaker import CircuitBreaker, CircuitBreakerMonitor

from pytest_resilience.breakers.adapter import (
    Adapter,
    AsyncDependency,
    AsyncStream,
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
    "error_rate_threshold": "circuitbreaker counts consecutive failures and knows no error rate",
    "slow_call_threshold": "circuitbreaker does not time calls: a slow success is a success",
    "exponential_backoff": "circuitbreaker stays open for the same recovery_timeout after every failed probe",
}
_CAN: frozenset[Capability] = frozenset(
    {
        "call",
        "call_async",
        "generate",
        "generate_async",
        "wrap",
        "force_closed",
        "judge_by",
        "set_open_seconds",
        "zero_open_seconds",
    }
)


class CircuitbreakerAdapter(Adapter):
    """A circuitbreaker breaker under test."""

    def __init__(
        self, breaker: CircuitBreaker, remark: str, zero: Callable[[], Adapter], fallback: object = None
    ) -> None:
        self._breaker = breaker
        self._fallback = fallback
        self._zero = zero
        self._call, self._call_async = breaker(_call), breaker(_call_async)
        self._generate, self._generate_async = breaker(_generate), breaker(_generate_async)
        self.traits = read_traits(breaker, remark)

    def handed_out(self, made: object) -> object:
        vars(made)["_fallback_function"] = self._fallback
        return made

    def call(self, dependency: Dependency) -> object:
        return self._call(dependency)

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        return cast("Awaitable[object]", self._call_async(dependency))

    def generate(self, stream: Stream) -> Iterator[object]:
        return cast("Iterator[object]", self._generate(stream))

    def generate_async(self, stream: AsyncStream) -> AsyncIterator[object]:
        return cast("AsyncIterator[object]", self._generate_async(stream))

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        return cast("Callable[[], object]", self._breaker(function))

    def force(self, state: State) -> None:
        if state != "closed":
            raise self._cannot(f"force_{state}")
        self._breaker.reset()

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        counts = self._breaker.is_failure
        self._breaker.is_failure = lambda kind, error: counts(kind, error) and not ignore(error)

    def set_open_seconds(self, seconds: float) -> None:
        self._breaker._recovery_timeout = seconds  # noqa: SLF001
        self.traits = read_traits(self._breaker, self.traits.remark)

    def zero_open_seconds(self) -> Adapter:
        return self._zero()


def _call(dependency: Dependency) -> object:
    return dependency()


async def _call_async(dependency: AsyncDependency) -> object:
    return await dependency()


def _generate(stream: Stream) -> Iterator[object]:
    yield from stream()


async def _generate_async(stream: AsyncStream) -> AsyncIterator[object]:
    async for item in stream():
        yield item


def read_traits(breaker: CircuitBreaker, remark: str) -> Traits:
    """Return how `breaker` is set up."""
    settings = vars(breaker)
    threshold = settings["_failure_threshold"]
    declared = _declared(breaker.is_failure)

    def counts(error: Exception) -> object:
        return breaker.is_failure(type(error), error)

    return Traits(
        threshold=calls_needed(threshold),
        open_seconds=float(settings["_recovery_timeout"]),
        failure=counted_failure(counts, declared),
        ignored=ignored_error(counts),
        clocks=frozenset(("monotonic",)),
        can=_CAN,
        lacks={**_LACKS, **out_of_reach(failure_threshold=threshold)},
        remark=remark,
    )


def _declared(predicate: Any) -> tuple[object, ...]:
    """Return the types that the library's own predicate was made for, none of a user's."""
    if not isfunction(predicate):
        return ()
    types = getclosurevars(predicate).nonlocals.get("exc_types", ())
    return types if isinstance(types, tuple) else ()


def _lend(made: object, hands: Hands, undo: ExitStack) -> Adapter:
    assert isinstance(made, CircuitBreaker)
    undo.enter_context(attributes_restored(made))
    registered = CircuitBreakerMonitor.circuit_breakers
    undo.callback(_restore_registered, registered, dict(registered), made)
    made.reset()
    fallback = vars(made)["_fallback_function"]
    vars(made)["_fallback_function"] = None
    remark = "checked without its fallback_function" if fallback else ""
    return CircuitbreakerAdapter(made, remark, lambda: _lend(CircuitBreaker(1, 0), hands, undo), fallback)


def _restore_registered(
    registered: dict[str, CircuitBreaker], before: dict[str, CircuitBreaker], made: CircuitBreaker
) -> None:
    """Undo what decorating put into the library's monitor, and nothing that others put there."""
    for name in [name for name, breaker in registered.items() if breaker is made]:
        if name in before:
            registered[name] = before[name]
        else:
            del registered[name]


def twin(made: object) -> CircuitBreaker:
    """Return a closed breaker of the same class and settings."""
    assert isinstance(made, CircuitBreaker)
    other = copy.copy(made)
    other.reset()
    return other


LIBRARY = Library(
    name="circuitbreaker",
    owns=lambda made: isinstance(made, CircuitBreaker),
    lend=_lend,
    twin=twin,
    clocks=(circuitbreaker,),
)
