"""Breakers of nopanic, which take a clock."""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

from nopanic import CircuitBreaker

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

_STATE = ("_lock", "_state", "_window", "_opened_at", "_half_open_inflight", "_half_open_successes")
_CAN: frozenset[Capability] = frozenset(
    {
        "call",
        "call_async",
        "generate",
        "generate_async",
        "wrap",
        "force_closed",
        "force_open",
        "listen",
        "judge_by",
        "set_open_seconds",
        "zero_open_seconds",
    }
)


class NopanicAdapter(Adapter):
    """A nopanic breaker under test."""

    def __init__(self, breaker: CircuitBreaker, zero: Callable[[], Adapter]) -> None:
        self._breaker = breaker
        self._zero = zero
        self.traits = read_traits(breaker)

    def call(self, dependency: Dependency) -> object:
        return self._breaker.call(dependency)

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        return self._breaker.acall(dependency)

    def generate(self, stream: Stream) -> Iterator[object]:
        def generator() -> Iterator[object]:
            yield from stream()

        return self._breaker(generator)()

    def generate_async(self, stream: AsyncStream) -> AsyncIterator[object]:
        async def generator() -> AsyncIterator[object]:
            async for item in stream():
                yield item

        return self._breaker(generator)()

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        return self._breaker(function)

    def force(self, state: State) -> None:
        if state == "half_open":
            raise self._cannot("force_half_open")
        {"open": self._breaker.force_open, "closed": self._breaker.reset}[state]()

    def listen(self, listener: Callable[[str], None]) -> None:
        self._breaker.on_state_change = lambda breaker, old, new: listener(f"state {new}")

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        on = self._breaker.on
        self._breaker.on = lambda error: _matches(error, on) and not ignore(error)
        self.traits = read_traits(self._breaker)

    def set_open_seconds(self, seconds: float) -> None:
        self._breaker.reset_timeout = seconds
        self.traits = read_traits(self._breaker)

    def zero_open_seconds(self) -> Adapter:
        return self._zero()


def _matches(error: BaseException, on: Any) -> bool:
    return isinstance(error, on) if isinstance(on, (type, tuple)) else bool(on(error))


def read_traits(breaker: CircuitBreaker) -> Traits:
    """Return how `breaker` is set up."""
    on = breaker.on

    def counts(error: Exception) -> bool:
        return _matches(error, on)

    return Traits(
        threshold=calls_needed(breaker.min_calls),
        open_seconds=breaker.reset_timeout,
        successes_to_close=calls_needed(breaker.half_open_max_calls),
        half_open_limit=breaker.half_open_max_calls,
        consecutive=False,
        error_rate=breaker.failure_threshold,
        window_seconds=breaker.window,
        slow_seconds=breaker.slow_call_duration,
        slow_rate=None if breaker.slow_call_duration is None else breaker.slow_call_threshold,
        failure=counted_failure(counts, on if isinstance(on, tuple) else (on,)),
        ignored=ignored_error(counts),
        ignored_counts="neutral",
        cancelled_counts="neutral",
        base_exception_counts="neutral",
        forced_open_stays=True,
        clocks=frozenset(("monotonic",)),
        can=_CAN,
        lacks=_lacks(breaker),
    )


def _lacks(breaker: CircuitBreaker) -> dict[str, str]:
    lacks = dict(out_of_reach(min_calls=breaker.min_calls, half_open_max_calls=breaker.half_open_max_calls))
    lacks["exponential_backoff"] = "nopanic stays open for the same reset_timeout after every failed probe"
    if breaker.slow_call_duration is None:
        lacks["slow_call_threshold"] = "this breaker is set up without slow_call_duration"
    return lacks


def _lend(made: object, hands: Hands, undo: ExitStack) -> Adapter:
    """Put a breaker under test, closed; its on_state_change stays and hears what happens."""
    assert isinstance(made, CircuitBreaker)
    undo.enter_context(attributes_restored(made))
    _isolate(made)
    cast("Any", made)._clock = hands.now  # noqa: SLF001  (bound when it was made: no patch would reach it)
    return NopanicAdapter(made, lambda: _lend(CircuitBreaker(min_calls=1, reset_timeout=0), hands, undo))


def _isolate(breaker: CircuitBreaker) -> None:
    """Give `breaker` a closed state, counts and a lock of its own."""
    fresh = CircuitBreaker(window=breaker.window, window_buckets=breaker.window_buckets)
    for name in _STATE:
        setattr(breaker, name, getattr(fresh, name))


def twin(made: object) -> CircuitBreaker:
    """Return a closed breaker of the same class and settings that shares no counts."""
    assert isinstance(made, CircuitBreaker)
    other = copy.copy(made)
    _isolate(other)
    return other


LIBRARY = Library(
    name="nopanic",
    owns=lambda made: isinstance(made, CircuitBreaker),
    lend=_lend,
    twin=twin,
)
