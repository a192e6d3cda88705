"""Every kind of call under every fault, and restored identically."""

import asyncio
import functools
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chaos_subjects as subjects
import pytest
import trio
from chaos_arming import ALWAYS, armed

from pytest_resilience.chaos.faults import (
    Delay,
    Fault,
    Hang,
    Mutate,
    Raise,
    RaiseAfter,
    Return,
    ReturnFrom,
    Spike,
)
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.targets import resolve

SECONDS = 0.01
REMOVED_AFTER = 0.05
STAND_IN = ["from the fault"]


async def collect(count: int) -> list[int]:
    return [item async for item in subjects.shared_client.stream_async(count)]


async def entered(function: Callable[..., Any], *args: Any) -> Any:
    async with function(*args) as result:
        return result


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


@dataclass(frozen=True)
class Subject:
    """A call of one kind: its target, how to make it, and what it gives."""

    target: str
    call: Callable[[], object]
    result: object
    gives_items: bool = False
    must_return_none: bool = False
    is_awaited_later: bool = False


def of_subjects(path: str, call: Callable[[], object], result: object, **more: bool) -> Subject:
    return Subject(f"chaos_subjects:{path}", call, result, **more)


client = subjects.shared_client
FETCHED: tuple[object, ...] = ("g", "win", (), False, {})
SUBJECTS = {
    "function": of_subjects("fetch", lambda: subjects.fetch("g"), FETCHED),
    "aliased import": of_subjects("fetch", lambda: subjects.fetch_alias("g"), FETCHED),
    "method": of_subjects("Client.fetch", lambda: client.fetch("g"), "g"),
    "bound method": of_subjects("Client.fetch", lambda: subjects.bound_fetch("g"), "g"),
    "super": of_subjects("Client.name", client.name, "base Client"),
    "closure": of_subjects("PRICE_ONE", lambda: subjects.PRICE_ONE(), 1),
    "cached": of_subjects("fetch_cached", lambda: subjects.fetch_cached.__wrapped__("g"), "g"),
    "classmethod": of_subjects("Client.create", lambda: subjects.Client.create(), "Client"),
    "staticmethod": of_subjects("Client.parse", lambda: subjects.Client.parse("g"), "g"),
    "property": of_subjects("Client.odds", lambda: client.odds, 1.5),
    "cached property": of_subjects("Client.limit", lambda: subjects.Client().limit, 7),
    "constructor": of_subjects("Client.__init__", lambda: subjects.Client(5).games, 5, must_return_none=True),
    "generator": of_subjects("Client.stream", lambda: list(client.stream(2)), [0, 1], gives_items=True),
    "coroutine on asyncio": of_subjects(
        "Client.fetch_async", lambda: run_asyncio(client.fetch_async, "g"), "g"
    ),
    "coroutine on trio": of_subjects("Client.fetch_async", lambda: run_trio(client.fetch_async, "g"), "g"),
    "function that hands out an awaitable": of_subjects(
        "Client.request", lambda: run_asyncio(client.request, "g"), "g", is_awaited_later=True
    ),
    "function that hands out an async context manager": of_subjects(
        "Client.request", lambda: run_asyncio(entered, client.request, "g"), "g", is_awaited_later=True
    ),
    "generator-based coroutine": of_subjects(
        "Client.fetch_old_style", lambda: run_asyncio(client.fetch_old_style, "g"), "g"
    ),
    "async generator on asyncio": of_subjects(
        "Client.stream_async", lambda: run_asyncio(collect, 2), [0, 1], gives_items=True
    ),
    "async generator on trio": of_subjects(
        "Client.stream_async", lambda: run_trio(collect, 2), [0, 1], gives_items=True
    ),
    "builtin": Subject("time:sleep", lambda: time.sleep(0), None),
    "aliased import of a builtin": Subject("time:sleep", lambda: subjects.imported_sleep(0), None),
    "builtin method": Subject("socket:socket.recv", receive, b"odds"),
}


@dataclass(frozen=True)
class Case:
    """A fault, whether the call is made under it, and what comes out (None: the call's own result)."""

    fault: Fault
    is_made: bool
    outcome: Callable[[Subject], object] | None = None
    raises: type[Exception] | None = None
    seconds: float = 0.0


def wrapped(subject: Subject) -> object:
    result: Any = subject.result
    return [[item] for item in result] if subject.gives_items else [result]


CASES = {
    "Delay": Case(Delay(SECONDS), is_made=True, seconds=SECONDS),
    "Delay with jitter": Case(Delay(2 * SECONDS, jitter=SECONDS), is_made=True, seconds=SECONDS),
    "Spike, measured": Case(Spike(2, 2, SECONDS, SECONDS), is_made=True, seconds=SECONDS),
    "Raise": Case(Raise([ConnectionResetError]), is_made=False, raises=ConnectionResetError),
    "RaiseAfter": Case(RaiseAfter([ConnectionResetError]), is_made=True, raises=ConnectionResetError),
    "Hang": Case(Hang(SECONDS, socket.timeout), is_made=False, raises=TimeoutError, seconds=SECONDS),
    "Hang until removed": Case(Hang(), is_made=False, raises=TimeoutError, seconds=REMOVED_AFTER / 2),
    "Return": Case(Return(STAND_IN), is_made=False, outcome=lambda subject: STAND_IN),
    "ReturnFrom": Case(ReturnFrom(lambda: list(STAND_IN)), is_made=False, outcome=lambda subject: STAND_IN),
    "Mutate": Case(Mutate(lambda result: [result]), is_made=True, outcome=wrapped),
}


def identity(target: str) -> list[object]:
    """Return what must be the same objects again: all of the owner, and all of the function."""
    module_name, _, path = target.partition(":")
    owner: Any = sys.modules[module_name]
    for part in path.split(".")[:-1]:
        owner = getattr(owner, part)
    function = resolve(target).function
    parts = (
        "__code__",
        "__defaults__",
        "__kwdefaults__",
        "__closure__",
        "__name__",
        "__qualname__",
        "__doc__",
    )
    return [
        *(part for item in vars(owner).items() for part in item),
        *(getattr(function, name) for name in parts),
        *(part for item in vars(function).items() for part in item),
        *vars(subjects).values(),
    ]


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_call_under_each_fault(kind: str, name: str) -> None:
    """The fault does what it says, counts once, and leaves the call as it was, identically."""
    subject, case, release = SUBJECTS[kind], CASES[name], Release()
    before = identity(subject.target)
    remover = threading.Timer(REMOVED_AFTER, release.set)
    raises = TypeError if case.outcome and subject.must_return_none else case.raises
    with (
        armed(subject.target) as inner,
        armed(subject.target, case.fault, ALWAYS, release=release) as evidence,
    ):
        if case.fault == Hang():
            remover.start()
        started = time.monotonic()
        if raises is None:
            assert subject.call() == (case.outcome(subject) if case.outcome else subject.result)
        else:
            with pytest.raises(raises):
                subject.call()
        assert time.monotonic() - started >= case.seconds
        assert inner.reached.value == (case.is_made or subject.is_awaited_later)
        assert evidence.reached.value == evidence.fired.value == 1
    assert all(now is then for now, then in zip(identity(subject.target), before, strict=True))
    assert subject.call() == subject.result
