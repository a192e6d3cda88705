"""Faults: what happens to a call that a trigger picked. Pure data; taps carry it out.

On a generator, sync or async, a fault that answers or changes acts on the items: `Return` hands out the items
of its value, `Mutate` changes each item, `RaiseAfter` raises after the last one. The others act before the
first item.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_resilience.errors import ScenarioError, requirement
from pytest_resilience.service_errors import ErrorSpec, build_error

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line


@dataclass(frozen=True, slots=True)
class Effect:
    """What one firing does.

    Wait `wait` seconds (infinity: until the fault is removed). Then raise `error`, or give what `answer`
    returns, if there is one of them; else let the call through. Once it has returned, wait `stretch` times as
    long as it took, but at least `floor` seconds, and raise `late_error` or pass the result through `change`.
    """

    wait: float = 0.0
    error: ErrorSpec | None = None
    stretch: float = 0.0
    floor: float = 0.0
    answer: Callable[[], object] | None = None
    change: Callable[[Any], Any] | None = None
    late_error: ErrorSpec | None = None

    @property
    def on_result(self) -> bool:
        """Whether it replaces or changes what the call hands out, or raises once that is known."""
        return any(part is not None for part in (self.answer, self.change, self.late_error))


class Fault(Protocol):
    """What goes wrong with a call."""

    def effect(self, rank: int, chance: float) -> Effect:
        """Say what firing number `rank` (from 0) does; `chance` from 0 up to 1 is drawn for its call."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The call is let through `seconds` later, give or take up to `jitter` seconds; never less than 0.

    Raises:
        ScenarioError: a number is negative or not finite.
    """

    seconds: float
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _check_seconds("Delay(seconds)", self.seconds)
        _check_seconds("Delay(jitter)", self.jitter)

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(wait=max(0.0, self.seconds + self.jitter * (2 * chance - 1)))


@dataclass(frozen=True, slots=True)
class Spike:
    """The call takes `low` to `high` times its normal latency, and at least `floor` seconds more.

    If `normal` (seconds) is unknown, the call's own latency counts.
    """

    low: float
    high: float
    floor: float
    normal: float | None = None

    def effect(self, rank: int, chance: float) -> Effect:
        more = self.low + (self.high - self.low) * chance - 1
        if self.normal is None:
            return Effect(stretch=more, floor=self.floor)
        return Effect(wait=max(self.floor, more * self.normal))


@dataclass(frozen=True, slots=True)
class Raise:
    """The call is not made; it raises one of `errors`, each in its turn.

    Raises:
        ScenarioError: `errors` is no list of errors.
        ServiceError: one of them cannot be built.
    """

    errors: Sequence[ErrorSpec]

    def __post_init__(self) -> None:
        _check_errors("Raise", self.errors)

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(error=self.errors[rank % len(self.errors)])


@dataclass(frozen=True, slots=True)
class RaiseAfter:
    """The call is made and its effect stands, then it raises one of `errors`: a lost acknowledgement.

    A call that fails by itself raises its own error, and does not count as hit.

    Raises:
        ScenarioError: `errors` is no list of errors.
        ServiceError: one of them cannot be built.
    """

    errors: Sequence[ErrorSpec]

    def __post_init__(self) -> None:
        _check_errors("RaiseAfter", self.errors)

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(late_error=self.errors[rank % len(self.errors)])


@dataclass(frozen=True, slots=True)
class Hang:
    """The call hangs for `seconds`, or until the fault is removed, and then raises `error`.

    Without `seconds` only the removal, or a cancellation by the code under test, ends it. It never goes on
    to make the call: a caller that gave up must not see its effect later.

    Raises:
        ScenarioError: `seconds` is negative or not finite.
        ServiceError: `error` cannot be built.
    """

    seconds: float | None = None
    error: ErrorSpec = TimeoutError

    def __post_init__(self) -> None:
        if self.seconds is not None:
            _check_seconds("Hang(seconds)", self.seconds, "For no end, leave it out.")
        _check_error("Hang(error)", self.error)

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(wait=math.inf if self.seconds is None else self.seconds, error=self.error)


@dataclass(frozen=True, slots=True)
class Return:
    """The call is not made; it returns `value`, the same object each time."""

    value: object

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(answer=lambda: self.value)


@dataclass(frozen=True, slots=True)
class ReturnFrom:
    """The call is not made; it returns what `factory()` returns, made anew each time.

    Raises:
        ScenarioError: `factory` is no plain function; or later, in the call that it was to answer, it raised.
    """

    factory: Callable[[], object]

    def __post_init__(self) -> None:
        check_function("ReturnFrom(factory)", self.factory, "lambda: []")

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(answer=self.factory)


@dataclass(frozen=True, slots=True)
class Mutate:
    """The call is made, and returns `change(result)`: `Mutate(lambda body: body[:100])` cuts an answer short.

    A call that fails by itself raises its own error, and does not count as hit.

    Raises:
        ScenarioError: `change` is no plain function; or later, in the call whose result it got, it raised.
    """

    change: Callable[[Any], Any]

    def __post_init__(self) -> None:
        check_function("Mutate(change)", self.change, "lambda result: None")

    def effect(self, rank: int, chance: float) -> Effect:
        return Effect(change=self.change)


def check_function(name: str, value: object, example: str) -> None:
    """Raise ScenarioError unless `value` can be called for a result at once, without awaiting it."""
    from inspect import iscoroutinefunction  # only a user's own function needs it

    if not callable(value) or iscoroutinefunction(value):
        raise ScenarioError(requirement(name, "a plain function", value, f"Write for example {example}."))


def _check_seconds(name: str, value: object, fix: str = "") -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value >= 0):  # type: ignore[arg-type,operator]
        raise ScenarioError(requirement(name, "a finite number of seconds from 0", value, fix))


def _check_errors(fault: str, errors: object) -> None:
    if isinstance(errors, str) or not isinstance(errors, Sequence) or not errors:
        fix = f"Write {fault}([ConnectionError])."
        raise ScenarioError(requirement(f"{fault}(errors)", "a list of exceptions", errors, fix))
    for error in errors:
        _check_error(f"Each of {fault}(errors)", error)


def _check_error(name: str, error: object) -> None:
    """A factory is not tried: calling it may be what the user counts."""
    if not (isinstance(error, BaseException) or callable(error)):
        raise ScenarioError(requirement(name, "an exception type, an instance or a factory", error))
    if isinstance(error, (type, BaseException)):
        build_error(error)
