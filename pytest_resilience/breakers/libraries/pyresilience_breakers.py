"""Breakers of pyresilience: called through the executors of its @resilient, which alone record outcomes."""

import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, cast

import pyresilience._circuit_breaker
import pyresilience._executor
from pyresilience import CircuitBreaker, CircuitBreakerConfig, resilient

from pytest_resilience.breakers.adapter import (
    Adapter,
    AsyncDependency,
    Capability,
    Dependency,
    Library,
    State,
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

Decorated: TypeAlias = Callable[..., Any]

_NO_RATE = "this breaker is set up without sliding_window_size"
_EXECUTORS: tuple[type, ...] = (pyresilience._executor._SyncExecutor, pyresilience._executor._AsyncExecutor)  # noqa: SLF001
_CAN: frozenset[Capability] = frozenset(
    {"wrap", "force_closed", "force_open", "listen", "set_open_seconds", "zero_open_seconds"}
)


class PyresilienceAdapter(Adapter):
    """A pyresilience breaker under test, behind functions decorated for the check."""

    def __init__(self, found: "_Found") -> None:
        self._found = found
        self._breaker = found.breaker
        self._config = found.config
        self._ways = found.ways
        self._listeners: list[Callable[[Any], None]] = []
        self.traits = read_traits(found.config, found.ways, found.remark)
        self._decorate()

    def _decorate(self) -> None:
        self._call = self.wrap(cast("Any", _call))
        self._call_async = self.wrap(cast("Any", _call_async))

    def call(self, dependency: Dependency) -> object:
        if "call" not in self._ways:
            raise self._cannot("call")
        return cast("Any", self._call)(dependency)

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        if "call_async" not in self._ways:
            raise self._cannot("call_async")
        return cast("Awaitable[object]", cast("Any", self._call_async)(dependency))

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        wrapped: Any = resilient(circuit_breaker=self._config, listeners=self._listeners)(function)
        wrapped._executor._circuit_breaker = self._breaker  # noqa: SLF001
        return cast("Callable[[], object]", wrapped)

    def force(self, state: State) -> None:
        if state == "half_open":
            raise self._cannot("force_half_open")
        {"open": self._breaker.force_open, "closed": self._breaker.force_close}[state]()

    def listen(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(lambda event: listener(event.event_type.value))
        self._decorate()

    def set_open_seconds(self, seconds: float) -> None:
        self._config = replace(self._config, recovery_timeout=seconds)
        self._breaker._recovery_timeout = seconds  # noqa: SLF001
        self.traits = replace(self.traits, open_seconds=seconds)

    def zero_open_seconds(self) -> Adapter:
        config = CircuitBreakerConfig(1, recovery_timeout=0)
        return PyresilienceAdapter(replace(self._found, breaker=CircuitBreaker(config), config=config))


def _call(dependency: Dependency) -> object:
    return dependency()


async def _call_async(dependency: AsyncDependency) -> object:
    return await dependency()


def read_traits(config: CircuitBreakerConfig, ways: tuple[Capability, ...], remark: str) -> Traits:
    """Return how a breaker of this configuration is set up."""
    windowed = config.sliding_window_size > 0
    slow = windowed and config.slow_call_duration > 0

    def counts(error: Exception) -> bool:
        return isinstance(error, tuple(config.error_types)) and not isinstance(error, tuple(config.ignore_on))

    return Traits(
        threshold=calls_needed(_least_calls(config) if windowed else config.failure_threshold),
        open_seconds=float(config.recovery_timeout),
        successes_to_close=calls_needed(config.success_threshold),
        consecutive=not windowed,
        error_rate=config.failure_rate_threshold if windowed else None,
        window_calls=config.sliding_window_size if windowed else None,
        slow_seconds=config.slow_call_duration if slow else None,
        slow_rate=config.slow_call_rate_threshold if slow else None,
        failure=counted_failure(counts, config.error_types),
        ignored=ignored_error(counts, config.ignore_on),
        ignored_counts="neutral",
        clocks=frozenset(("monotonic",)),
        can=_CAN.union(ways),
        lacks=_lacks(config),
        remark=remark,
    )


def _least_calls(config: CircuitBreakerConfig) -> int:
    return config.minimum_calls or config.sliding_window_size


def _lacks(config: CircuitBreakerConfig) -> dict[str, str]:
    lacks = dict(
        out_of_reach(
            failure_threshold=config.failure_threshold,
            success_threshold=config.success_threshold,
            sliding_window_size=config.sliding_window_size,
        )
    )
    lacks |= no_generators("pyresilience")
    lacks["exponential_backoff"] = (
        "pyresilience stays open for the same recovery_timeout after each failed probe"
    )
    if not config.sliding_window_size:
        lacks["error_rate_threshold"] = lacks["slow_call_threshold"] = _NO_RATE
    elif not config.slow_call_duration:
        lacks["slow_call_threshold"] = "this breaker is set up without slow_call_duration"
    return lacks


def _owns(made: object) -> bool:
    if isinstance(made, (CircuitBreaker, CircuitBreakerConfig)):
        return True
    executor = getattr(made, "_executor", None)
    return isinstance(executor, _EXECUTORS) and executor._circuit_breaker is not None  # type: ignore[attr-defined]  # noqa: SLF001


def _lend(made: object, hands: Hands, undo: ExitStack) -> Adapter:
    """Put a breaker under test, closed, in place of the settings of a decorated function its breaker only."""
    found = _read(made)
    undo.enter_context(attributes_restored(found.breaker))
    cast("Any", found.breaker)._lock = threading.Lock()  # noqa: SLF001  (a call from before may hold the other)
    found.breaker.reset()
    return PyresilienceAdapter(found)


@dataclass(frozen=True, slots=True)
class _Found:
    """What an object of the user's stands for."""

    breaker: CircuitBreaker
    config: CircuitBreakerConfig
    ways: tuple[Capability, ...] = ("call", "call_async")
    remark: str = ""


def _read(made: object) -> _Found:
    if isinstance(made, CircuitBreakerConfig):
        return _Found(CircuitBreaker(made), made)
    if isinstance(made, CircuitBreaker):
        return _Found(made, _config_of(made))
    executor = cast("Any", made)._executor  # noqa: SLF001
    config = _config_of(
        executor._circuit_breaker,  # noqa: SLF001
        error_types=executor._circuit_error_types,  # noqa: SLF001
        ignore_on=executor._circuit_ignore_on,  # noqa: SLF001
    )
    ways: tuple[Capability, ...] = ("call",) if isinstance(executor, _EXECUTORS[0]) else ("call_async",)
    return _Found(executor._circuit_breaker, config, ways, _remark(executor))  # noqa: SLF001


def _config_of(breaker: CircuitBreaker, **types: Any) -> CircuitBreakerConfig:
    names = {field.name for field in fields(CircuitBreakerConfig)} - {"error_types", "ignore_on"}
    private = {"sliding_window_size": "_window_size"}
    values = {name: getattr(breaker, private.get(name, f"_{name}")) for name in names}
    return CircuitBreakerConfig(**values, **types)


def _remark(executor: Any) -> str:
    parts = {
        "retry": "_retry_cfg",
        "timeout": "_has_timeout",
        "fallback": "_fallback_cfg",
        "bulkhead": "_bulkhead",
        "rate limiter": "_rate_limiter",
        "cache": "_cache",
    }
    others = [part for part, name in parts.items() if getattr(executor, name)]
    return f"checked without its {', '.join(others)}" if others else ""


def twin(made: object) -> CircuitBreakerConfig:
    """Return what an independent breaker of the same settings is made of."""
    return _read(made).config


LIBRARY = Library(
    name="pyresilience",
    owns=_owns,
    lend=_lend,
    twin=twin,
    clocks=(pyresilience._circuit_breaker, pyresilience._executor),  # noqa: SLF001
)
