"""A system of services with a real breaker on every edge between them."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pytest_resilience.breakers.adapter import Adapter
from pytest_resilience.breakers.edge_watch import EdgeWatch, Outcome
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.limits import MOST_CALLS
from pytest_resilience.breakers.modes import Health
from pytest_resilience.breakers.topology import Edge, Needs, closing_edges

T = TypeVar("T")


@dataclass
class Round:
    """What became of the requests of one moment; beyond `most_calls` they are cut short."""

    most_calls: int
    failed: set[str] = field(default_factory=set)
    attempted: set[Edge] = field(default_factory=set)
    entered: Counter[Edge] = field(default_factory=Counter)
    calls: int = 0

    @property
    def overrun(self) -> bool:
        """Tell whether the calls were cut short, for they had become too many."""
        return self.calls > self.most_calls


class System:
    """Services that answer if they are up and everything that they need answers.

    Args:
        needs: the topology.
        breakers: a real breaker for each edge.
        health: which services are down.
        time: what all of it runs on.
        attempts: how often each caller tries.
        fan_out: whether a service asks for all that it needs at once, or in turn until something fails.
        way: whether the breakers are called as functions or as coroutine functions.
    """

    def __init__(
        self,
        needs: Needs,
        breakers: Mapping[Edge, Adapter],
        health: Health,
        time: Hands,
        *,
        attempts: int,
        fan_out: str,
        way: Way,
    ) -> None:
        self.breakers = breakers
        self.watches = {edge: EdgeWatch(breaker.traits) for edge, breaker in breakers.items()}
        self._needs = needs
        self._closing = closing_edges(needs)
        self._health = health
        self._time = time
        self._attempts = attempts
        self._in_turn = fan_out == "in_turn"
        self._async = way == "async"
        self._round = Round(MOST_CALLS)

    async def request(self, service: str, round_: Round) -> bool:
        """Let a user ask `service`, and again if it fails; tell whether it answered."""
        self._round = round_
        return await self._again(lambda: self._ask(service, self._time.now()))

    async def drive(self, edge: Edge, round_: Round) -> Outcome:
        """Let the service of `edge` make one call over it."""
        self._round = round_
        return await self._attempt(edge, lambda: self._callee(edge, self._time.now()))

    async def call(self, edge: Edge, *, answers: bool) -> Outcome:
        """Call through the breaker of `edge` something that answers or fails at once."""
        return await self._attempt(edge, lambda: _value(answers))

    async def _again(self, attempt: Callable[[], Awaitable[bool]]) -> bool:
        for _ in range(self._attempts):
            if await attempt():
                return True
            if self._round.overrun:
                break
        return False

    async def _ask(self, service: str, began: float) -> bool:
        answered = await self._answers(service, began) and await self._work(service)
        if not answered:
            self._round.failed.add(service)
        return answered

    async def _answers(self, service: str, began: float) -> bool:
        if self._async:
            await asyncio.sleep(0)  # as a call over a network lets others have their turn
        return self._health.answers(service, began)

    async def _work(self, service: str) -> bool:
        links = [(service, need) for need in self._needs[service]]
        began = self._time.now()
        if self._in_turn:
            return await self._work_in_turn(links)
        if self._async:
            return all(await asyncio.gather(*(self._reach(link, began) for link in links)))
        return all([await self._reach(link, began) for link in links])

    async def _work_in_turn(self, links: list[Edge]) -> bool:
        for link in links:
            if not await self._reach(link, self._time.now()):
                return False
        return True

    async def _reach(self, edge: Edge, began: float) -> bool:
        async def attempt() -> bool:
            return await self._attempt(edge, lambda: self._callee(edge, began)) == "answered"

        return await self._again(attempt)

    async def _callee(self, edge: Edge, began: float) -> bool:
        if edge in self._closing:
            return await self._answers(edge[1], began)
        return await self._ask(edge[1], began)

    async def _attempt(self, edge: Edge, answers: Callable[[], Awaitable[bool]]) -> Outcome:
        """Call through the breaker of `edge`; judge it by whether the callee was entered."""
        round_, watch, breaker = self._round, self.watches[edge], self.breakers[edge]
        round_.attempted.add(edge)
        round_.calls += 1
        if round_.overrun:
            return "failed"
        outcome: Outcome = "rejected"

        async def callee() -> None:
            nonlocal outcome
            outcome = "failed"
            watch.enter(self._time.now())
            round_.entered[edge] += 1
            if not await answers():
                raise breaker.traits.failure(f"{edge[1]} is down")
            outcome = "answered"

        if not await self._through(breaker, callee) and outcome == "answered":
            outcome = "failed"
        watch.end(outcome, self._time.now())
        return outcome

    async def _through(self, breaker: Adapter, callee: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        try:
            if self._async:
                await breaker.call_async(callee)
            else:
                breaker.call(lambda: finished(callee()))
        except Exception:  # whatever it is: only entries count
            return False
        return True


async def _value(value: bool) -> bool:
    return value


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a sync call waited for an event loop")


def run(script: Coroutine[Any, Any, T], way: Way, time: Hands) -> T:
    """Run the story of a system on its time: here, or for async breakers on a loop in a thread of its own."""
    if way == "sync":
        with time:
            return finished(script)
    results: list[T] = []
    errors: list[BaseException] = []

    def in_thread() -> None:
        try:
            with time:
                results.append(asyncio.run(script))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=in_thread, name="resilience-cascade", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
