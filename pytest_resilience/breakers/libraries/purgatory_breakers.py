"""Breakers of purgatory: its factories, called through their decorator, and the breakers that they give."""

import copy
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, TypeAlias, cast

import purgatory.domain.model
from purgatory import (
    AsyncCircuitBreakerFactory,
    AsyncInMemoryUnitOfWork,
    SyncCircuitBreakerFactory,
    SyncInMemoryUnitOfWork,
)
from purgatory.domain.model import Context
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker
from purgatory.service._async.circuitbreaker import PublicEvent as AsyncEvents
from purgatory.service._sync.circuitbreaker import PublicEvent as SyncEvents
from purgatory.service._sync.circuitbreaker import SyncCircuitBreaker

from pytest_resilience.breakers.adapter import (
    Adapter,
    AsyncDependency,
    Capability,
    Dependency,
    Library,
    Traits,
)
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.libraries.support import (
    attributes_restored,
    calls_needed,
    counted_failure,
    ignored_error,
    no_generators,
    out_of_reach,
)

Factory: TypeAlias = SyncCircuitBreakerFactory | AsyncCircuitBreakerFactory
Breaker: TypeAlias = SyncCircuitBreaker | AsyncCircuitBreaker

_FACTORIES = (SyncCircuitBreakerFactory, AsyncCircuitBreakerFactory)
_BREAKERS = (SyncCircuitBreaker, AsyncCircuitBreaker)
_SYNC = (SyncCircuitBreakerFactory, SyncCircuitBreaker)
_IN_MEMORY = (SyncInMemoryUnitOfWork, AsyncInMemoryUnitOfWork)

_CIRCUIT = "pytest-resilience"
"""The circuit of a factory under test."""

_STATES = {"closed": "closed", "opened": "open", "half-opened": "half_open"}

_LACKS = {
    "error_rate_threshold": "purgatory counts consecutive failures and knows no error rate",
    "slow_call_threshold": "purgatory does not time calls: a slow success is a success",
    "exponential_backoff": "purgatory stays open for the same ttl after every failed probe",
    "forced_state_transitions": "purgatory has no calls that open, half-open or close a breaker by hand",
    **no_generators("purgatory"),
}


class PurgatoryAdapter(Adapter):
    """A breaker or a circuit of a factory of purgatory under test, sync or async as it is."""

    def __init__(
        self, made: Factory | Breaker, context: Context, remark: str, zero: Callable[[], Adapter]
    ) -> None:
        self._made = made
        self._zero = zero
        self._context = context
        self._remark = remark
        self._sync = isinstance(made, _SYNC)
        if isinstance(made, _FACTORIES):
            self._decorated: Any = made(_CIRCUIT)(_call if self._sync else _call_async)
        self._read_traits()

    def _read_traits(self) -> None:
        self.traits = read_traits(self._made, self._context, self._remark)

    def call(self, dependency: Dependency) -> object:
        if not self._sync:
            raise self._cannot("call")
        if isinstance(self._made, SyncCircuitBreaker):
            with self._made:
                return dependency()
        return cast("object", self._decorated(dependency))

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        if self._sync:
            raise self._cannot("call_async")
        if isinstance(self._made, AsyncCircuitBreaker):
            return _inside(self._made, dependency)
        return cast("Awaitable[object]", self._decorated(dependency))

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        if isinstance(self._made, _BREAKERS):
            raise self._cannot("wrap")
        return cast("Callable[[], object]", self._made(_CIRCUIT)(function))

    def listen(self, listener: Callable[[str], None]) -> None:
        events: Any = SyncEvents if self._sync else AsyncEvents
        events(self._made.messagebus, lambda circuit, event, message: listener(_told(event, message)))

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        exclusion = (BaseException, ignore)
        self._context.exclude_list.append(exclusion)
        if isinstance(self._made, _FACTORIES):
            self._made.global_exclude.append(exclusion)
        self._read_traits()

    def set_open_seconds(self, seconds: float) -> None:
        self._context.ttl = seconds
        self._read_traits()

    def zero_open_seconds(self) -> Adapter:
        return self._zero()


def _told(event: str, message: Any) -> str:
    """Name an event; a change of state by the state, as other libraries call it."""
    return f"state {_STATES[message.state]}" if event == "state_changed" else event


def _call(dependency: Dependency) -> object:
    return dependency()


async def _call_async(dependency: AsyncDependency) -> object:
    return await dependency()


async def _inside(breaker: AsyncCircuitBreaker, dependency: AsyncDependency) -> object:
    async with breaker:
        return await dependency()


def read_traits(made: Factory | Breaker, context: Context, remark: str) -> Traits:
    """Return how a breaker with this context is set up; purgatory trips at once below a threshold of 1."""
    sync: tuple[Capability, ...] = ("call",) if isinstance(made, _SYNC) else ("call_async",)
    wrap: tuple[Capability, ...] = ("wrap",) if isinstance(made, _FACTORIES) else ()

    def counts(error: Exception) -> bool:
        return not any(_excluded(error, exclusion) for exclusion in context.exclude_list)

    return Traits(
        threshold=calls_needed(context.threshold),
        open_seconds=float(context.ttl),
        failure=counted_failure(counts),
        ignored=ignored_error(counts, [_kind(exclusion) for exclusion in context.exclude_list]),
        clocks=frozenset(("wall",)),
        can=frozenset((*sync, *wrap, "listen", "judge_by", "set_open_seconds", "zero_open_seconds")),
        lacks={**_LACKS, **out_of_reach(threshold=context.threshold)},
        remark=remark,
    )


def _kind(exclusion: Any) -> Any:
    return exclusion[0] if isinstance(exclusion, tuple) else exclusion


def _excluded(error: Exception, exclusion: Any) -> bool:
    if not isinstance(error, _kind(exclusion)):
        return False
    return bool(exclusion[1](error)) if isinstance(exclusion, tuple) else True


def _lend(made: object, hands: Hands, undo: ExitStack) -> Adapter:
    """Give `made` a closed context and a memory of its own; its listeners stay and hear what happens."""
    assert isinstance(made, (*_FACTORIES, *_BREAKERS))
    undo.enter_context(attributes_restored(made))
    unit = made.uow
    context = _isolate(made)
    in_memory = isinstance(unit, _IN_MEMORY)
    remark = "" if in_memory else f"checked in memory, to leave its {type(unit).__name__} alone"
    another = _breaker_with_ttl_0(sync=isinstance(made, _SYNC))
    return PurgatoryAdapter(made, context, remark, lambda: _lend(another, hands, undo))


def _breaker_with_ttl_0(*, sync: bool) -> Breaker:
    if sync:
        return SyncCircuitBreakerFactory().get_breaker(_CIRCUIT, threshold=1, ttl=0)
    making = AsyncCircuitBreakerFactory().get_breaker(_CIRCUIT, threshold=1, ttl=0)
    try:
        making.send(None)  # in memory, it never waits
    except StopIteration as made:
        return cast("Breaker", made.value)
    raise AssertionError("a factory in memory waits for nothing")


def _isolate(made: Factory | Breaker) -> Context:
    context = _fresh_context(made)
    made.uow = SyncInMemoryUnitOfWork() if isinstance(made, _SYNC) else AsyncInMemoryUnitOfWork()
    cast("Any", made.uow.contexts).breakers[context.name] = context
    made.messagebus = _with_own_listeners(made.messagebus)
    if isinstance(made, _BREAKERS):
        made.context = context
    return context


def _with_own_listeners(bus: Any) -> Any:
    """Return a message bus with the same listeners, to which others can be added."""
    other = copy.copy(bus)
    other.events_registry = copy.copy(bus.events_registry)
    other.events_registry.update({event: list(hooks) for event, hooks in bus.events_registry.items()})
    return other


def _fresh_context(made: Factory | Breaker) -> Context:
    if isinstance(made, _FACTORIES):
        return Context(_CIRCUIT, made.default_threshold, made.default_ttl, exclude=list(made.global_exclude))
    settings = made.context
    return Context(settings.name, settings.threshold, settings.ttl, exclude=list(settings.exclude_list))


def twin(made: object) -> Factory | Breaker:
    """Return a closed one of the same settings that shares no counts."""
    assert isinstance(made, (*_FACTORIES, *_BREAKERS))
    other = copy.copy(made)
    _isolate(other)
    return other


LIBRARY = Library(
    name="purgatory",
    owns=lambda made: isinstance(made, (*_FACTORIES, *_BREAKERS)),
    lend=_lend,
    twin=twin,
    clocks=(purgatory.domain.model,),
)
