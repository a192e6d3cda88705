"""Pilots fly the calls of a bench: sync ones in threads in lock-step, async ones on a private loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_resilience.breakers.flight import Abandoned, Flight, Interrupted
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.lanes import Lane

if TYPE_CHECKING:
    from pytest_resilience.breakers.bench import Bench


class SyncPilot:
    """Flies each call in a thread of its own."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench

    def launch(self, flight: Flight) -> None:
        self.do(flight, lambda: self._call(flight))

    def do(self, flight: Flight, act: Callable[[], object]) -> None:
        flight.lane = self._bench.free_lane()
        flight.lane.begin(lambda: self._run(flight, act))
        self.settle(flight)

    def finish(self, flight: Flight) -> None:
        flight.phase = "starting"  # until it parks or ends, it is in the breaker's hands
        flight.finishing = True
        flight.go.release()
        self.settle(flight)

    def settle(self, flight: Flight) -> None:
        if flight.lane is None:
            flight.phase = "ended"  # an interrupt came before it began
            return
        lane = flight.lane
        lane.settle(lambda: flight.in_air or (flight.phase == "ended" and not lane.busy))

    def close(self) -> None:
        pass

    def _run(self, flight: Flight, act: Callable[[], object]) -> None:
        try:
            with self._bench.hands:
                flight.result = act()
        except BaseException as raised:
            flight.raised = raised
        self._bench.tell(flight, "ended")

    def _call(self, flight: Flight) -> object:
        if flight.kind == "generator":
            return self._stream(flight)
        return self._bench.adapter.call(lambda: self._depend(flight))

    def _depend(self, flight: Flight) -> object:
        self._bench.enter(flight)
        self._hold(flight)
        error = self._bench.error(flight)
        if error is not None:
            raise error
        return "answer"

    def _hold(self, flight: Flight) -> None:
        if flight.outcome is None and not flight.abandoned:
            self._bench.tell(flight, "in_air")
            flight.go.acquire()

    def _stream(self, flight: Flight) -> object:
        """Take one item, hold, and take the rest or give up."""

        def items() -> Iterator[object]:
            self._bench.enter(flight)
            yield "item"
            error = self._bench.error(flight)
            if error is not None:
                raise error

        stream = self._bench.adapter.generate(items)
        next(stream)
        self._hold(flight)
        if flight.outcome == "closed":
            stream.close()  # type: ignore[attr-defined]
        else:
            for _ in stream:
                pass
        return "answer"


LOOP_ROUNDS = 30
"""A call that has not come on in so many rounds of the loop waits for something else than its turn."""


class _PrivateLoop(asyncio.SelectorEventLoop):
    """A loop on the time of the check."""

    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._hands = hands

    def time(self) -> float:
        return self._hands.peek()


class AsyncPilot:
    """Flies each call as a task of a private loop; a thread steps it, for a breaker may block the loop."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench
        self._loop = _PrivateLoop(bench.hands)
        self._loop.set_exception_handler(lambda loop, context: None)
        self._stepper: Lane | None = None
        self._tasks: list[asyncio.Task[object]] = []

    def launch(self, flight: Flight) -> None:
        def begin() -> None:
            flight.task = self._loop.create_task(self._fly(flight))
            self._tasks.append(flight.task)

        self._step(flight, begin)

    def finish(self, flight: Flight) -> None:
        flight.phase = "starting"
        flight.finishing = True
        self._step(flight, lambda: self._land(flight))

    def settle(self, flight: Flight) -> None:
        self._step(flight, lambda: None)

    def close(self) -> None:
        """End what is left; where the loop itself is blocked, its coroutines are ended from here."""
        if self._stepper is not None and self._stepper.busy:
            self._throw_out()
        self._step(None, self._cancel_all)
        for flight in self._bench.blocked:
            if flight.lane is None and flight.task is None:
                flight.phase = "ended"  # the loop was blocked before it could begin
        if self._stepper is None or not self._stepper.busy:
            self._loop.close()

    def _throw_out(self) -> None:
        assert self._stepper is not None
        for task in self._tasks:
            if not task.done():
                with suppress(BaseException):  # it may hold what the loop's thread waits for
                    task.get_coro().throw(Abandoned("the check is over"))
        self._stepper.settle(lambda: self._stepper is None or not self._stepper.busy)

    def _cancel_all(self) -> None:
        for task in self._tasks:
            if not task.done():
                task.cancel()

    def _land(self, flight: Flight) -> None:
        assert flight.landing is not None
        if flight.outcome == "cancelled" and not flight.abandoned:
            assert flight.task is not None
            flight.task.cancel()
        elif not flight.landing.done():
            flight.landing.set_result(None)

    def _step(self, flight: Flight | None, first: Callable[[], object]) -> None:
        """Run the loop in its thread until the flight has come on or nothing moves; it may block there."""
        if self._stepper is None:
            self._stepper = self._bench.free_lane()
        stepper = self._stepper
        if stepper.busy:
            return  # the loop itself is blocked, and so is every call on it
        stepper.begin(lambda: self._run_rounds(flight, first))
        stepper.settle(lambda: not stepper.busy)

    def _run_rounds(self, flight: Flight | None, first: Callable[[], object]) -> None:
        with self._bench.hands:
            self._loop.call_soon(first)
            for _ in range(LOOP_ROUNDS):
                self._round()
                if flight is not None and flight.phase != "starting":
                    return

    def _round(self) -> None:
        self._loop.call_soon(self._loop.stop)
        with suppress(Interrupted):  # asyncio lets it through to whoever runs the loop; the task has it too
            self._loop.run_forever()

    async def _fly(self, flight: Flight) -> object:
        bench = self._bench
        try:
            if flight.kind == "call":
                flight.result = await bench.adapter.call_async(lambda: self._depend(flight))
            else:
                flight.result = await self._stream(flight)
        except BaseException as raised:
            flight.raised = raised
        bench.tell(flight, "ended")
        return None

    async def _depend(self, flight: Flight) -> object:
        self._bench.enter(flight)
        await self._hold(flight)
        error = self._bench.error(flight)
        if error is not None:
            raise error
        return "answer"

    async def _hold(self, flight: Flight) -> None:
        if flight.outcome is None and not flight.abandoned:
            flight.landing = self._loop.create_future()
            self._bench.tell(flight, "in_air")
            await flight.landing

    async def _stream(self, flight: Flight) -> object:
        async def items() -> AsyncIterator[object]:
            self._bench.enter(flight)
            yield "item"
            error = self._bench.error(flight)
            if error is not None:
                raise error

        stream = self._bench.adapter.generate_async(items)
        await anext(stream)
        await self._hold(flight)
        if flight.outcome == "closed":
            await stream.aclose()  # type: ignore[attr-defined]
        else:
            async for _ in stream:
                pass
        return "answer"
