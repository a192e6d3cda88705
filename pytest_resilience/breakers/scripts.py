"""A counterexample as a script of the library alone, to paste into an issue."""

import builtins
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from textwrap import indent
from types import MappingProxyType

from pytest_resilience.breakers.adapter import Traits
from pytest_resilience.breakers.flight import Outcome, Way
from pytest_resilience.breakers.playing import Played, Step
from pytest_resilience.breakers.subject import Subject


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
            imports="import datetime\nimport aiobreaker\nimport aiobreaker.circuitbreaker\nimport aiobreaker.state",
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
            "failure_threshold={error_rate}, window={window_seconds}, half_open_max_calls={successes_to_close}, "
            "clock=lambda: now)",
            run="return breaker.call(function)",
            run_async="return await breaker.acall(function)",
        ),
    }
)

_UNKNOWN = Dialect(
    imports="",
    clock="",
    make="breaker = ...  # yours: {threshold} failures in a row open it for {open_seconds:g} s; its clock is `lambda: now`",
    run="return breaker.call(function)  # however it calls a function",
    run_async="return await breaker.call(function)  # however it calls a coroutine function",
    force=_BY_METHODS,
)

_SYNC = '''
class Call:
    """A call through the breaker, in a thread, held in the dependency until it is told how to end."""

    def __init__(self, run):
        self.entered = self.over = False
        self.raised, self.error, self.go = None, None, threading.Event()
        self.thread = threading.Thread(target=self.live, args=(run,), daemon=True)
        self.thread.start()
        while not (self.entered or self.over):
            time.sleep(0.001)

    def live(self, run):
        try:
            run(self.dependency)
        except BaseException as error:
            self.raised = error
        self.over = True

    def dependency(self):
        self.entered = True
        self.go.wait()
        if self.error is not None:
            raise self.error
        return "answer"

    def end(self, error=None):
        self.error = error
        self.go.set()
        self.thread.join()


def start():
    return Call(run)
'''

_ASYNC = '''
class Call:
    """A call through the breaker, held in the dependency until it is told how to end."""

    def __init__(self, run):
        self.entered, self.raised = False, None
        self.go = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(self.live(run))

    async def live(self, run):
        try:
            await run(self.dependency)
        except BaseException as error:
            self.raised = error

    async def dependency(self):
        self.entered = True
        return await self.go

    async def end(self, error=None):
        if isinstance(error, asyncio.CancelledError):
            self.task.cancel()
        elif error is not None:
            self.go.set_exception(error)
        else:
            self.go.set_result("answer")
        await asyncio.wait([self.task])


async def start():
    call = Call(run)
    for _ in range(10):
        await asyncio.sleep(0)
    return call
'''

_ERRORS: Mapping[Outcome, str] = MappingProxyType(
    {
        "ignored": "Ignored()",
        "cancelled": "asyncio.CancelledError()",
        "base_exception": "KeyboardInterrupt()",
    }
)
_RAISED: Mapping[Outcome, str] = MappingProxyType(
    {"base_exception": "KeyboardInterrupt", "cancelled": "asyncio.CancelledError"}
)


def script_of(subject: Subject, traits: Traits, way: Way, played: Played) -> str:
    """Return a script that does the same as `played`, and ends in an AssertionError where it went wrong."""
    dialect = DIALECTS.get(subject.library.name, _UNKNOWN)
    ignoring = any(step.outcome == "ignored" for step in played.steps)
    helper = "import asyncio" if way == "async" else "import threading\nimport time"
    body = dialect.run_async if way == "async" else dialect.run
    lines = list(_lines(dialect, played, traits, way))
    main = "async def main():" if way == "async" else "def main():"
    parts = [
        _head(subject, played.problem),
        "\n".join(filter(None, (helper, dialect.imports))),
        "now = 1_700_000_000.0  # the time that the breaker sees, in seconds",
        *([_errors(traits, ignoring)] if _errors(traits, ignoring) else []),
        *([dialect.clock.strip()] if dialect.clock else []),
        _made(dialect, traits, way, dialect.ignoring if ignoring else ""),
        f"{'async ' if way == 'async' else ''}def run(function):\n{indent(body, '    ')}",
        (_ASYNC if way == "async" else _SYNC).strip(),
        "\n".join((main, "    global now", *(f"    {line}" for line in lines))),
        "asyncio.run(main())" if way == "async" else "main()",
    ]
    return "\n\n\n".join(parts) + "\n"


def _head(subject: Subject, problem: str) -> str:
    try:
        library = f"{subject.library.name} {version(subject.library.name)}"
    except PackageNotFoundError:
        library = "A breaker of our own"
    return f"# {library}, Python {platform.python_version()}: {problem}"


def _errors(traits: Traits, ignoring: bool) -> str:
    names = [] if hasattr(builtins, traits.failure.__name__) else [traits.failure.__name__]
    names += ["Ignored"] if ignoring else []
    return "\n\n\n".join(f"class {name}(Exception):\n    pass" for name in names)


def _made(dialect: Dialect, traits: Traits, way: Way, ignoring: str) -> str:
    window = ""
    if traits.window_calls is not None:
        window = (
            f", sliding_window_size={traits.window_calls}, minimum_calls={traits.threshold}, "
            f"failure_rate_threshold={traits.error_rate}"
        )
    values = {name: getattr(traits, name) for name in Traits.__dataclass_fields__}
    kind = "Async" if way == "async" else "Sync"
    return dialect.make.format(**values, ignoring=ignoring, window=window, Kind=kind)


def _lines(dialect: Dialect, played: Played, traits: Traits, way: Way) -> Iterator[str]:
    """Yield the lines of the story; the last step is the one that went wrong."""
    wait = "await " if way == "async" else ""
    for at, step in enumerate(played.steps):
        last = at == len(played.steps) - 1
        if step.what == "force":
            yield dialect.force.get(str(step.state), f"...  # bring it into {step.state}")
        else:
            yield from _step(step, traits, wait, wrong=played.problem if last else "")
    if played.steps and played.steps[-1].what == "force":
        yield f"raise AssertionError({played.problem!r})"


def _step(step: Step, traits: Traits, wait: str, *, wrong: str) -> Iterator[str]:
    match step.what:
        case "start":
            yield f"{step.call} = {wait}start()"
            entered = step.entered is not bool(wrong)
            yield f"assert {'' if entered else 'not '}{step.call}.entered" + (f", {wrong!r}" if wrong else "")
        case "end":
            assert step.outcome is not None
            if step.seconds:
                yield f"now += {step.seconds:g}"
            error = _ERRORS.get(step.outcome, f'{traits.failure.__name__}("down")')
            yield f"{wait}{step.call}.end({'' if step.outcome in ('ok', 'slow') else error})"
            if wrong:
                kind = _RAISED.get(step.outcome)
                ok = f"isinstance({step.call}.raised, {kind})" if kind else f"{step.call}.raised is None"
                if step.outcome in ("failure", "ignored"):
                    ok = f"{step.call}.raised is not None"
                yield f"assert {ok}, {wrong!r}"
        case "wait":
            yield f"now += {step.seconds:g}"


def hazard_script(subject: Subject, name: str) -> str:
    """Return a script for what is wrong in how a breaker is made or wrapped."""
    from pytest_resilience.breakers.hands import Hands

    with subject.borrowed(Hands()) as lend:
        traits = lend().traits
    dialect = DIALECTS.get(subject.library.name, _UNKNOWN)
    values = {field: getattr(traits, field) for field in Traits.__dataclass_fields__}
    if name == "falsy_open_time":
        return _zero_script(subject, dialect, dialect.zero.format(**values), traits)
    return _coroutine_script(subject, dialect, _made(dialect, traits, "sync", ""), traits)


def _zero_script(subject: Subject, dialect: Dialect, make: str, traits: Traits) -> str:
    body = f'''
{_head(subject, "an open time of 0 is taken for one that was left out")}
{dialect.imports}

now = 1_700_000_000.0
{dialect.clock.strip()}
breaker = {make or "...  # yours, with an open time of 0"}


def run(function):
{indent(dialect.run, "    ")}


def fail():
    raise {traits.failure.__name__}("down")


for _ in range({traits.threshold}):
    try:
        run(fail)
    except Exception:
        pass
now += 0.001
try:
    run(lambda: None)
except Exception as rejected:
    raise AssertionError("still open after its open time of 0") from rejected
'''
    return body.lstrip()


def _coroutine_script(subject: Subject, dialect: Dialect, make: str, traits: Traits) -> str:
    body = f'''
{_head(subject, "failures of a coroutine function are not seen")}
import asyncio
{dialect.imports}

{make}
entered = 0


async def function():
    global entered
    entered += 1
    raise {traits.failure.__name__}("down")


guarded = {dialect.wrap or "breaker(function)"}


async def main():
    for _ in range({traits.threshold + 1}):
        try:
            await guarded()
        except Exception:
            pass
    assert entered <= {traits.threshold}, f"{{entered}} failing calls have entered, and it has not opened"


asyncio.run(main())
'''
    return body.lstrip()
