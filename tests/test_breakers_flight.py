"""Flights: calls that are held inside their dependency and finished later, sync and async."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pybreaker import CircuitBreaker

from pytest_resilience.breakers.bench import Bench
from pytest_resilience.breakers.flight import Flight, NotPossibleError, Outcome, Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.breakers.subject import subject_of

WAYS: tuple[Way, ...] = ("sync", "async")


class Counting:
    """A breaker that lets everything in; a subclass may hold a lock during the call."""

    lock: Any = None

    def call(self, function: Callable[[], object]) -> object:
        if self.lock is None:
            return function()
        with self.lock:
            return function()

    async def call_async(self, function: Callable[[], Awaitable[object]]) -> object:
        if self.lock is None:
            return await function()
        if isinstance(self.lock, asyncio.Lock):
            async with self.lock:
                return await function()
        with self.lock:
            return await function()


def counting(make_lock: Callable[[], Any] = lambda: None) -> BreakerAdapter:
    def make(_clock: object) -> Counting:
        breaker = Counting()
        breaker.lock = make_lock()
        return breaker

    return BreakerAdapter(
        make,
        threshold=3,
        open_seconds=10.0,
        call=Counting.call,
        call_async=Counting.call_async,
        generate=lambda breaker, stream: stream(),
        slow_seconds=2.0,
        slow_rate=0.5,
    )


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@contextmanager
def bench_of(source: object, way: Way) -> Iterator[Bench]:
    hands = Hands()
    with subject_of("mine", source).borrowed(hands) as lend, Bench(lend(), hands, way) as bench:
        yield bench


@pytest.fixture
def bench(way: Way) -> Iterator[Bench]:
    with bench_of(counting(), way) as ready:
        yield ready


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No thread outlives its bench."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_call_is_held_until_it_is_finished(bench: Bench) -> None:
    """A flight is in the dependency when start returns, and has ended when finish returns."""
    flight = bench.start()
    assert (flight.in_air, flight.entered, bench.entries) == (True, 1, 1)
    bench.finish(flight, "ok")
    assert (flight.phase, flight.result, flight.raised) == ("ended", "answer", None)


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [("failure", "ConnectionError"), ("base_exception", "Interrupted"), ("slow", "NoneType")],
)
def test_a_call_ends_as_told(bench: Bench, outcome: Outcome, seen: str) -> None:
    """What the dependency raised is what the caller saw, held or not."""
    held = bench.finish(bench.start(), outcome)
    whole = bench.call(outcome)
    assert type(held.raised).__name__ == type(whole.raised).__name__ == seen


def test_a_slow_call_takes_its_time(bench: Bench) -> None:
    """Virtual time passes while it is in the air, on both hands."""
    before, wall = bench.hands.now(), bench.hands.wall()
    bench.call("slow")
    assert bench.hands.now() - before == pytest.approx(2.02)
    assert bench.hands.wall() - wall == pytest.approx(2.02)


def test_flights_overlap_and_end_in_any_order(bench: Bench) -> None:
    """Calls that are made and ended while others are held do not disturb those."""
    first, second = bench.start(), bench.start()
    bench.call("failure")
    bench.finish(second, "ok")
    assert (first.in_air, second.phase, bench.entries) == (True, "ended", 3)
    bench.finish(first, "failure")
    assert isinstance(first.raised, ConnectionError)


def test_only_a_task_can_be_cancelled() -> None:
    """An async call sees CancelledError; a sync one is refused with the reason."""
    with bench_of(counting(), "async") as bench:
        assert isinstance(bench.call("cancelled").raised, asyncio.CancelledError)
    refused = pytest.raises(NotPossibleError, match="a sync call cannot be cancelled")
    with bench_of(counting(), "sync") as bench, refused:
        bench.call("cancelled")


def test_a_generator_is_held_after_its_first_item() -> None:
    """It can be closed early, or used up."""
    with bench_of(counting(), "sync") as bench:
        flight = bench.start("generator")
        assert (flight.in_air, flight.entered) == (True, 1)
        bench.finish(flight, "closed")
        assert (flight.phase, flight.raised) == ("ended", None)
        assert isinstance(bench.call("failure", "generator").raised, ConnectionError)


@pytest.mark.parametrize(
    ("way", "make_lock"),
    [("sync", threading.Lock), ("sync", threading.RLock), ("async", asyncio.Lock), ("async", threading.Lock)],
)
def test_a_call_that_waits_for_another_is_blocked_and_not_hung(
    way: Way, make_lock: Callable[[], Any]
) -> None:
    """A lock that is held during a call keeps the next one out until the first ends."""
    with bench_of(counting(make_lock), way) as bench:
        first = bench.start()
        second = bench.start()
        assert (first.in_air, second.blocked, second.entered) == (True, True, 0)
        if make_lock is not threading.Lock or way == "sync":
            bench.finish(first, "ok")
            assert (first.phase, second.in_air) == ("ended", True)


@pytest.mark.parametrize("make_lock", [lambda: None, asyncio.Lock, threading.Lock, threading.RLock])
def test_nothing_is_left_behind_after_an_exception(way: Way, make_lock: Callable[[], Any]) -> None:
    """However a check ends, its calls and threads end with it, blocked ones too."""
    if way == "sync" and make_lock is asyncio.Lock:
        pytest.skip("no lock for threads")
    flights: list[Flight] = []

    def fail_in_the_middle(bench: Bench) -> None:
        flights.extend([bench.start(), bench.start(), bench.start()])
        raise KeyError("check")

    with pytest.raises(KeyError), bench_of(counting(make_lock), way) as bench:
        fail_in_the_middle(bench)
    assert {flight.phase for flight in flights} == {"ended"}
    assert bench.stuck == 0


def test_a_real_interrupt_is_not_swallowed(way: Way) -> None:
    """Only the interruptions that a check raises itself end in a flight."""

    armed = False

    def interrupted(_: object, function: Callable[[], Any]) -> Any:
        if not armed:
            return function()
        raise KeyboardInterrupt

    source = BreakerAdapter(
        lambda _clock: Counting(), threshold=1, open_seconds=1, call=interrupted, call_async=interrupted
    )
    with bench_of(source, way) as bench:
        armed = True
        with pytest.raises(KeyboardInterrupt):
            bench.call()


def test_a_rejected_call_never_enters() -> None:
    """An open breaker of pybreaker rejects: the flight has ended, with no entry."""
    with bench_of(CircuitBreaker(fail_max=2, reset_timeout=30), "sync") as bench:
        assert [bench.call("failure").entered for _ in range(3)] == [1, 1, 0]
        bench.hands.advance(29)
        assert bench.call().entered == 0
        bench.hands.advance(2)
        assert bench.call().entered == 1


def test_pybreaker_holds_its_lock_during_a_call() -> None:
    """A second call of pybreaker is blocked, not rejected; when the first has tripped it, it is rejected."""
    with bench_of(CircuitBreaker(fail_max=1), "sync") as bench:
        first, second = bench.start(), bench.start()
        assert second.blocked
        bench.finish(first, "failure")
        assert (second.phase, second.entered) == ("ended", 0)


def test_forcing_is_done_on_the_time_of_the_check() -> None:
    """A breaker that is forced open by hand lets a probe in when its time on the hands is over."""
    with bench_of(CircuitBreaker(reset_timeout=30), "sync") as bench:
        bench.hands.advance(1_000_000)
        assert bench.force("open").raised is None
        assert bench.call().entered == 0
        bench.hands.advance(30.1)
        assert bench.call().entered == 1


def test_errors_that_are_ignored_are_those_that_the_breaker_ignores() -> None:
    """A breaker without an ignored error is taught one; where that cannot be done, the reason is told."""
    with bench_of(CircuitBreaker(fail_max=1), "sync") as bench:
        assert type(bench.call("ignored").raised).__name__ == "IgnoredError"
        assert bench.call().entered == 1
    with bench_of(CircuitBreaker(exclude=[KeyError]), "sync") as bench:
        assert isinstance(bench.call("ignored").raised, KeyError)
    with bench_of(counting(), "sync") as bench, pytest.raises(NotPossibleError, match="ignores no error"):
        bench.call("ignored")
