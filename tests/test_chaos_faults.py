"""Faults say what happens to a call, and taps carry it out on any clock and in any event loop."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.chaos.faults import Delay, Effect, Fault, Hang, Raise, Spike
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.taps import Evidence, FaultTap
from pytest_resilience.chaos.triggers import share
from pytest_resilience.chaos.waiting import pause
from pytest_resilience.clock import Clock, ManualClock, SystemClock

DEADLINE = 5.0
LONG = 60.0
CHANCES = st.floats(min_value=0, max_value=1, exclude_max=True)


def make_tap(fault: Fault, clock: Clock, release: Release | None = None) -> FaultTap:
    return FaultTap(fault, share(1).schedule(""), "seed", Evidence(), release or Release(), clock)


@given(chance=CHANCES, normal=st.floats(min_value=0, max_value=10))
def test_a_spike_takes_two_to_ten_times_the_normal_latency(chance: float, normal: float) -> None:
    """What a spike adds lies between its factors, and is never less than its floor."""
    wait = Spike(2, 10, 0.01, normal).effect(0, chance).wait
    assert max(0.01, normal) <= wait <= max(0.01, 9 * normal)


def test_errors_take_turns() -> None:
    """A rotating set raises each error in its turn."""
    errors = (KeyError, OSError)
    fault = Raise(errors)
    assert [fault.effect(rank, 0.5).error for rank in range(4)] == [*errors, *errors]


def test_delay_and_hang_are_data() -> None:
    """A delay lets the call through, a hang raises at its end."""
    assert Delay(2).effect(0, 0) == Effect(wait=2)
    assert Hang(2, TimeoutError).effect(0, 0) == Effect(wait=2, error=TimeoutError)


def test_a_delay_waits_on_the_clock_and_lets_the_call_through() -> None:
    """Waiting is done by the clock that was passed in."""
    clock = ManualClock()
    assert make_tap(Delay(3), clock).enter(0) is None
    assert clock.now() == 3


def test_a_hang_waits_and_then_raises_the_real_error() -> None:
    """The error comes at the end of the hang, with the errno that a network gives."""
    clock = ManualClock()
    with pytest.raises(TimeoutError) as raised:
        make_tap(Hang(2, TimeoutError), clock).enter(0)
    assert clock.now() == 2
    assert raised.value.errno is not None


def test_an_unknown_normal_latency_is_measured_at_the_call() -> None:
    """The call's own time is stretched by the spike's factor."""
    clock = ManualClock()
    tap = make_tap(Spike(3, 3, 0.01), clock)
    token = tap.enter(0)
    clock.advance(1.0)
    tap.leave(token)
    assert clock.now() == pytest.approx(3.0)


def test_a_measured_spike_keeps_its_floor() -> None:
    """A call of no time at all still gets the floor."""
    clock = ManualClock()
    tap = make_tap(Spike(2, 2, 0.01), clock)
    tap.leave(tap.enter(0))
    assert clock.now() == pytest.approx(0.01)


def test_a_fault_that_was_removed_does_not_fire() -> None:
    """A call that was picked just before the removal passes and is not counted."""
    release, evidence = Release(), Evidence()
    tap = FaultTap(Raise([KeyError]), share(1).schedule(""), "seed", evidence, release, ManualClock())
    release.set()
    assert tap.enter(0) is None
    assert evidence.fired.value == 0


@pytest.mark.parametrize(("fault", "error"), [(Delay(LONG), None), (Hang(LONG, TimeoutError), TimeoutError)])
def test_removal_ends_the_waits_of_threads(fault: Fault, error: type[Exception] | None) -> None:
    """A delayed call goes on at once and a hanging one raises at once."""
    release = Release()
    tap, raised = make_tap(fault, SystemClock(), release), []

    def call() -> None:
        try:
            tap.enter(0)
        except TimeoutError as failure:
            raised.append(type(failure))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)
    assert raised == ([] if error is None else [error] * 3)


def test_a_release_can_be_set_twice_and_waits_no_more() -> None:
    """Setting it again changes nothing; later waits return at once."""
    release = Release()
    assert not release.wait(0.001)
    release.set()
    release.set()
    assert release.is_set()
    assert release.wait(LONG)


def run_asyncio(main: Callable[[], Awaitable[object]]) -> None:
    async def body() -> None:
        await main()

    asyncio.run(body())


@pytest.mark.parametrize("run", [run_asyncio, trio.run], ids=["asyncio", "trio"])
def test_a_coroutine_waits_in_its_own_loop(run: Callable[[Callable[[], Awaitable[object]]], None]) -> None:
    """The delay takes its time, and the removal from another thread ends a long one."""
    release = Release()
    timer = threading.Timer(0.1, release.set)

    async def main() -> None:
        started = time.monotonic()
        await pause(Release(), 0.05, SystemClock())
        assert time.monotonic() - started >= 0.05
        timer.start()
        with pytest.raises(TimeoutError):
            await make_tap(Hang(LONG, TimeoutError), SystemClock(), release).enter_async(0)
        assert time.monotonic() - started < DEADLINE

    run(main)
    timer.join()


def test_other_tasks_run_while_an_asyncio_call_is_delayed() -> None:
    """A delay blocks its task, not the loop."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        await make_tap(Delay(0.1), SystemClock()).enter_async(0)
        ticking.cancel()

    asyncio.run(main())
    assert ticks > 10


def test_a_delayed_asyncio_call_can_be_cancelled() -> None:
    """A timeout of the code under test cuts the delay short."""

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await make_tap(Delay(LONG), SystemClock()).enter_async(0)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_a_delayed_trio_call_can_be_cancelled() -> None:
    """A cancel scope of the code under test cuts the delay short."""

    async def main() -> bool:
        with trio.move_on_after(0.05) as scope:
            await make_tap(Delay(LONG), SystemClock()).enter_async(0)
        return scope.cancelled_caught

    assert trio.run(main)


def test_a_coroutine_driven_by_hand_waits_on_the_clock() -> None:
    """Without any event loop the wait is the clock's."""
    clock = ManualClock()
    with pytest.raises(StopIteration):
        make_tap(Delay(4), clock).enter_async(0).send(None)
    assert clock.now() == 4
