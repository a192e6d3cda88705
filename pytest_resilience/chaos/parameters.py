"""The parameters of an injection: their types, and what is wrong with the ones given."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict

from pytest_resilience.chaos.triggers import AnyTrigger, Ordinals, Share
from pytest_resilience.errors import ScenarioError, did_you_mean, requirement
from pytest_resilience.service_errors import ErrorSpec, build_error

Check: TypeAlias = Callable[[str, object], None]


class Parameters(TypedDict, total=False):
    """What an injection can be told; each scenario takes some of them.

    Which calls are hit: `probability` (a share) or a `trigger`; `when`, a predicate on the call's arguments;
    `scope`, "task" to hit only calls of the task or thread that injected it. On endpoints `probability` is
    the share of exchanges.

    provider_timeout: `timeout` (seconds), `error`. latency_spike and database_slowdown: `delay` (seconds)
    with `jitter`, or `factor` (times the normal latency, or a range of it); `rate` (bytes per second).
    Those that raise: `errors`. network_partition: `mode`, "reset" or "black_hole". cpu_saturation: `cores`,
    `load` (share of the time). memory_pressure: `size` (bytes). resource_exhaustion: `resource`,
    "descriptors" with `spare` (how many may still be opened) or "disk"; on endpoints `connections` (how many
    may be open). cascading_failure: `delay` between two steps. process_kill: `restart`.
    """

    probability: float
    trigger: AnyTrigger
    when: Callable[..., bool]
    scope: Literal["process", "task"]
    timeout: float
    error: ErrorSpec
    delay: float
    jitter: float
    factor: float | tuple[float, float]
    rate: float
    errors: Sequence[ErrorSpec]
    mode: Literal["reset", "black_hole"]
    cores: int
    load: float
    size: int
    resource: Literal["descriptors", "disk"]
    spare: int
    connections: int
    restart: Sequence[str] | Callable[[], object]


def check(scenario: str, known: Sequence[str], parameters: Parameters) -> None:
    """Raise ScenarioError for the first parameter that is not among the `known` or whose value is wrong."""
    for name in parameters:
        if name not in known:
            hint = did_you_mean(name, known)
            takes = f"It takes: {', '.join(known)}." if known else "It takes none."
            fix = hint if hint.startswith("Did") else takes
            raise ScenarioError(f"Scenario {scenario!r} takes no parameter {name!r}. {fix}")
    _reject_both(parameters, "probability", "trigger")
    _reject_both(parameters, "delay", "factor")
    for name, value in parameters.items():
        _CHECKS[name](name, value)
    if "jitter" in parameters and "delay" not in parameters:
        raise ScenarioError("jitter varies a delay, and none is given. Give delay=, or factor=(low, high).")


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


def check_trigger(name: str, value: object) -> None:
    """Raise ScenarioError for what is no trigger."""
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


def _share(name: str, value: object) -> None:
    constraint = "a share above 0 and up to 1"
    if _number(name, value, constraint, lowest=0.0) > 1:
        raise ScenarioError(requirement(name, constraint, value))


def _rate(name: str, value: object) -> None:
    _number(name, value, "a number of bytes per second above 0", lowest=0.0)


def _predicate(name: str, value: object) -> None:
    if not callable(value):
        fix = "Write when=lambda self, key: key == 1, with the parameters of the call."
        raise ScenarioError(requirement(name, "a function of the call's arguments", value, fix))


def _whole(lowest: int) -> Check:
    def check_whole(name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ScenarioError(requirement(name, f"a whole number of at least {lowest}", value))

    return check_whole


def _one_of(*words: str) -> Check:
    def check_word(name: str, value: object) -> None:
        if value not in words:
            raise ScenarioError(requirement(name, " or ".join(map(repr, words)), value))

    return check_word


def _restart(name: str, value: object) -> None:
    words = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if not (callable(value) or (words and all(isinstance(word, str) for word in words))):
        fix = 'Write restart=["redis-server", "--port", "6379"].'
        raise ScenarioError(requirement(name, "a command as a list of words, or a function", value, fix))


_CHECKS: Mapping[str, Check] = {
    "probability": _probability,
    "trigger": check_trigger,
    "when": _predicate,
    "scope": _one_of("process", "task"),
    "timeout": _seconds,
    "error": _error,
    "delay": _seconds,
    "jitter": _seconds,
    "factor": _factor,
    "rate": _rate,
    "errors": _errors,
    "mode": _one_of("reset", "black_hole"),
    "cores": _whole(1),
    "load": _share,
    "size": _whole(1),
    "resource": _one_of("descriptors", "disk"),
    "spare": _whole(0),
    "connections": _whole(0),
    "restart": _restart,
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
