"""What a seam costs: per armed call that does not fire, and to arm and disarm; mock.patch beside it.

A fault that chooses its calls, by arguments or by task, costs more per call; that is shown for a function.

Run: python tests/benchmarks/bench_seam.py
"""

import asyncio
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FunctionType
from typing import Any
from unittest import mock

from pytest_resilience.chaos import trampoline
from pytest_resilience.chaos.faults import Delay
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.scope import Scope
from pytest_resilience.chaos.taps import Evidence, FaultTap, When
from pytest_resilience.chaos.targets import resolve
from pytest_resilience.chaos.triggers import nth
from pytest_resilience.clock import SystemClock

CALLS = 50_000
ROUNDS = 11
NEVER = nth(10**15).schedule("bench")


def fetch(game: int, market: int) -> int:
    return game


class Client:
    def fetch(self, game: int, market: int) -> int:
        return game

    async def fetch_async(self, game: int, market: int) -> int:
        return game

    def stream(self, game: int, market: int) -> Iterator[int]:
        yield game


CLIENT = Client()


def call_function() -> None:
    for _ in range(CALLS):
        fetch(1, 2)


def call_method() -> None:
    client = CLIENT
    for _ in range(CALLS):
        client.fetch(1, 2)


def call_coroutine() -> None:
    async def main() -> None:
        client = CLIENT
        for _ in range(CALLS):
            await client.fetch_async(1, 2)

    asyncio.run(main())


def call_generator() -> None:
    client = CLIENT
    for _ in range(CALLS):
        for _item in client.stream(1, 2):
            pass


Patch = Callable[[], AbstractContextManager[Any]]


def armed(
    function: Callable[..., Any], when: When | None = None, scope: Scope | None = None
) -> AbstractContextManager[None]:
    """Attach a fault that never fires."""
    return attached(resolve(function).function, when, scope)


@contextmanager
def attached(function: FunctionType, when: When | None, scope: Scope | None) -> Iterator[None]:
    tap = FaultTap(Delay(1), NEVER, "bench", Evidence(), Release(), SystemClock(), when=when, scope=scope)
    LEDGER.attach(function, None, tap)
    try:
        yield
    finally:
        LEDGER.detach(function, tap)


CASES: dict[str, tuple[Any, Callable[..., Any], Patch, int]] = {
    "function": (call_function, fetch, lambda: mock.patch(f"{__name__}.fetch", wraps=fetch), 100),
    "method": (
        call_method,
        Client.fetch,
        lambda: mock.patch.object(CLIENT, "fetch", wraps=CLIENT.fetch),
        200,
    ),
    "coroutine": (
        call_coroutine,
        Client.fetch_async,
        lambda: mock.patch.object(CLIENT, "fetch_async", wraps=CLIENT.fetch_async),
        200,
    ),
    "generator": (
        call_generator,
        Client.stream,
        lambda: mock.patch.object(CLIENT, "stream", wraps=CLIENT.stream),
        200,
    ),
}


def nanoseconds(run: FunctionType) -> float:
    """Time one call, in a fresh copy of `run`: CPython 3.11 stops specialising calls whose target changes."""
    fresh = FunctionType(run.__code__.replace(), run.__globals__)
    fresh()
    started = time.perf_counter()
    fresh()
    return (time.perf_counter() - started) / CALLS * 1e9


def added(run: FunctionType, patch: Patch, rounds: int) -> float:
    """Best patched minus best plain time in nanoseconds per call; measured in turn, as machines are noisy."""
    plain, patched = [], []
    for _ in range(rounds):
        plain.append(nanoseconds(run))
        with patch():
            patched.append(nanoseconds(run))
    return min(patched) - min(plain)


def microseconds(action: Callable[[], object], times: int) -> float:
    """Best of five rounds of the time that one `action` takes."""
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(times):
            action()
        rounds.append((time.perf_counter() - started) / times * 1e6)
    return min(rounds)


def switch(tap: FaultTap) -> None:
    LEDGER.attach(fetch, None, tap)  # type: ignore[arg-type]
    LEDGER.detach(fetch, tap)  # type: ignore[arg-type]


def switch_uncached(tap: FaultTap) -> None:
    trampoline._template.cache_clear()
    switch(tap)


def switch_mock() -> None:
    with mock.patch(f"{__name__}.fetch", wraps=fetch):
        pass


def main() -> None:
    print(f"{'armed, not firing':20} {'ours ns':>9} {'goal':>6} {'mock ns':>9} {'ratio':>7}")
    for name, (run, function, mocked, goal) in CASES.items():
        ours = added(run, functools.partial(armed, function), ROUNDS)
        peer = added(run, mocked, 3)
        print(f"{name:20} {ours:9.0f} {goal:6} {peer:9.0f} {peer / ours:6.0f}x")
    scope = Scope().enter()
    run = CASES["function"][0]
    asking = functools.partial(armed, fetch, when=lambda game, market: True)
    print(f"{'function, when':20} {added(run, asking, ROUNDS):9.0f}")
    print(f"{'function, scope':20} {added(run, functools.partial(armed, fetch, scope=scope), ROUNDS):9.0f}")
    tap = FaultTap(Delay(1), NEVER, "bench", Evidence(), Release(), SystemClock())
    peer = microseconds(switch_mock, 200)
    print(f"\n{'on and off':20} {'ours µs':>9} {'goal':>6} {'mock µs':>9} {'ratio':>7}")
    for name, action, goal, times in (("cached", switch, 5, 5000), ("not cached", switch_uncached, 100, 300)):
        ours = microseconds(functools.partial(action, tap), times)
        print(f"{name:20} {ours:9.1f} {goal:6} {peer:9.1f} {peer / ours:6.1f}x")


if __name__ == "__main__":
    main()
