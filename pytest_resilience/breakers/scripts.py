"""A counterexample as a script of the library alone, to paste into an issue."""

import builtins
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from textwrap import indent
from types import MappingProxyType

from pytest_resilience.breakers.adapter import Traits
from pytest_resilience.breakers.dialects import DIALECTS, UNKNOWN, Dialect
from pytest_resilience.breakers.flight import Outcome, Way
from pytest_resilience.breakers.playing import Played, Step
from pytest_resilience.breakers.subject import Subject

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

_STREAM = '''
class Stream:
    """A generator through the breaker: one item is read, then it goes on until it is told how to end."""

    def __init__(self):
        self.entered, self.raised, self.error = False, None, None
        try:
            self.stream = run_stream(self.items)
            next(self.stream)
        except BaseException as error:
            self.raised = error

    def items(self):
        self.entered = True
        yield "item"
        if self.error is not None:
            raise self.error

    def end(self, error=None):
        self.error = error
        try:
            list(self.stream)
        except BaseException as raised:
            self.raised = raised

    def close(self):
        try:
            self.stream.close()
        except BaseException as raised:
            self.raised = raised
'''

_ASYNC_STREAM = '''
class Stream:
    """A generator through the breaker: one item is read, then it goes on until it is told how to end."""

    def __init__(self):
        self.entered, self.raised, self.error = False, None, None

    async def begin(self):
        try:
            self.stream = run_stream(self.items)
            await anext(self.stream)
        except BaseException as error:
            self.raised = error
        return self

    async def items(self):
        self.entered = True
        yield "item"
        if self.error is not None:
            raise self.error

    async def end(self, error=None):
        self.error = error
        try:
            [item async for item in self.stream]
        except BaseException as raised:
            self.raised = raised

    async def close(self):
        try:
            await self.stream.aclose()
        except BaseException as raised:
            self.raised = raised
'''

_PLAIN = '''
class Call:
    """A call through the breaker that ends in `error`, or well."""

    def __init__(self, error=None):
        self.entered, self.raised, self.error = False, None, error
        try:
            run(self.dependency)
        except BaseException as raised:
            self.raised = raised

    def dependency(self):
        self.entered = True
        if self.error is not None:
            raise self.error
        return "answer"
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
    dialect = DIALECTS.get(subject.library.name, UNKNOWN)
    ignoring = any(step.outcome == "ignored" for step in played.steps)
    streams = any(step.stream for step in played.steps)
    plain = way == "sync" and not streams and _one_after_the_other(played.steps)
    body = dialect.run_async if way == "async" else dialect.run
    lines = _plain_lines(dialect, played, traits) if plain else _lines(dialect, played, traits, way)
    story = "\n".join(lines)
    if not plain:
        main = "async def main():" if way == "async" else "def main():"
        story = f"{main}\n    global now\n{indent(story, '    ')}"
    helper = "" if plain else "import asyncio" if way == "async" else "import threading\nimport time"
    parts = [
        _head(subject, played.problem),
        "\n".join(filter(None, (helper, dialect.imports))),
        "now = 1_700_000_000.0  # the time that the breaker sees, in seconds",
        _errors(traits, ignoring, dialect),
        dialect.clock.strip(),
        _made(dialect, traits, way, dialect.ignoring if ignoring else ""),
        f"{'async ' if way == 'async' else ''}def run(function):\n{indent(body, '    ')}",
        (_PLAIN if plain else _ASYNC if way == "async" else _SYNC).strip(),
        *(_streams(dialect, way) if streams else []),
        story,
        "" if plain else "asyncio.run(main())" if way == "async" else "main()",
    ]
    return "\n\n\n".join(filter(None, parts)) + "\n"


def _one_after_the_other(steps: Sequence[Step]) -> bool:
    """Tell whether each call ended before the next thing happened."""
    followers = (*steps[1:], None)
    return all(
        follower is None or (follower.what == "end" and follower.call == step.call)
        for step, follower in zip(steps, followers, strict=True)
        if step.what == "start" and step.entered
    )


def _plain_lines(dialect: Dialect, played: Played, traits: Traits) -> Iterator[str]:
    """Yield the lines of a story of calls without overlaps."""
    steps = played.steps
    for at, step in enumerate(steps):
        end = steps[at + 1] if at + 1 < len(steps) and steps[at + 1].what == "end" else None
        wrong = played.problem if step is steps[-1] or end is steps[-1] else ""
        if step.what == "start":
            error = "" if end is None or end.outcome is None else _error(end.outcome, traits)
            yield f"{step.call} = Call({error})"
            if end is not None and wrong:
                yield _judged(step.call, end.outcome or "ok", wrong)
            else:
                yield _entered(step, wrong)
        elif step.what != "end":
            yield from _other(dialect, step, wrong)


def _streams(dialect: Dialect, way: Way) -> list[str]:
    body = dialect.run_stream or "return breaker(function)()  # however it calls a generator function"
    run = f"def run_stream(function):\n{indent(body, '    ')}"
    return [run, (_ASYNC_STREAM if way == "async" else _STREAM).strip()]


def _head(subject: Subject, problem: str) -> str:
    try:
        library = f"{subject.library.name} {version(subject.library.name)}"
    except PackageNotFoundError:
        library = "A breaker of our own"
    return f"# {library}, Python {platform.python_version()}: {problem}"


def _errors(traits: Traits, ignoring: bool, dialect: Dialect) -> str:
    names = [] if hasattr(builtins, traits.failure.__name__) else [traits.failure.__name__]
    names += ["Ignored"] if ignoring else []
    told = "" if dialect.ignoring or not ignoring else "  # which the breaker must be told to ignore"
    return "\n\n\n".join(f"class {name}(Exception):{told}\n    pass" for name in names)


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
    for step in played.steps:
        wrong = played.problem if step is played.steps[-1] else ""
        if step.what == "start":
            begin = "start()" if not step.stream else "Stream().begin()" if wait else "Stream()"
            yield f"{step.call} = {wait}{begin}"
            yield _entered(step, wrong)
        elif step.what == "end" and step.outcome is not None:
            if step.seconds:
                yield f"now += {step.seconds:g}"
            ending = "close()" if step.outcome == "closed" else f"end({_error(step.outcome, traits)})"
            yield f"{wait}{step.call}.{ending}"
            if wrong:
                yield _judged(step.call, step.outcome, wrong)
        else:
            yield from _other(dialect, step, wrong)


def _other(dialect: Dialect, step: Step, wrong: str) -> Iterator[str]:
    if step.what == "wait":
        yield f"now += {step.seconds:g}"
        return
    yield dialect.force.get(str(step.state), f"...  # bring it into {step.state}")
    if wrong:
        yield f"raise AssertionError({wrong!r})"


def _entered(step: Step, wrong: str) -> str:
    right = step.entered is not bool(wrong)
    return f"assert {'' if right else 'not '}{step.call}.entered" + (f", {wrong!r}" if wrong else "")


def _error(outcome: Outcome, traits: Traits) -> str:
    if outcome in ("ok", "slow"):
        return ""
    return _ERRORS.get(outcome, f'{traits.failure.__name__}("down")')


def _judged(call: str, outcome: Outcome, wrong: str) -> str:
    kind = _RAISED.get(outcome)
    right = f"isinstance({call}.raised, {kind})" if kind else f"{call}.raised is None"
    if outcome in ("failure", "ignored"):
        right = f"{call}.raised is not None"
    return f"assert {right}, {wrong!r}"


def hazard_script(subject: Subject, name: str) -> str:
    """Return a script for what is wrong in how a breaker is made or wrapped."""
    from pytest_resilience.breakers.hands import Hands

    with subject.borrowed(Hands()) as lend:
        traits = lend().traits
    dialect = DIALECTS.get(subject.library.name, UNKNOWN)
    values = {field: getattr(traits, field) for field in Traits.__dataclass_fields__}
    if name == "falsy_open_time":
        return _zero_script(subject, dialect, dialect.zero.format(**values), traits)
    return _coroutine_script(subject, dialect, _made(dialect, traits, "sync", ""), traits)


def _zero_script(subject: Subject, dialect: Dialect, make: str, traits: Traits) -> str:
    body = f"""
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
"""
    return body.lstrip()


def _coroutine_script(subject: Subject, dialect: Dialect, make: str, traits: Traits) -> str:
    body = f"""
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
"""
    return body.lstrip()
