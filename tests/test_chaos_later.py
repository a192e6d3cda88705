"""Faults on functions that hand out an awaitable act when that is awaited, and the loop runs on."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp
import asyncpg  # type: ignore[import-untyped]
import chaos_subjects as subjects
import pytest
from chaos_arming import ALWAYS, armed

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.faults import Delay, Hang, Raise, Return
from pytest_resilience.chaos.kinds import Kind
from pytest_resilience.chaos.targets import resolve
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

TARGET = "chaos_subjects:Client.request"
client = subjects.shared_client


def run(make: Callable[[], Awaitable[object]]) -> tuple[object, int]:
    """Await what is made; return its result and how often the loop went round meanwhile."""

    async def main() -> tuple[object, int]:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        turning = asyncio.create_task(turn())
        try:
            return await make(), turns
        finally:
            turning.cancel()

    return asyncio.run(main())


def test_the_loop_runs_on_while_the_fault_waits() -> None:
    """Awaited as it is, in a task, or with a time-out around it."""
    makers: list[Callable[[], Awaitable[object]]] = [
        lambda: client.request("g"),
        lambda: asyncio.ensure_future(client.request("g")),
        lambda: asyncio.wait_for(client.request("g"), 5),
        lambda: asyncio.create_task(client.request("g")),  # type: ignore[arg-type]
    ]
    with armed(TARGET, Delay(0.05), ALWAYS) as evidence:
        for make in makers:
            result, turns = run(make)
            assert result == "g"
            assert turns > 10
    assert evidence.fired.value == len(makers)


def test_a_time_out_of_the_caller_ends_the_wait() -> None:
    """As it would end the call."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.request("g"), 0.02)

    with armed(TARGET, Hang(), ALWAYS):
        started = time.monotonic()
        asyncio.run(main())
    assert time.monotonic() - started < 5


def test_what_is_never_awaited_is_not_hit() -> None:
    """Nothing was asked of the service."""
    with armed(TARGET, Raise([ConnectionError]), ALWAYS) as evidence:
        client.request("g").close()  # type: ignore[attr-defined]
    assert (evidence.reached.value, evidence.fired.value) == (1, 0)


def test_an_answer_is_awaited_too() -> None:
    """The caller finds what it expects: something to await."""
    with armed(TARGET, Return(7), ALWAYS):
        assert run(lambda: client.request("g"))[0] == 7


def test_what_hands_out_an_awaitable_is_known_by_its_annotation() -> None:
    """Also where it is a name; one that is wrong, or missing, says nothing."""

    def broken() -> "Nowhere":  # type: ignore[name-defined] # noqa: F821
        return None

    assert resolve("aiohttp:ClientSession.get").kind is Kind.AWAITABLE
    assert resolve(TARGET).kind is Kind.AWAITABLE
    assert resolve("chaos_subjects:Client.fetch").kind is Kind.FUNCTION
    assert resolve(asyncpg.create_pool).kind is Kind.FUNCTION
    assert resolve(broken).kind is Kind.FUNCTION


def test_aiohttp_waits_without_blocking_the_loop() -> None:
    """A latency on ClientSession.get, used as users do."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:9/"):
            pass

    service = Service("web", calls=["aiohttp:ClientSession.get"], errors=[aiohttp.ServerDisconnectedError])
    with (
        Chaos([service], seed=1) as chaos,
        chaos.inject("valuation_exception", "web", probability=1) as event,
    ):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            asyncio.run(main())
        assert event.fired == 1


def test_a_wait_that_would_stop_the_loop_for_ever_is_refused() -> None:
    """In a plain function nothing else could run any more, not even what removes the fault."""

    async def main() -> None:
        client.fetch("g")

    with (
        armed("chaos_subjects:Client.fetch", Hang(), ALWAYS) as evidence,
        pytest.raises(ScenarioError) as wrong,
    ):
        asyncio.run(main())
    assert str(wrong.value) == evidence.mistake
    assert evidence.mistake == (
        "Hang() without seconds, in a function that is not awaited, would stop the event loop for ever. "
        "Give it seconds, or name the coroutine that the function calls."
    )
