"""A breaker of the user's own, described in a few lines instead of by a library."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import signature
from types import MappingProxyType, ModuleType
from typing import Any

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
from pytest_resilience.errors import ResilienceError, requirement

_FEATURES = MappingProxyType(
    {
        "error_rate_threshold": ("error_rate", "no error_rate"),
        "slow_call_threshold": ("slow_seconds", "no slow_seconds and slow_rate"),
        "exponential_backoff": ("backoff_factor", "no backoff_factor"),
    }
)
"""What a scenario needs of a breaker, and what was not given then."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a breaker of one's own is made, called and clocked; see BreakerAdapter."""

    make: Callable[..., Any]
    call: Callable[[Any, Dependency], object] | None
    call_async: Callable[[Any, AsyncDependency], Awaitable[object]] | None
    generate: Callable[[Any, Stream], Iterator[object]] | None
    wrap: Callable[[Any, Callable[[], object]], Callable[[], object]] | None
    force_open: Callable[[Any], object] | None
    force_half_open: Callable[[Any], object] | None
    force_closed: Callable[[Any], object] | None
    listen: Callable[[Any, Callable[[str], None]], object] | None
    judge_by: Callable[[Any, Callable[[BaseException], bool]], object] | None
    set_open_seconds: Callable[[Any, float], object] | None

    def can(self) -> frozenset[Capability]:
        """Return what was given."""
        return frozenset(name for name, given in vars(self).items() if given is not None and name != "make")  # type: ignore[misc]


class BreakerAdapter:
    """Your own circuit breaker, for `resilience_breakers` and `breaker_tester.verify`.

    Args:
        make: returns a new breaker. If it takes an argument, it gets a clock: a function without arguments
            that returns seconds, as time.monotonic does. Else name the module that reads the time.
        call, call_async: `call(breaker, function)` calls a function, `call_async` a coroutine function,
            through the breaker. One of them is needed.
        threshold: failing calls in a row that open it.
        open_seconds: how long it rejects before it lets a probe in, in seconds.
        clock: the module, or its dotted name, that reads the time (`time.monotonic()`, `datetime.now()` …).
        generate, wrap, force_open, force_half_open, force_closed, listen, judge_by, set_open_seconds: how to
            do these with the breaker, its first argument; what is left out is not checked. `wrap` decorates,
            `listen` adds a listener, `judge_by` a function that tells which errors to ignore.
        traits: more about it, by the names of Traits (docs/breakers.md): successes_to_close=2 …

    Raises:
        ResilienceError: something about it is wrong.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *,
        threshold: int,
        open_seconds: float,
        call: Callable[[Any, Dependency], object] | None = None,
        call_async: Callable[[Any, AsyncDependency], Awaitable[object]] | None = None,
        clock: ModuleType | str | None = None,
        generate: Callable[[Any, Stream], Iterator[object]] | None = None,
        wrap: Callable[[Any, Callable[[], object]], Callable[[], object]] | None = None,
        force_open: Callable[[Any], object] | None = None,
        force_half_open: Callable[[Any], object] | None = None,
        force_closed: Callable[[Any], object] | None = None,
        listen: Callable[[Any, Callable[[str], None]], object] | None = None,
        judge_by: Callable[[Any, Callable[[BaseException], bool]], object] | None = None,
        set_open_seconds: Callable[[Any, float], object] | None = None,
        **traits: Any,
    ) -> None:
        self.making = Making(
            make=make,
            call=call,
            call_async=call_async,
            generate=generate,
            wrap=wrap,
            force_open=force_open,
            force_half_open=force_half_open,
            force_closed=force_closed,
            listen=listen,
            judge_by=judge_by,
            set_open_seconds=set_open_seconds,
        )
        self.traits = _traits(threshold, open_seconds, self.making, traits)
        self._takes_clock = _takes_argument(make)
        self._module = _module(clock, self._takes_clock)

    def library(self) -> Library:
        """Return the library of this one breaker."""
        return Library(
            name="your own",
            owns=lambda made: made is self,
            lend=self._lend,
            twin=lambda made: made,
            clocks=() if self._module is None else (self._module,),
        )

    def _lend(self, _: object, hands: Hands, undo: ExitStack) -> Adapter:
        with hands:
            breaker = self.making.make(hands.now) if self._takes_clock else self.making.make()
        return _OwnAdapter(breaker, self.making, self.traits)


def _traits(threshold: int, open_seconds: float, making: Making, more: dict[str, Any]) -> Traits:
    absent = {
        scenario: f"{lacking} was given"
        for scenario, (name, lacking) in _FEATURES.items()
        if name not in more
    }
    known = {"can": making.can(), **more}
    try:
        return Traits(
            threshold=threshold,
            open_seconds=open_seconds,
            **{**known, "lacks": absent | dict(more.get("lacks", {}))},
        )
    except TypeError as wrong:
        fix = "The names are those of the table in docs/breakers.md."
        raise ResilienceError(f"BreakerAdapter takes other traits: {wrong}. {fix}") from wrong


def _takes_argument(make: object) -> bool:
    if not callable(make):
        fix = "Write BreakerAdapter(lambda clock: MyBreaker(clock=clock), …)."
        raise ResilienceError(
            requirement("BreakerAdapter's make", "a function that returns a breaker", make, fix)
        )
    try:
        parameters = signature(make).parameters.values()
    except ValueError:  # builtins without a signature
        return False
    return any(one.default is one.empty for one in parameters if one.kind < one.VAR_POSITIONAL)


def _module(clock: ModuleType | str | None, takes_clock: bool) -> ModuleType | None:
    if isinstance(clock, ModuleType):
        return clock
    if clock is None:
        if takes_clock:
            return None
        fix = 'Let make take the clock, or name the module that reads it: clock="shop.breakers".'
        raise ResilienceError(f"The breaker of BreakerAdapter has no clock that can be moved. {fix}")
    try:
        return sys.modules.get(clock) or import_module(clock)
    except ImportError as wrong:
        fix = 'Name the module whose code reads the time: clock="shop.breakers".'
        raise ResilienceError(requirement("BreakerAdapter's clock", "a module", clock, fix)) from wrong


class _OwnAdapter(Adapter):
    """Calls the user's functions."""

    def __init__(self, breaker: Any, making: Making, traits: Traits) -> None:
        self._breaker = breaker
        self._making = making
        self.traits = traits

    def call(self, dependency: Dependency) -> object:
        if self._making.call is None:
            raise self._cannot("call")
        return self._making.call(self._breaker, dependency)

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        if self._making.call_async is None:
            raise self._cannot("call_async")
        return self._making.call_async(self._breaker, dependency)

    def generate(self, stream: Stream) -> Iterator[object]:
        if self._making.generate is None:
            raise self._cannot("generate")
        return self._making.generate(self._breaker, stream)

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        if self._making.wrap is None:
            raise self._cannot("wrap")
        return self._making.wrap(self._breaker, function)

    def force(self, state: State) -> None:
        making = self._making
        ways = {"open": making.force_open, "half_open": making.force_half_open, "closed": making.force_closed}
        way = ways[state]
        if way is None:
            raise self._cannot(f"force_{state}")
        way(self._breaker)

    def listen(self, listener: Callable[[str], None]) -> None:
        if self._making.listen is None:
            raise self._cannot("listen")
        self._making.listen(self._breaker, listener)

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        if self._making.judge_by is None:
            raise self._cannot("judge_by")
        self._making.judge_by(self._breaker, ignore)

    def set_open_seconds(self, seconds: float) -> None:
        if self._making.set_open_seconds is None:
            raise self._cannot("set_open_seconds")
        self._making.set_open_seconds(self._breaker, seconds)
        self.traits = _replaced(self.traits, seconds)


def _replaced(traits: Traits, seconds: float) -> Traits:
    return replace(traits, open_seconds=seconds)
