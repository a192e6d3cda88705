"""Breakers of interlock-cb, whose engine takes a clock."""

import copy
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, cast

from interlock import CircuitBreaker, Config
from interlock._engine import Engine
from interlock.protocols import EventListener
from interlock.window import WindowType

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

_CAN: frozenset[Capability] = frozenset(
    {
        "call",
        "call_async",
        "wrap",
        "force_closed",
        "force_open",
        "listen",
        "judge_by",
        "set_open_seconds",
        "zero_open_seconds",
    }
)


class InterlockAdapter(Adapter):
    """An interlock-cb breaker under test, on an engine of its own."""

    def __init__(self, breaker: CircuitBreaker, remark: str) -> None:
        self._breaker = breaker
        self._remark = remark
        self.traits = read_traits(_engine_of(breaker), remark)

    def call(self, dependency: Dependency) -> object:
        return self._breaker.call_sync(dependency)

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        return cast("Awaitable[object]", self._breaker.call_async(cast("Any", dependency)))

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        return self._breaker(function)

    def force(self, state: State) -> None:
        if state == "half_open":
            raise self._cannot("force_half_open")
        {"open": self._breaker.force_open, "closed": self._breaker.reset}[state]()

    def listen(self, listener: Callable[[str], None]) -> None:
        self._rebuild(listener=_Telling(listener))

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        self._rebuild(classifier=_Ignoring(_engine_of(self._breaker)._classifier, ignore))  # noqa: SLF001

    def set_open_seconds(self, seconds: float) -> None:
        config: Config = _engine_of(self._breaker)._config  # noqa: SLF001
        cap = config.wait_duration_in_open_max
        shorter = None if cap is None else cap * seconds / config.wait_duration_in_open
        self._rebuild(
            config=replace(config, wait_duration_in_open=seconds, wait_duration_in_open_max=shorter)
        )
        self.traits = read_traits(_engine_of(self._breaker), self._remark)

    def zero_open_seconds(self) -> Adapter:
        config = Config(minimum_number_of_calls=1, wait_duration_in_open=0)
        return InterlockAdapter(CircuitBreaker(name="zero", config=config), "")

    def _rebuild(self, **settings: Any) -> None:
        vars(self._breaker)["_engine"] = _engine_like(_engine_of(self._breaker), **settings)


class _Ignoring:
    """Ignores what `ignore` says, and judges the rest as another classifier does."""

    def __init__(self, classifier: Any, ignore: Callable[[BaseException], bool]) -> None:
        self._classifier = classifier
        self._ignore = ignore

    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        if exception is not None and self._ignore(exception):
            return False
        return bool(self._classifier.is_failure(result=result, exception=exception))


class _Telling(EventListener):
    """Tells of each event by its name."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def on_call(self, **_: Any) -> None:
        self._tell("call")

    def on_rejected(self, **_: Any) -> None:
        self._tell("rejected")

    def on_state_change(self, *, new: Any, **_: Any) -> None:
        self._tell(f"state {new.value}")


def read_traits(engine: Engine, remark: str) -> Traits:
    """Return how a breaker on this engine is set up."""
    config: Config = engine._config  # noqa: SLF001
    classifier = engine._classifier  # noqa: SLF001
    by_calls = config.window_type is WindowType.COUNT_BASED

    def counts(error: Exception) -> bool:
        return classifier.is_failure(result=None, exception=error)

    return Traits(
        threshold=calls_needed(config.minimum_number_of_calls),
        open_seconds=config.wait_duration_in_open,
        successes_to_close=calls_needed(config.permitted_calls_in_half_open),
        # All probes of a round are counted before their rate decides.
        failures_to_reopen=calls_needed(config.permitted_calls_in_half_open),
        half_open_limit=config.max_concurrent_probes,
        consecutive=False,
        error_rate=config.failure_rate_threshold,
        window_calls=config.window_size if by_calls else None,
        window_seconds=None if by_calls else float(config.window_size),
        slow_seconds=config.slow_call_duration_threshold,
        slow_rate=config.slow_call_rate_threshold,
        backoff_factor=config.wait_duration_backoff_multiplier,
        backoff_cap=config.wait_duration_in_open_max,
        failure=counted_failure(counts),
        ignored=ignored_error(counts),
        ignored_counts="success",
        cancelled_counts="neutral",
        base_exception_counts="neutral",
        forced_open_stays=True,
        clocks=frozenset(("monotonic",)),
        can=_CAN,
        lacks=_lacks(config),
        remark=remark,
    )


def _lacks(config: Config) -> dict[str, str]:
    lacks = dict(
        out_of_reach(
            minimum_number_of_calls=config.minimum_number_of_calls,
            permitted_calls_in_half_open=config.permitted_calls_in_half_open,
        )
    )
    lacks |= no_generators("interlock-cb")
    if config.wait_duration_backoff_multiplier == 1.0:
        lacks["exponential_backoff"] = "this breaker is set up with wait_duration_backoff_multiplier=1.0"
    return lacks


def _engine_of(breaker: CircuitBreaker) -> Engine:
    return cast("Engine", vars(breaker)["_engine"])


def _engine_like(engine: Engine, **other: Any) -> Engine:
    """Return a closed engine with the settings of another, without its storage and its timer."""
    settings = vars(engine)
    names = ("name", "config", "clock", "classifier", "listener", "unreachable_exceptions")
    return Engine(**{name: settings[f"_{name}"] for name in names} | other)


class _Clock:
    def __init__(self, hands: Hands) -> None:
        self.monotonic = hands.now


def _lend(made: object, hands: Hands, undo: ExitStack) -> Adapter:
    """Put a breaker under test, on a closed engine of its own; its listener stays and hears what happens."""
    assert isinstance(made, CircuitBreaker)
    undo.enter_context(attributes_restored(made))
    engine = _engine_of(made)
    vars(made)["_engine"] = _engine_like(engine, config=_without_timer(engine), clock=_Clock(hands))
    vars(made)["_blocks"] = ContextVar(f"resilience-blocks-{made.name}", default=())
    return InterlockAdapter(made, _remark(engine))


def _without_timer(engine: Engine) -> Config:
    return replace(cast("Config", vars(engine)["_config"]), auto_transition=False)


def _remark(engine: Engine) -> str:
    settings = vars(engine)
    shared = settings["_sync_coordinator"] or settings["_async_coordinator"]
    without = ["its storage"] if shared else []
    without += ["its auto_transition timer"] if settings["_config"].auto_transition else []
    return f"checked without {' and '.join(without)}" if without else ""


def twin(made: object) -> CircuitBreaker:
    """Return a closed breaker of the same settings that shares no counts, no lock and no storage."""
    assert isinstance(made, CircuitBreaker)
    other = copy.copy(made)
    vars(other)["_engine"] = _engine_like(_engine_of(made))
    return other


LIBRARY = Library(
    name="interlock-cb",
    owns=lambda made: isinstance(made, CircuitBreaker),
    lend=_lend,
    twin=twin,
)
