"""Faults say what happens to a call, and taps carry it out on any clock and in any event loop."""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
import trio
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
    Spike,
)
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.taps import Evidence, FaultTap
from pytest_resilience.chaos.triggers import share
from pytest_resilience.chaos.waiting import pause
from pytest_resilience.clock import Clock, ManualClock, SystemClock
from pytest_resilience.errors import ScenarioError, ServiceError

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


def test_faults_are_data() -> None:
    """Each says what it does, and nothing else."""
    assert Delay(2).effect(0, 0) == Effect(wait=2)
    assert Hang(2, OSError).effect(0, 0) == Effect(wait=2, error=OSError)
    assert Hang().effect(0, 0) == Effect(wait=math.inf, error=TimeoutError)
    assert RaiseAfter([KeyError, OSError]).effect(3, 0) == Effect(late_error=OSError)
    assert Mutate(len).effect(0, 0) == Effect(change=len)
    assert ReturnFrom(list).effect(0, 0) == Effect(answer=list)
    answer = Return(42).effect(0, 0).answer
    assert answer is not None
    assert answer() == 42


@given(seconds=st.floats(0, 10), jitter=st.floats(0, 10), chance=CHANCES)
def test_jitter_goes_both_ways_and_never_below_zero(seconds: float, jitter: float, chance: float) -> None:
    """What a delay waits lies within its jitter."""
    wait = Delay(seconds, jitter).effect(0, chance).wait
    assert max(0.0, seconds - jitter) <= wait <= seconds + jitter


def test_jitter_is_drawn_by_the_seed() -> None:
    """The same seed waits the same; its calls differ, around the delay."""

    def waits(seed: str) -> list[float]:
        clock = ManualClock()
        tap = FaultTap(Delay(2, 1), share(1).schedule(""), seed, Evidence(), Release(), clock)
        instants = [clock.now()]
        for index in range(200):
            tap.enter(index)
            instants.append(clock.now())
        return [after - before for before, after in itertools.pairwise(instants)]

    assert waits("one") == waits("one") != waits("two")
    assert sum(waits("one")) / 200 == pytest.approx(2, abs=0.15)
    assert max(waits("one")) > 2.9
    assert min(waits("one")) < 1.1


async def coroutine() -> None:
    pass


NUMBER = "a finite number of seconds from 0"
WRONG: list[tuple[Callable[[], Fault], str]] = [
    (lambda: Delay(-1), f"Delay(seconds) must be {NUMBER}, not -1."),
    (lambda: Delay(1, jitter=math.nan), f"Delay(jitter) must be {NUMBER}, not nan."),
    (lambda: Hang(math.inf), f"Hang(seconds) must be {NUMBER}, not inf. For no end, leave it out."),
    (lambda: Hang(True), f"Hang(seconds) must be {NUMBER}, not True. For no end, leave it out."),
    (
        lambda: Hang(1, "late"),  # type: ignore[arg-type]
        "Hang(error) must be an exception type, an instance or a factory, not 'late'.",
    ),
    (
        lambda: Raise(KeyError),  # type: ignore[arg-type]
        "Raise(errors) must be a list of exceptions, not <class 'KeyError'>. Write Raise([ConnectionError]).",
    ),
    (
        lambda: RaiseAfter([]),
        "RaiseAfter(errors) must be a list of exceptions, not []. Write RaiseAfter([ConnectionError]).",
    ),
    (
        lambda: RaiseAfter(["down"]),  # type: ignore[list-item]
        "Each of RaiseAfter(errors) must be an exception type, an instance or a factory, not 'down'.",
    ),
    (
        lambda: Mutate("upper"),  # type: ignore[arg-type]
        "Mutate(change) must be a plain function, not 'upper'. Write for example lambda result: None.",
    ),
    (
        lambda: ReturnFrom(coroutine),
        f"ReturnFrom(factory) must be a plain function, not {coroutine!r}. Write for example lambda: [].",
    ),
]


@pytest.mark.parametrize(
    ("make", "message"), WRONG, ids=[message.partition(" at 0x")[0] for _, message in WRONG]
)
def test_a_wrong_fault_is_rejected_where_it_is_written(make: Callable[[], Fault], message: str) -> None:
    """Not at the first call that it hits."""
    with pytest.raises(ScenarioError) as wrong:
        make()
    assert str(wrong.value) == message


def test_an_error_type_that_cannot_be_built_is_rejected_where_it_is_written() -> None:
    """But a factory is not tried: how often it is called may be what the user counts."""
    with pytest.raises(ServiceError, match="UnicodeDecodeError"):
        Raise([UnicodeDecodeError])
    Raise([lambda: 1 / 0])  # type: ignore[list-item,return-value]


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


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
def test_a_hang_without_seconds_lasts_until_the_removal(clock: Clock) -> None:
    """No clock ends it; at the removal it raises, and does not make the call."""
    release = Release()
    timer = threading.Timer(0.05, release.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        make_tap(Hang(), clock, release).enter(0)
    assert time.monotonic() - started >= 0.04
    assert clock.now() < math.inf


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Delay(LONG), None), (Hang(LONG, TimeoutError), TimeoutError), (Hang(), TimeoutError)],
)
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


@pytest.mark.parametrize("fault", [Delay(LONG), Hang(LONG, OSError), Hang(None, OSError)])
def test_a_delayed_asyncio_call_can_be_cancelled(fault: Fault) -> None:
    """A timeout of the code under test cuts the wait short, before the fault's own error."""

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await make_tap(fault, SystemClock()).enter_async(0)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


@pytest.mark.parametrize("fault", [Delay(LONG), Hang(LONG, OSError), Hang(None, OSError)])
def test_a_delayed_trio_call_can_be_cancelled(fault: Fault) -> None:
    """A cancel scope of the code under test cuts the wait short, before the fault's own error."""

    async def main() -> bool:
        with trio.move_on_after(0.05) as scope:
            await make_tap(fault, SystemClock()).enter_async(0)
        return scope.cancelled_caught

    assert trio.run(main)


def test_a_coroutine_driven_by_hand_waits_on_the_clock() -> None:
    """Without any event loop the wait is the clock's."""
    clock = ManualClock()
    with pytest.raises(StopIteration):
        make_tap(Delay(4), clock).enter_async(0).send(None)
    assert clock.now() == 4
