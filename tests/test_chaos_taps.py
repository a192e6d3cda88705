"""Taps choose their calls by arguments, tell a user's own mistakes apart, and count what really acted."""

import asyncio
import functools
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import chaos_subjects as subjects
import pytest
from chaos_arming import ALWAYS, armed
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.chaos.faults import (
    Delay,
    Effect,
    Fault,
    Hang,
    Mutate,
    Raise,
    RaiseAfter,
    Return,
    ReturnFrom,
)
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.triggers import nth
from pytest_resilience.clock import ManualClock
from pytest_resilience.errors import ScenarioError, ServiceError

NOTHING: dict[str, bool] = {}
FETCH = "chaos_subjects:Client.fetch"


def fails(call: Callable[[], object], error: type[BaseException] = KeyError) -> bool:
    try:
        call()
    except error:
        return True
    return False


@given(games=st.lists(st.sampled_from(["game-1", "game-2", "game-3"]), max_size=12), n=st.integers(1, 4))
def test_the_nth_matching_call_is_hit(games: list[str], n: int) -> None:
    """Calls with other arguments are not counted, whatever comes between."""
    with armed(FETCH, trigger=nth(n), when=lambda client, game: game == "game-1") as evidence:
        hit = [
            index for index, game in enumerate(games) if fails(functools.partial(subjects.bound_fetch, game))
        ]
    matching = [index for index, game in enumerate(games) if game == "game-1"]
    assert hit == matching[n - 1 : n]
    assert evidence.reached.value == len(matching)
    assert evidence.fired.value == len(hit)


@pytest.mark.parametrize(
    ("path", "call", "arguments"),
    [
        ("fetch", lambda: subjects.fetch("g", "draw", 1, live=True, limit=3), ("g", "draw", 1, True, 3)),
        ("Client.fetch", lambda: subjects.bound_fetch(game="g"), (subjects.shared_client, "g")),
        ("Client.create", lambda: subjects.Client.create(), (subjects.Client,)),
        ("Client.parse", lambda: subjects.Client.parse("g"), ("g",)),
        ("Client.odds", lambda: subjects.shared_client.odds, (subjects.shared_client,)),
        ("SLEEP_ALIAS", lambda: subjects.imported_sleep(0), (0,)),
        ("Client.stream", lambda: list(subjects.shared_client.stream(0)), (subjects.shared_client, 0)),
        (
            "Client.fetch_async",
            lambda: asyncio.run(subjects.shared_client.fetch_async("g")),
            (subjects.shared_client, "g"),
        ),
        (
            "Client.stream_async",
            lambda: asyncio.run(collect(subjects.shared_client.stream_async(0))),
            (subjects.shared_client, 0),
        ),
    ],
)
def test_when_gets_the_calls_own_arguments(
    path: str, call: Callable[[], object], arguments: tuple[object, ...]
) -> None:
    """Each kind of call passes what its function gets, defaults and self included."""
    asked = []

    def when(*args: object, **kwargs: object) -> bool:
        asked.append((*args, *kwargs.values()))
        return False

    expected = call()
    with armed(f"chaos_subjects:{path}", Raise([KeyError]), ALWAYS, when=when) as evidence:
        assert call() == expected
    assert asked == [arguments]
    assert evidence.reached.value == 0


async def collect(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def test_parameters_of_any_name_reach_when() -> None:
    """A parameter called self, or as one of the tap's own, is passed on."""

    def odd(*, self: int, args: int, fix: int = 3) -> int:
        return self + args + fix

    with armed(odd, Raise([KeyError]), ALWAYS, when=lambda self, args, fix: self == 1):
        assert fails(lambda: odd(self=1, args=2))
        assert odd(self=2, args=2) == 7


def test_a_when_that_fails_is_told_as_its_own_mistake() -> None:
    """The call raises ScenarioError, and the evidence keeps it: the code under test may swallow it."""

    def about_game_one(game: str) -> bool:
        return game == "game-1"

    tap = armed(FETCH, Raise([KeyError]), ALWAYS, when=about_game_one)
    with tap as evidence, pytest.raises(ScenarioError) as wrong:
        subjects.bound_fetch("game-1")
    assert isinstance(wrong.value.__cause__, TypeError)
    line = about_game_one.__code__.co_firstlineno
    assert str(wrong.value) == (
        f"when about_game_one (test_chaos_taps.py:{line}) raised TypeError: {wrong.value.__cause__}. "
        f"Let it take the arguments of {FETCH} and return True or False."
    )
    assert evidence.mistake == str(wrong.value)
    assert evidence.reached.value == 0


def test_only_the_first_mistake_is_kept() -> None:
    """A thousand failing calls are one mistake."""
    with armed(FETCH, Raise([KeyError]), ALWAYS, when=lambda client, game: NOTHING[game]) as evidence:
        assert fails(lambda: subjects.bound_fetch("first"), ScenarioError)
        assert fails(lambda: subjects.bound_fetch("second"), ScenarioError)
    assert evidence.mistake is not None
    assert "'first'" in evidence.mistake


def test_an_interrupt_within_when_stays_an_interrupt() -> None:
    """Ctrl-C is nobody's mistake."""

    def interrupted(client: object, game: str) -> bool:
        raise KeyboardInterrupt

    with armed(FETCH, Raise([KeyError]), ALWAYS, when=interrupted) as evidence:
        assert fails(lambda: subjects.bound_fetch("g"), KeyboardInterrupt)
    assert evidence.mistake is None


@pytest.mark.parametrize(
    ("fault", "when"),
    [
        (Raise([KeyError]), lambda client, game: bool(client.fetch(game))),
        (Mutate(subjects.bound_fetch), None),
        (ReturnFrom(lambda: subjects.bound_fetch("inner")), None),
    ],
)
def test_a_users_function_may_make_the_call_itself(fault: Fault, when: Any) -> None:
    """A call made from within when, change or factory is not hit, so it cannot ask itself forever."""
    with armed(FETCH, fault, ALWAYS, when=when) as evidence:
        fails(lambda: subjects.bound_fetch("g"))
    assert evidence.fired.value == 1


async def always_async(*args: object) -> bool:
    return True


@pytest.mark.parametrize("when", ["game-1", always_async])
def test_a_when_that_cannot_be_asked_is_rejected(when: Any) -> None:
    """A coroutine function would be true for every call."""
    with pytest.raises(ScenarioError) as wrong, armed(FETCH, when=when):
        pass
    assert (
        str(wrong.value)
        == f"when must be a plain function, not {when!r}. Write for example lambda *args: True."
    )


def test_without_when_and_scope_the_trampoline_does_not_ask() -> None:
    """An absent predicate costs nothing: there is no instruction for it."""
    with armed(FETCH):
        plain = subjects.Client.fetch.__code__
    with armed(FETCH, when=lambda *args: True):
        choosy = subjects.Client.fetch.__code__
    assert "resilience__concerns" not in plain.co_varnames
    assert "resilience__concerns" in choosy.co_varnames


@pytest.mark.parametrize("path", ["Client.stream", "Client.stream_async"])
@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (42, "Write [42] for one item."),
        ("ab", "Write ['ab'] for one item."),
        (iter([1]), "It can be used once only: give a list, or ReturnFrom(factory)."),
    ],
)
def test_a_generator_needs_items_to_return(path: str, value: object, fix: str) -> None:
    """What has no items, or has them once only, is rejected when the tap is made."""
    kind = "generator" if path == "Client.stream" else "async generator"
    with pytest.raises(ScenarioError) as wrong, armed(f"chaos_subjects:{path}", Return(value)):
        pass
    assert str(wrong.value) == (
        f"Return(value) for the {kind} chaos_subjects:{path} must be "
        f"a list of the items that it hands out, not {value!r}. {fix}"
    )


def test_a_factory_without_items_is_told_at_the_call() -> None:
    """What a factory gives for a generator is known only then."""
    with armed("chaos_subjects:Client.stream", ReturnFrom(lambda: 42), ALWAYS) as evidence:
        assert fails(lambda: list(subjects.shared_client.stream(2)), ScenarioError)
    assert evidence.mistake is not None
    assert evidence.mistake.startswith("What is returned for a generator must be a list of the items")
    assert evidence.fired.value == 0


@pytest.mark.parametrize(
    ("fault", "what", "fix"),
    [
        (Mutate(lambda result: result.missing), "Mutate(change)", "Let it take what the call hands out."),
        (
            ReturnFrom(lambda: NOTHING["missing"]),
            "ReturnFrom(factory)",
            "Let it take no argument and not fail.",
        ),
    ],
)
def test_a_failing_change_or_factory_is_told_as_a_mistake(fault: Fault, what: str, fix: str) -> None:
    """It is no error of the service, and the fault has not fired."""
    with armed(FETCH, fault, ALWAYS) as evidence, pytest.raises(ScenarioError) as wrong:
        subjects.bound_fetch("g")
    assert str(wrong.value).startswith(f"{what} <lambda> (test_chaos_taps.py:")
    assert str(wrong.value).endswith(fix)
    assert evidence.mistake == str(wrong.value)
    assert evidence.fired.value == 0


def test_an_error_that_cannot_be_built_is_kept_as_a_mistake() -> None:
    """A factory that fails at the call must not look like an error of the service."""
    with armed(FETCH, Raise([lambda: 1 / 0]), ALWAYS) as evidence:  # type: ignore[list-item,return-value]
        assert fails(lambda: subjects.bound_fetch("g"), ServiceError)
    assert evidence.mistake is not None
    assert "division by zero" in evidence.mistake


@pytest.mark.parametrize("fault", [RaiseAfter([OSError]), Mutate(len)])
def test_a_call_that_fails_by_itself_keeps_its_own_error(fault: Fault) -> None:
    """Nothing came back that could be changed or lost: the fault was reached and has not fired."""

    def broken() -> None:
        raise LookupError("its own")

    with armed(broken, fault, ALWAYS) as evidence, pytest.raises(LookupError, match="its own"):
        broken()
    assert (evidence.reached.value, evidence.fired.value) == (1, 0)


@pytest.mark.parametrize("fault", [RaiseAfter([OSError]), Mutate(len)])
def test_a_fault_that_was_removed_during_the_call_lets_its_result_pass(fault: Fault) -> None:
    """Gone means gone, also for a call that had been picked."""
    release = Release()

    def slow() -> str:
        release.set()
        return "done"

    with armed(slow, fault, ALWAYS, release=release) as evidence:
        assert slow() == "done"
    assert evidence.fired.value == 0


def test_a_lost_acknowledgement_leaves_the_effect() -> None:
    """The write happened, and the caller is told that it failed."""
    written: list[str] = []

    def write(row: str) -> None:
        written.append(row)

    with armed(write, RaiseAfter([ConnectionResetError]), ALWAYS):
        assert fails(lambda: write("bet"), ConnectionResetError)
    assert written == ["bet"]


def test_a_changed_stream_takes_what_is_sent_and_thrown_and_returns() -> None:
    """send, throw, close and the return value reach the generator; its items are changed."""
    heard: list[object] = []

    def talk() -> Iterator[Any]:
        try:
            heard.append((yield 1))
            yield 2
        except ValueError as thrown:
            heard.append(repr(thrown))
            yield 3
        finally:
            heard.append("closed")

    with armed(talk, Mutate(lambda item: item * 10), ALWAYS) as evidence:
        one: Any = talk()
        assert (next(one), one.send("hello"), one.throw(ValueError("bad"))) == (10, 20, 30)
        one.close()
        assert heard == ["hello", "ValueError('bad')", "closed"]
        assert evidence.fired.value == 1


def test_a_changed_generator_keeps_its_return_value() -> None:
    """What `yield from` gives stays."""
    with armed("chaos_subjects:Client.stream", Mutate(str), ALWAYS):
        stream = subjects.shared_client.stream(1)
        assert next(stream) == "0"  # type: ignore[comparison-overlap]
        with pytest.raises(StopIteration) as end:
            next(stream)
    assert end.value.value == "total 0"


def test_a_changed_async_stream_takes_what_is_sent_and_thrown() -> None:
    """asend, athrow and aclose reach the async generator."""

    async def talk() -> list[object]:
        echo: Any = subjects.Client().echo()
        heard = [await echo.__anext__(), await echo.asend("hello"), await echo.athrow(ValueError("bad"))]
        await echo.aclose()
        return heard

    with armed("chaos_subjects:Client.echo", Mutate(str.upper), ALWAYS):
        assert asyncio.run(talk()) == ["STARTED", "HELLO", "VALUEERROR('BAD')"]


def test_a_stream_breaks_after_its_last_item() -> None:
    """A lost acknowledgement of a stream: all items came, then the error; not if the consumer stops early."""
    with armed("chaos_subjects:Client.stream", RaiseAfter([ConnectionResetError]), ALWAYS) as evidence:
        early = subjects.shared_client.stream(2)
        next(early)
        early.close()
        assert evidence.fired.value == 0
        whole = subjects.shared_client.stream(2)
        assert [next(whole), next(whole)] == [0, 1]
        with pytest.raises(ConnectionResetError):
            next(whole)
    assert evidence.fired.value == 1


def test_a_returned_stream_can_be_sent_to_and_closed() -> None:
    """The consumer talks to it as to the real one."""
    with armed("chaos_subjects:Client.stream", Return([7, 8, 9]), ALWAYS):
        stream = subjects.shared_client.stream(1)
        assert (next(stream), stream.send(1)) == (7, 8)
        stream.close()
        assert list(subjects.shared_client.stream(1)) == [7, 8, 9]


def test_a_custom_fault_may_do_several_things() -> None:
    """An effect is plain data: wait, then let the call through, change its result."""

    class SlowAndWrong:
        def effect(self, rank: int, chance: float) -> Effect:
            return Effect(wait=3, change=lambda result: (rank, result))

    clock = ManualClock()
    with armed(FETCH, SlowAndWrong(), ALWAYS, clock=clock) as evidence:
        results: list[object] = [subjects.bound_fetch("g"), subjects.bound_fetch("h")]
    assert results == [(0, "g"), (1, "h")]
    assert clock.now() == 6
    touched = evidence.touched()
    assert (touched.reached, touched.fired) == (2, 2)
    assert (touched.first_fired_at, touched.last_fired_at) == (3, 6)


def test_a_generator_based_coroutine_does_not_block_the_loop() -> None:
    """Its delay is awaited as one of an async def is."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        await subjects.shared_client.fetch_old_style("g")
        ticking.cancel()

    with armed("chaos_subjects:Client.fetch_old_style", Delay(0.1), ALWAYS):
        asyncio.run(main())
    assert ticks > 10


def test_a_hanging_task_that_is_thrown_away_makes_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that is closed over a hanging call leaves no error of ours behind."""
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)

    async def hang() -> None:
        await subjects.shared_client.fetch_async("g")

    with armed("chaos_subjects:Client.fetch_async", Hang(), ALWAYS):
        loop = asyncio.new_event_loop()
        task = loop.create_task(hang())
        loop.set_exception_handler(lambda loop, context: None)
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        del task
        gc.collect()
    assert noise == []
