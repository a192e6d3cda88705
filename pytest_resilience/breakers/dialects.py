"""How breakers of each library are made and called in a script of that library alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a library is written in a script.

    Args:
        imports: the modules that it needs.
        clock: lines that let it read `now`.
        make: the expression or lines that make `breaker`; names of Traits in braces, `{ignoring}` where an
            error type to ignore is given.
        run, run_async: the body of `run(function)`, that calls a function through the breaker.
        ignoring: what is put there, if the counterexample has ignored errors.
        wrap: the expression that decorates `function`.
        zero: what makes a breaker with an open time of 0.
        force: the call that brings it into a state.
    """

    imports: str
    clock: str
    make: str
    run: str = ""
    run_async: str = ""
    ignoring: str = ""
    wrap: str = ""
    zero: str = ""
    force: Mapping[str, str] = field(default_factory=dict)
    run_stream: str = ""


_BY_METHODS = MappingProxyType(
    {"open": "breaker.open()", "half_open": "breaker.half_open()", "closed": "breaker.close()"}
)
_WALL = """
class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(now, tz or datetime.timezone.utc).replace(tzinfo=tz)

    @classmethod
    def utcnow(cls):
        return cls.now()
"""

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "pybreaker": Dialect(
            imports="import datetime\nimport pybreaker",
            clock=f"{_WALL}\n\npybreaker.datetime = Clock",
            make="breaker = pybreaker.CircuitBreaker(fail_max={threshold}, reset_timeout={open_seconds:g}, "
            "success_threshold={successes_to_close}{ignoring})",
            run="return breaker.call(function)",
            run_stream="return breaker.call(function)",
            ignoring=", exclude=[Ignored]",
            wrap="breaker(function)",
            zero="pybreaker.CircuitBreaker(fail_max={threshold}, reset_timeout=0)",
            force=_BY_METHODS,
        ),
        "circuitbreaker": Dialect(
            imports="import circuitbreaker",
            clock="circuitbreaker.monotonic = lambda: now",
            make="breaker = circuitbreaker.CircuitBreaker(failure_threshold={threshold}, "
            "recovery_timeout={open_seconds:g}{ignoring})",
            run="return breaker(lambda: function())()",
            run_async="""async def call():
    return await function()

return await breaker(call)()""",
            run_stream="return breaker(function)()",
            ignoring=", expected_exception=lambda kind, error: not issubclass(kind, Ignored)",
            wrap="breaker(function)",
            zero="circuitbreaker.CircuitBreaker(failure_threshold={threshold}, recovery_timeout=0)",
            force=MappingProxyType({"closed": "breaker.reset()"}),
        ),
        "aiobreaker": Dialect(
            imports="import datetime\nimport aiobreaker.circuitbreaker\nimport aiobreaker.state",
            clock=f"{_WALL}\n\naiobreaker.circuitbreaker.datetime = aiobreaker.state.datetime = Clock",
            make="breaker = aiobreaker.CircuitBreaker(fail_max={threshold}, "
            "timeout_duration=datetime.timedelta(seconds={open_seconds:g}){ignoring})",
            run="return breaker.call(function)",
            run_async="return await breaker.call_async(function)",
            run_stream="return breaker.call(function)",
            ignoring=", exclude=[Ignored]",
            wrap="breaker(function)",
            zero="aiobreaker.CircuitBreaker(fail_max={threshold}, timeout_duration=datetime.timedelta(0))",
            force=_BY_METHODS,
        ),
        "purgatory": Dialect(
            imports="import purgatory\nimport purgatory.domain.model",
            clock="purgatory.domain.model.time = lambda: now",
            make="factory = purgatory.{Kind}CircuitBreakerFactory({threshold}, {open_seconds:g}{ignoring})",
            run="""with factory.get_breaker("it"):
    return function()""",
            run_async="""async with await factory.get_breaker("it"):
    return await function()""",
            ignoring=", exclude=[Ignored]",
            wrap='factory("it")(function)',
            zero="purgatory.SyncCircuitBreakerFactory({threshold}, 0)",
        ),
        "pyresilience": Dialect(
            imports="import pyresilience\nimport pyresilience._circuit_breaker",
            clock="pyresilience._circuit_breaker._monotonic = lambda: now",
            make="""config = pyresilience.CircuitBreakerConfig({threshold}, {open_seconds:g},
                                            success_threshold={successes_to_close}{window})
guard = pyresilience.resilient(circuit_breaker=config)
call_guarded = guard(lambda function: function())


async def _call(function):
    return await function()


call_guarded_async = guard(_call)""",
            run="return call_guarded(function)",
            run_async="return await call_guarded_async(function)",
        ),
        "interlock-cb": Dialect(
            imports="import interlock",
            clock="",
            make="""config = interlock.Config(
    minimum_number_of_calls={threshold}, failure_rate_threshold={error_rate},
    wait_duration_in_open={open_seconds:g}, permitted_calls_in_half_open={successes_to_close},
)
breaker = interlock.CircuitBreaker(name="it", config=config, clock=lambda: now)""",
            run="return breaker.call_sync(function)",
            run_async="return await breaker.call_async(function)",
        ),
        "nopanic": Dialect(
            imports="import nopanic",
            clock="",
            make="breaker = nopanic.CircuitBreaker(min_calls={threshold}, reset_timeout={open_seconds:g}, "
            "failure_threshold={error_rate}, window={window_seconds}, "
            "half_open_max_calls={successes_to_close}, clock=lambda: now{ignoring})",
            ignoring=", on=lambda error: error is not None and not isinstance(error, Ignored)",
            run="return breaker.call(function)",
            run_async="return await breaker.acall(function)",
        ),
    }
)

UNKNOWN = Dialect(
    imports="",
    clock="",
    make="breaker = ...  # yours: {threshold} failures open it for {open_seconds:g} s; "
    "its clock is lambda: now",
    run="return breaker.call(function)  # however it calls a function",
    run_async="return await breaker.call(function)  # however it calls a coroutine function",
    force=_BY_METHODS,
)
