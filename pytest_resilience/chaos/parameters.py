"""The parameters of an injection: their types, and what is wrong with the ones given."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from pytest_resilience.chaos.scenarios import TRIGGER_PARAMETERS, Scenario
from pytest_resilience.chaos.triggers import Ordinals, Share, Trigger
from pytest_resilience.errors import ScenarioError, did_you_mean, requirement
from pytest_resilience.service_errors import ErrorSpec, build_error


class Parameters(TypedDict, total=False):
    """What an injection can be told; each scenario takes some of them.

    Each takes `probability`, the share of calls to hit, or a `trigger`. provider_timeout takes `timeout`
    (seconds) and `error`; latency_spike takes `delay` (seconds) or `factor` (times the normal latency, or a
    range of it); valuation_exception and intermittent_errors take `errors`.
    """

    probability: float
    trigger: Trigger
    timeout: float
    error: ErrorSpec
    delay: float
    factor: float | tuple[float, float]
    errors: Sequence[ErrorSpec]


def check(scenario: Scenario, parameters: Parameters) -> None:
    """Raise ScenarioError for the first parameter that `scenario` does not take or whose value is wrong."""
    known = (*scenario.parameters, *TRIGGER_PARAMETERS)
    for name in parameters:
        if name not in known:
            names = ", ".join(known)
            hint = did_you_mean(name, known)
            fix = hint if hint.startswith("Did") else f"It takes: {names}."
            raise ScenarioError(f"Scenario {scenario.name!r} takes no parameter {name!r}. {fix}")
    _reject_both(parameters, "probability", "trigger")
    _reject_both(parameters, "delay", "factor")
    for name, value in parameters.items():
        _CHECKS[name](name, value)


def describe(parameters: Mapping[str, object]) -> str:
    """Write parameters for a report: `delay=0.2, probability=0.5`."""
    return ", ".join(f"{name}={_describe(value)}" for name, value in parameters.items())


def seconds(name: str, value: object) -> float:
    """Return a finite number of seconds above 0, else raise ScenarioError."""
    return _number(name, value, "a number of seconds above 0", lowest=0.0)


def _reject_both(parameters: Parameters, one: str, other: str) -> None:
    if one in parameters and other in parameters:
        raise ScenarioError(f"{one} and {other} exclude each other. Give one of them.")


def _probability(name: str, value: object) -> None:
    constraint = "a share of the calls above 0 and up to 1"
    if _number(name, value, constraint, lowest=0.0) > 1:
        raise ScenarioError(requirement(name, constraint, value))


def _trigger(name: str, value: object) -> None:
    if not isinstance(value, (Share, Ordinals)):
        raise ScenarioError(
            requirement(name, "share(p), nth(n), every(n), first(n) or window(start, stop)", value)
        )


def _factor(name: str, value: object) -> None:
    constraint = "a number above 1, or a range of two such as (2, 10)"
    numbers = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    low, high = (_number(name, number, constraint, lowest=1.0, shown=value) for number in numbers)
    if low > high:
        raise ScenarioError(requirement(name, constraint, value, f"Write ({high:g}, {low:g})."))


def _error(name: str, value: object) -> None:
    if not (isinstance(value, BaseException) or callable(value)):
        raise ScenarioError(requirement(name, "an exception type, an instance or a factory", value))
    build_error(value)


def _errors(name: str, value: object) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ScenarioError(
            requirement(name, "a list of exceptions", value, "Write errors=[ConnectionError].")
        )
    for error in value:
        _error(name, error)


def _seconds(name: str, value: object) -> None:
    seconds(name, value)


_CHECKS = {
    "probability": _probability,
    "trigger": _trigger,
    "timeout": _seconds,
    "error": _error,
    "delay": _seconds,
    "factor": _factor,
    "errors": _errors,
}


def _number(name: str, value: object, constraint: str, *, lowest: float, shown: object = None) -> float:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and number > lowest):
        raise ScenarioError(requirement(name, constraint, value if shown is None else shown))
    return number


def _describe(value: object) -> str:
    if isinstance(value, (Share, Ordinals)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_names(value))}]"
    return next(iter(_names([value])))


def _names(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        yield value.__name__ if isinstance(value, type) else repr(value)
