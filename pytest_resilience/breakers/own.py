"""A breaker of the user's own, described in a few lines instead of by a library."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields, replace
from importlib import import_module
from inspect import Parameter, signature
from types import MappingProxyType, ModuleType
from typing import Any

from pytest_resilience.breakers.adapter import (
    Adapter,
    AsyncDependency,
    AsyncStream,
    Capability,
    CapabilityError,
    Dependency,
    Library,
    State,
    Stream,
    Traits,
)
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.moved_clocks import moved_clocks
from pytest_resilience.errors import ResilienceError, did_you_mean, requirement

_FEATURES = MappingProxyType(
    {
        "error_rate_threshold": ("error_rate", "no error_rate"),
        "slow_call_threshold": ("slow_seconds", "no slow_seconds and slow_rate"),
        "exponential_backoff": ("backoff_factor", "no backoff_factor"),
    }
)
"""What a scenario needs of a breaker, and what was not given then."""

TRY_SECONDS = 5.0
"""A call that a breaker holds up for longer is for the scenarios to judge."""

_CLOCK_FIX = 'Let make take the clock, or name the module that reads it: clock="shop.breakers".'


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a breaker of one's own is made, called and clocked; see BreakerAdapter."""

    make: Callable[..., Any]
    call: Callable[[Any, Dependency], object] | None
    call_async: Callable[[Any, AsyncDependency], Awaitable[object]] | None
    generate: Callable[[Any, Stream], Iterator[object]] | None
    generate_async: Callable[[Any, AsyncStream], AsyncIterator[object]] | None
    wrap: Callable[[Any, Callable[[], object]], Callable[[], object]] | None
    force_open: Callable[[Any], object] | None
    force_half_open: Callable[[Any], object] | None
    force_closed: Callable[[Any], object] | None
    listen: Callable[[Any, Callable[[str], None]], object] | None
    judge_by: Callable[[Any, Callable[[BaseException], bool]], object] | None
    set_open_seconds: Callable[[Any, float], object] | None

    def __post_init__(self) -> None:
        for name, way in vars(self).items():
            if name != "make" and way is not None:
                _check_way(name, way)

    def can(self) -> frozenset[Capability]:
        """Return what was given."""
        return frozenset(name for name, given in vars(self).items() if given is not None and name != "make")  # type: ignore[misc]


def _check_way(name: str, way: object) -> None:
    """Raise ResilienceError for what cannot be called as it will be: that would be taken for a rejection."""
    takes = "the breaker" if name.startswith("force_") else "the breaker and one thing more"
    fix = f"Write {name}={_EXAMPLES.get(name, 'lambda breaker, function: …')}."
    if not callable(way):
        raise ResilienceError(requirement(f"BreakerAdapter's {name}", f"a function of {takes}", way, fix))
    try:
        signature(way).bind(*([None] if name.startswith("force_") else [None, None]))
    except TypeError as wrong:
        required = requirement(f"BreakerAdapter's {name}", f"a function of {takes}", way, f"{wrong}.")
        raise ResilienceError(f"{required} {fix}") from wrong
    except ValueError:  # builtins without a signature
        return


_EXAMPLES = MappingProxyType(
    {
        "call": "lambda breaker, function: breaker.call(function)",
        "call_async": "lambda breaker, function: breaker.call_async(function)",
        "force_open": "lambda breaker: breaker.open()",
        "force_half_open": "lambda breaker: breaker.half_open()",
        "force_closed": "lambda breaker: breaker.close()",
        "listen": "lambda breaker, listener: breaker.listeners.append(listener)",
        "judge_by": "lambda breaker, ignore: breaker.ignore_if(ignore)",
        "set_open_seconds": "lambda breaker, seconds: setattr(breaker, 'timeout', seconds)",
        "wrap": "lambda breaker, function: breaker(function)",
    }
)


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
        generate, generate_async, wrap, force_open, force_half_open, force_closed, listen, judge_by,
            set_open_seconds: how to do these with the breaker, their first argument; what is left out is not
            checked. `wrap` decorates, `listen` adds a listener, `judge_by` a function that tells which errors
            to ignore.
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
        generate_async: Callable[[Any, AsyncStream], AsyncIterator[object]] | None = None,
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
            generate_async=generate_async,
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

    def try_out(self) -> None:
        """Make one call each way; raise ResilienceError where a way shows nothing of any breaker."""
        if self._make(Hands()) is self._make(Hands()):
            raise _wrong_make(self.making.make, "It returned the same breaker twice.")
        if self.making.call is not None:
            _must_call("call", _outcome(self.making.call, self._make(Hands())))
        if self.making.call_async is not None:
            _must_call("call_async", _outcome_async(self.making.call_async, self._make(Hands())))

    def _lend(self, _: object, hands: Hands, undo: ExitStack) -> Adapter:
        return _OwnAdapter(self._make(hands), self.making, self.traits)

    def _make(self, hands: Hands) -> object:
        try:
            with hands:
                breaker = self.making.make(hands.now) if self._takes_clock else self.making.make()
        except Exception as reason:
            failed = f"Calling it raised {type(reason).__name__}: {reason}."
            raise _wrong_make(self.making.make, failed) from reason
        if breaker is None:
            raise _wrong_make(self.making.make, "It returned None.")
        return breaker


def _outcome(call: Callable[[Any, Dependency], object], breaker: object) -> str:
    """Call a healthy function; return what is wrong with how it was called, or nothing."""
    entered: list[None] = []
    try:
        result = call(breaker, lambda: entered.append(None))
    except Exception:  # a breaker that fails or rejects is for the scenarios to judge
        return ""
    if isinstance(result, Coroutine):
        result.close()
        return "It returned a coroutine: give it as call_async."
    return "" if entered else "It returned without calling the function."


def _outcome_async(call: Callable[[Any, AsyncDependency], Awaitable[object]], breaker: object) -> str:
    entered: list[None] = []
    wrong: list[str] = []

    async def dependency() -> None:
        entered.append(None)

    async def attempt() -> None:
        try:
            awaitable: object = call(breaker, dependency)
            if not isinstance(awaitable, Awaitable):
                wrong.append("It returned nothing that can be awaited: give it as call.")
                return
            await awaitable
        except Exception:  # as above
            return
        if not entered:
            wrong.append("It returned without awaiting the coroutine function.")

    def run() -> None:
        with suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(attempt(), TRY_SECONDS))

    thread = threading.Thread(target=run, name="resilience-breaker", daemon=True)
    thread.start()  # of its own: the caller may have a running loop
    thread.join(2 * TRY_SECONDS)
    return "".join(wrong)


def _must_call(name: str, wrong: str) -> None:
    if wrong:
        allowed = "a function that calls what it is given, through the breaker"
        fix = f"Write {name}={_EXAMPLES[name]}."
        raise ResilienceError(f"BreakerAdapter's {name} must be {allowed}. {wrong} {fix}")


def _wrong_make(make: object, fix: str) -> ResilienceError:
    return ResilienceError(
        requirement("BreakerAdapter's make", "a function that returns a new breaker", make, fix)
    )


def _traits(threshold: int, open_seconds: float, making: Making, more: dict[str, Any]) -> Traits:
    _check_traits({"threshold": threshold, "open_seconds": open_seconds, **more})
    if making.call is None and making.call_async is None:
        fix = f"Write call={_EXAMPLES['call']}, or call_async=… for coroutine functions."
        raise ResilienceError(requirement("BreakerAdapter's call", "given, or its call_async", None, fix))
    absent = {
        scenario: f"{lacking} was given"
        for scenario, (name, lacking) in _FEATURES.items()
        if name not in more
    }
    lacks = absent | dict(more.pop("lacks", {}))
    return Traits(threshold=threshold, open_seconds=open_seconds, can=making.can(), lacks=lacks, **more)


def _check_traits(given: dict[str, Any]) -> None:
    known = {field.name for field in fields(Traits)} - {"can"}
    for name, value in given.items():
        if name not in known:
            ways = {field.name for field in fields(Making)} - {"make"}
            fix = f"{did_you_mean(name, known | ways)} docs/breakers.md lists them all."
            allowed = "ways to use a breaker, and traits of it"
            raise ResilienceError(requirement("What BreakerAdapter takes", allowed, name, fix))
        constraint, holds = _CONSTRAINTS.get(name, ("", lambda _: True))
        if value is not None and not _holds(holds, value):
            raise ResilienceError(requirement(f"BreakerAdapter's {name}", constraint, value))
    for one, other in _PAIRS:
        if given.get(one) is not None and given.get(other) is None:
            fix = f"Give {other}= too."
            raise ResilienceError(
                requirement(f"BreakerAdapter's {one}", f"given with {other}", given[one], fix)
            )


def _holds(holds: Callable[[Any], bool], value: object) -> bool:
    try:
        return holds(value)
    except TypeError:  # not even a number
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


_COUNT = ("a whole number, at least 1", _is_count)
_SECONDS = ("a number of seconds above 0", lambda value: value > 0)
_SHARE = ("a share above 0 and up to 1", lambda value: 0 < value <= 1)
_ERROR = ("a type of Exception", _is_error)
_CONSTRAINTS: MappingProxyType[str, tuple[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "threshold": _COUNT,
        "successes_to_close": _COUNT,
        "failures_to_reopen": _COUNT,
        "half_open_limit": _COUNT,
        "window_calls": _COUNT,
        "open_seconds": _SECONDS,
        "window_seconds": _SECONDS,
        "slow_seconds": _SECONDS,
        "backoff_cap": _SECONDS,
        "error_rate": _SHARE,
        "slow_rate": _SHARE,
        "backoff_factor": ("a number, at least 1", lambda value: value >= 1),
        "failure": _ERROR,
        "ignored": _ERROR,
    }
)
_PAIRS = (("slow_seconds", "slow_rate"), ("slow_rate", "slow_seconds"))


def _takes_argument(make: object) -> bool:
    if not callable(make):
        raise _wrong_make(make, "Write BreakerAdapter(lambda clock: MyBreaker(clock=clock), …).")
    try:
        parameters = signature(make).parameters.values()
    except ValueError:  # builtins without a signature
        return False
    needed = [one.name for one in parameters if one.default is one.empty and one.kind not in _REST]
    if len(needed) > 1:
        takes = f"It takes {', '.join(needed)}; at most one argument is given, the clock."
        raise _wrong_make(make, takes)
    return bool(needed)


_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _module(clock: ModuleType | str | None, takes_clock: bool) -> ModuleType | None:
    if clock is None:
        if takes_clock:
            return None
        raise ResilienceError(f"The breaker of BreakerAdapter has no clock that can be moved. {_CLOCK_FIX}")
    module = clock if isinstance(clock, ModuleType) else _imported(clock)
    with moved_clocks((module,), Hands()) as names:
        if not names:
            allowed = "a module that has time, datetime or a function of them among its names"
            raise ResilienceError(requirement("BreakerAdapter's clock", allowed, module.__name__, _CLOCK_FIX))
    return module


def _imported(name: object) -> ModuleType:
    fix = 'Name the module whose code reads the time: clock="shop.breakers".'
    if not isinstance(name, str):
        raise ResilienceError(requirement("BreakerAdapter's clock", "a module or its name", name, fix))
    try:
        return sys.modules.get(name) or import_module(name)
    except ImportError as wrong:
        raise ResilienceError(requirement("BreakerAdapter's clock", "a module", name, fix)) from wrong


class _OwnAdapter(Adapter):
    """Calls the user's functions."""

    def __init__(self, breaker: Any, making: Making, traits: Traits) -> None:
        self._breaker = breaker
        self._making = making
        self.traits = traits

    def handed_out(self, made: object) -> object:
        return self._breaker

    def call(self, dependency: Dependency) -> object:
        return self._given("call")(self._breaker, dependency)

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        answer: Awaitable[object] = self._given("call_async")(self._breaker, dependency)
        return answer

    def generate(self, stream: Stream) -> Iterator[object]:
        items: Iterator[object] = self._given("generate")(self._breaker, stream)
        return items

    def generate_async(self, stream: AsyncStream) -> AsyncIterator[object]:
        items: AsyncIterator[object] = self._given("generate_async")(self._breaker, stream)
        return items

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        wrapped: Callable[[], object] = self._given("wrap")(self._breaker, function)
        return wrapped

    def force(self, state: State) -> None:
        self._given(f"force_{state}")(self._breaker)

    def listen(self, listener: Callable[[str], None]) -> None:
        self._given("listen")(self._breaker, listener)

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        self._given("judge_by")(self._breaker, ignore)

    def set_open_seconds(self, seconds: float) -> None:
        self._given("set_open_seconds")(self._breaker, seconds)
        self.traits = replace(self.traits, open_seconds=seconds)

    def _given(self, capability: str) -> Callable[..., Any]:
        way: Callable[..., Any] | None = getattr(self._making, capability)
        if way is None:
            raise self._cannot(capability)
        return way

    def _cannot(self, capability: str) -> CapabilityError:
        example = _EXAMPLES.get(capability, "lambda breaker, function: …")
        return CapabilityError(
            f"BreakerAdapter was not told how to {capability!r}. Give it {capability}={example}."
        )
