"""Measure what a state change of a breaker costs the call that causes it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from pytest_resilience.breakers.adapter import Adapter
from pytest_resilience.breakers.bench import ways_of
from pytest_resilience.breakers.dependency import Dependency
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.limits import MARGIN
from pytest_resilience.breakers.records import Transition
from pytest_resilience.clock import Clock

# Enough for a 99th percentile, within a bounded number of calls.
MOST_ROUNDS = 100
MOST_CALLS = 20_000
MOST_SECONDS = 10.0
"""A breaker whose calls hang is not measured for longer, in seconds."""

Steps: TypeAlias = Coroutine[Any, Any, None]


def measure_transitions(
    name: str, breaker: Adapter, time: Hands, clock: Clock, way: Way | None = None
) -> tuple[Transition, ...]:
    """Take a breaker that passed its scenarios through its states, and time each changing call by `clock`.

    It is called in `way`, or in the first that it can be called in.
    """
    way = way or ways_of(breaker)[0]
    traits = breaker.traits
    calls = traits.threshold + traits.failures_to_reopen + traits.successes_to_close
    lap = _Lap(name, breaker, time, clock, way)
    rounds = max(1, min(MOST_ROUNDS, MOST_CALLS // calls))

    async def laps() -> None:
        for _ in range(rounds):
            await lap.run()

    (_on_this_thread if way == "sync" else _on_a_loop)(laps)
    return tuple(lap.measured)


def _on_this_thread(steps: Callable[[], Steps]) -> None:
    """Run what never waits."""
    with suppress(StopIteration):
        steps().send(None)


def _on_a_loop(steps: Callable[[], Steps]) -> None:
    """Run on a loop of its own, in a thread of its own: the caller may have a running one."""
    thread = threading.Thread(target=lambda: asyncio.run(steps()), name="resilience-breaker", daemon=True)
    thread.start()
    thread.join(MOST_SECONDS)


class _Lap:
    def __init__(self, name: str, breaker: Adapter, time: Hands, clock: Clock, way: Way) -> None:
        self.measured: list[Transition] = []
        self._name = name
        self._breaker = breaker
        self._time = time
        self._clock = clock
        self._dependency = Dependency(breaker.traits.failure)
        self._call = self._call_sync if way == "sync" else self._call_async

    async def run(self) -> None:
        """Go once through closed, open, half-open, open, half-open, closed."""
        traits = self._breaker.traits
        waits = _open_times(self._breaker)
        await self._change("closed>open", traits.threshold, healthy=False)
        self._time.advance(next(waits))
        await self._change(_half_open("open", traits.failures_to_reopen), traits.failures_to_reopen)
        self._time.advance(next(waits))
        await self._change(
            _half_open("closed", traits.successes_to_close), traits.successes_to_close, healthy=True
        )

    async def _change(self, change: str, calls: int, *, healthy: bool = False) -> None:
        """Make the calls that change its state, and time the last."""
        self._dependency.healthy = healthy
        with self._time:
            for _ in range(calls - 1):
                await self._call()
            begun = self._clock.now()
            await self._call()
            took = self._clock.now() - begun
        self.measured.append(Transition(self._name, change, took))

    async def _call_sync(self) -> None:
        with suppress(Exception):
            self._breaker.call(self._dependency)

    async def _call_async(self) -> None:
        with suppress(Exception):
            await self._breaker.call_async(self._depend)

    async def _depend(self) -> str:
        return self._dependency()


def _half_open(end: str, probes: int) -> str:
    """Name a change that takes so many probes: the first one ends the open time."""
    return f"open>half_open>{end}" if probes == 1 else f"half_open>{end}"


def _open_times(breaker: Adapter) -> Iterator[float]:
    """Yield how long to wait for the first probe, and after each round of probes that failed."""
    traits, seconds = breaker.traits, breaker.traits.open_seconds
    while True:
        yield (1 + MARGIN) * seconds
        seconds = min(seconds * traits.backoff_factor, traits.backoff_cap or float("inf"))
