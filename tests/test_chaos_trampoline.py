"""A function under a trampoline behaves as it did, apart from the fault."""

import asyncio
import functools
import inspect
import pickle
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

import chaos_subjects as subjects
import pytest
from chaos_arming import armed

from pytest_resilience.chaos.faults import Raise
from pytest_resilience.chaos.triggers import nth, share


@pytest.mark.parametrize(
    "call",
    [
        lambda: subjects.fetch("g"),
        lambda: subjects.fetch("g", "draw", 1, 2, live=True, limit=3),
        lambda: subjects.fetch("g", market="draw"),
    ],
)
def test_arguments_of_every_kind_arrive(call: Callable[[], object]) -> None:
    """Positional-only, default, variable and keyword arguments pass through unchanged."""
    expected = call()
    with armed(subjects.fetch) as evidence:
        assert call() == expected
    assert evidence.reached.value == 1


def test_wrong_arguments_raise_the_usual_error() -> None:
    """A call that does not fit the signature fails as it did."""
    with armed(subjects.fetch), pytest.raises(TypeError, match=r"fetch\(\) missing 1 required positional"):
        subjects.fetch()  # type: ignore[call-arg]


def test_identity_and_introspection_stay() -> None:
    """Signature, name, defaults, source and pickling are those of the function."""

    def seen() -> tuple[object, ...]:
        function = subjects.fetch
        return (
            inspect.signature(function),
            function.__qualname__,
            function.__kwdefaults__,
            function.__code__.co_name,
            inspect.getsource(function),
            inspect.getclosurevars(subjects.PRICE_ONE).nonlocals,
            pickle.loads(pickle.dumps(function)) is function,
            functools.wraps(function)(lambda: None).__name__,
        )

    before = seen()
    with armed(subjects.fetch), armed(subjects.PRICE_ONE):
        assert seen() == before


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("fetch", inspect.isfunction),
        ("fetch_async", inspect.iscoroutinefunction),
        ("stream", inspect.isgeneratorfunction),
        ("stream_async", inspect.isasyncgenfunction),
    ],
)
def test_the_kind_of_a_function_stays(name: str, check: Callable[[object], bool]) -> None:
    """Frameworks that look at a function's kind see the same kind."""
    method = getattr(subjects.Client, name)
    with armed(method):
        assert check(method)


def test_super_and_class_cells_work() -> None:
    """A method with super() and __class__ keeps its cells."""
    with armed("chaos_subjects:Client.name"):
        assert subjects.Client().name() == "base Client"


def test_only_the_named_closure_is_hit() -> None:
    """Two closures of one function are two targets."""
    with armed(subjects.PRICE_ONE, trigger=share(1)):
        with pytest.raises(KeyError):
            subjects.PRICE_ONE()
        assert subjects.PRICE_TWO() == 2


def test_recursion_is_reached_at_every_level() -> None:
    """Each level of a recursive function is a call."""
    with armed(subjects.countdown) as evidence:
        assert subjects.countdown(5) == 0
    assert evidence.reached.value == 6


def test_aliases_and_bound_methods_are_reached() -> None:
    """What was imported, bound or stored before sees the fault too."""
    stored = {"fetch": subjects.Client.fetch}
    with armed("chaos_subjects:Client.fetch") as evidence:
        subjects.bound_fetch("g")
        stored["fetch"](subjects.shared_client, "g")
        subjects.Client().fetch("g")
    assert evidence.reached.value == 3


def test_descriptors_are_reached() -> None:
    """Class methods, static methods and properties work, and are hit."""
    client = subjects.Client()
    for name, expected in (("odds", 1.5), ("limit", 7)):
        with armed(f"chaos_subjects:Client.{name}", trigger=nth(2)) as evidence:
            assert getattr(client, name) == expected
            client.__dict__.pop("limit", None)
            with pytest.raises(KeyError):
                getattr(client, name)
        assert evidence.fired.value == 1
    with armed("chaos_subjects:Client.create") as evidence, armed("chaos_subjects:Client.parse"):
        assert (subjects.Client.create(), subjects.Client.parse("x")) == ("Client", "x")


def test_a_fault_fires_inside_the_users_retry() -> None:
    """The user's own wrapper sees the injected error and handles it."""
    with armed("chaos_subjects:fetch_with_retry", Raise([ConnectionError]), share(1)):
        assert subjects.fetch_with_retry("g") == "retried"
    assert subjects.fetch_with_retry("g") == "g"


def test_tracebacks_name_the_function_and_its_line() -> None:
    """The injected error passes through the user's function, at its def line."""
    with armed(subjects.fetch, Raise([ConnectionError]), share(1)), pytest.raises(ConnectionError) as raised:
        subjects.fetch("g")
    frames = traceback.extract_tb(raised.value.__traceback__)
    at = next(frame for frame in frames if frame.name == "fetch")
    assert (at.filename, at.lineno) == (subjects.__file__, subjects.fetch.__code__.co_firstlineno)


def test_a_line_tracer_sees_only_the_def_line_of_the_trampoline() -> None:
    """Coverage and debuggers meet no line that the file does not have."""
    lines: set[int] = set()

    def trace(frame: types.FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename == subjects.__file__:
            lines.add(frame.f_lineno)
        return trace

    previous = sys.gettrace()
    with armed(subjects.countdown):
        sys.settrace(trace)
        try:
            subjects.countdown(1)
        finally:
            sys.settrace(previous)
    first = subjects.countdown.__code__.co_firstlineno
    assert lines == {first, first + 1}


def test_generators_take_what_is_sent_and_return() -> None:
    """send() and the return value pass through."""
    with armed("chaos_subjects:Client.stream"):
        stream = subjects.Client().stream(2)
        assert next(stream) == 0
        assert stream.send(5) == 1
        with pytest.raises(StopIteration) as end:
            stream.send(6)
    assert end.value.value == "total 11"


def test_generators_keep_their_faults_when_suspended() -> None:
    """A generator that was started before or during a fault goes on after it."""
    before = subjects.Client().stream(3)
    next(before)
    with armed("chaos_subjects:Client.stream", trigger=share(1)):
        assert next(before) == 1
        with pytest.raises(KeyError):
            next(subjects.Client().stream(3))
    assert list(before) == [2]


def test_async_generators_delegate_send_throw_and_close() -> None:
    """asend, athrow, aclose and exhaustion reach the inner generator."""

    async def talk() -> list[object]:
        echo: Any = subjects.Client().echo()
        heard = [await echo.__anext__(), await echo.asend("hello"), await echo.athrow(ValueError("bad"))]
        await echo.aclose()
        heard += [item async for item in subjects.Client().stream_async(3)]
        other: Any = subjects.Client().echo()
        await other.__anext__()
        with pytest.raises(RuntimeError, match="generator raised StopAsyncIteration"):
            await other.athrow(StopAsyncIteration)
        return heard

    expected = asyncio.run(talk())
    with armed("chaos_subjects:Client.echo") as evidence, armed("chaos_subjects:Client.stream_async"):
        assert asyncio.run(talk()) == expected == ["started", "hello", "ValueError('bad')", 0, 1, 2]
    assert evidence.reached.value == 2


def test_a_generator_based_coroutine_stays_awaitable() -> None:
    """types.coroutine functions can still be awaited."""

    @types.coroutine
    def old_style() -> Iterator[None]:
        yield
        return None

    async def main() -> str:
        await old_style()
        return "done"

    with armed(old_style) as evidence:
        assert asyncio.run(main()) == "done"
    assert evidence.reached.value == 1


def test_private_and_odd_parameter_names_pass_through() -> None:
    """Mangled names and names of the trampoline's own helpers do no harm."""

    class Odd:
        def add(self, __first: int, token: int, index: int = 3, *, inner: int = 4) -> int:
            return __first + token + index + inner

    with armed(Odd.add):
        assert Odd().add(1, 2, inner=5) == 11
