"""Every kind of call under every fault, and restored identically."""

import asyncio
import functools
import inspect
import socket
import time
from collections.abc import Callable
from typing import Any

import chaos_subjects as subjects
import pytest
import trio

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.services import Service

SECONDS = 0.01


async def collect(count: int) -> list[int]:
    return [item async for item in subjects.shared_client.stream_async(count)]


def receive() -> bytes:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"odds")
        return right.recv(4)


def run_trio(function: Callable[..., Any], *args: Any) -> Any:
    return trio.run(functools.partial(function, *args))


def run_asyncio(function: Callable[..., Any], *args: Any) -> Any:
    async def main() -> Any:
        return await function(*args)

    return asyncio.run(main())


CALLS: dict[str, tuple[str, Callable[[], object], object]] = {
    "function": ("fetch", lambda: subjects.fetch("g")[0], "g"),
    "method": ("Client.fetch", lambda: subjects.bound_fetch("g"), "g"),
    "inherited super": ("Client.name", subjects.shared_client.name, "base Client"),
    "closure": ("PRICE_ONE", lambda: subjects.PRICE_ONE(), 1),
    "cached": ("fetch_cached", lambda: subjects.fetch_cached.__wrapped__("g"), "g"),
    "classmethod": ("Client.create", lambda: subjects.Client.create(), "Client"),
    "staticmethod": ("Client.parse", lambda: subjects.Client.parse("g"), "g"),
    "property": ("Client.odds", lambda: subjects.shared_client.odds, 1.5),
    "cached property": ("Client.limit", lambda: subjects.Client().limit, 7),
    "constructor": ("Client.__init__", lambda: subjects.Client(5).games, 5),
    "generator": ("Client.stream", lambda: list(subjects.shared_client.stream(2)), [0, 1]),
    "coroutine on asyncio": (
        "Client.fetch_async",
        lambda: run_asyncio(subjects.shared_client.fetch_async, "g"),
        "g",
    ),
    "coroutine on trio": (
        "Client.fetch_async",
        lambda: run_trio(subjects.shared_client.fetch_async, "g"),
        "g",
    ),
    "async generator on asyncio": ("Client.stream_async", lambda: run_asyncio(collect, 2), [0, 1]),
    "async generator on trio": ("Client.stream_async", lambda: run_trio(collect, 2), [0, 1]),
    "native function": ("SLEEP_ALIAS", lambda: time.sleep(0), None),
    "native method": ("socket:socket.recv", receive, b"odds"),
}


def code_at(target: str) -> list[object]:
    """Return what identifies a target: what stands at its place, and its code."""
    module, _, path = target.partition(":")
    owner: Any = socket if module == "socket" else subjects
    *owners, name = path.split(".")
    for part in owners:
        owner = getattr(owner, part)
    found = inspect.getattr_static(owner, name)
    inner = getattr(found, "__wrapped__", None) or getattr(found, "__func__", found)
    inner = getattr(inner, "fget", None) or getattr(inner, "func", inner)
    return [found, getattr(inner, "__code__", None), name in vars(owner)]


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("scenario", ["latency_spike", "valuation_exception", "provider_timeout"])
def test_each_kind_of_call_under_each_fault(kind: str, scenario: str) -> None:
    """The fault delays, raises or hangs and raises; afterwards the call is what it was, identically."""
    path, call, expected = CALLS[kind]
    target = path if ":" in path else f"chaos_subjects:{path}"
    before = code_at(target)
    service = Service(
        "it", calls=[target], errors=[ConnectionResetError], timeout=SECONDS, timeout_error=socket.timeout
    )
    engine = Chaos([service], seed=1)
    if scenario == "latency_spike":
        event = engine.inject(scenario, "it", delay=SECONDS, probability=1)
    else:
        event = engine.inject(scenario, "it", probability=1)
    assert code_at(target) != before
    error = {"valuation_exception": ConnectionResetError, "provider_timeout": TimeoutError}.get(scenario)
    started = time.monotonic()
    with event:
        if error is None:
            assert call() == expected
        else:
            with pytest.raises(error):
                call()
    took = time.monotonic() - started
    assert took >= SECONDS or scenario == "valuation_exception"
    assert event.fired == event.reached == 1
    assert all(now is then for now, then in zip(code_at(target), before, strict=True))
    assert call() == expected
