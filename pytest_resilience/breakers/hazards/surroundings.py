"""Clocks that are stepped, settings that are falsy, and what rejections cost."""

import asyncio
import gc
import sys
from contextlib import closing, suppress

from pytest_resilience.breakers.drive import Drive, Mismatch
from pytest_resilience.breakers.flight import NotPossibleError
from pytest_resilience.breakers.hazards.hazard import Hazard, need
from pytest_resilience.collector import collection_paused

HOUR = 3600.0
ZONES = (-2.0, 2.0)
SOON = 0.001

REJECTIONS = 300
WARM_UP = 50
KEPT_BLOCKS = 0.5
"""Blocks of memory per rejection from which on something is kept; the interpreter's own noise is far less."""


def _step(drive: Drive) -> float:
    """Return an hour, or more for a breaker that stays open for longer."""
    if not drive.bench.hands.virtual:
        raise NotPossibleError("the clock of the machine is not stepped")
    return max(HOUR, 2 * drive.traits.open_seconds)


def _forward(drive: Drive) -> None:
    step = _step(drive)
    drive.trip()
    drive.bench.hands.step_wall(step)
    drive.note("the wall clock is set forward by an hour or more")
    drive.healthy(1, enter=False)


def _back(drive: Drive) -> None:
    step = _step(drive)
    drive.trip()
    drive.bench.hands.step_wall(-step)
    drive.note("the wall clock is set back by an hour or more")
    drive.outlast_open()
    drive.healthy(1, enter=True)


def _zones(drive: Drive) -> None:
    _step(drive)
    for zone in ZONES:
        drive.trip()
        drive.bench.hands.set_zone(zone)
        drive.note(f"the local time zone is UTC{zone:+g} h")
        drive.healthy(1, enter=False)
        drive.recover()


def _memory(drive: Drive) -> None:
    if not drive.bench.hands.virtual:
        raise NotPossibleError("so many rejections may outlast a short open time")
    drive.trip()
    bench = drive.bench
    flight = bench.by_hand(lambda: _kept(drive))
    if flight.raised is not None:
        raise Mismatch(f"expected rejections, but got {flight.raised!r}")
    kept = flight.result
    assert isinstance(kept, float)
    drive.note(f"healthy rejected x{REJECTIONS + WARM_UP}")
    if kept >= KEPT_BLOCKS:
        raise Mismatch(f"expected a rejection to keep no memory, but each keeps {kept:.1f} blocks")


def _kept(drive: Drive) -> float:
    """Return how many blocks of memory a rejection keeps; cycles are collected only if there is a doubt."""
    _reject(drive, WARM_UP)
    with collection_paused():  # it would free what others have left, and hide what is kept
        before = sys.getallocatedblocks()
        _reject(drive, REJECTIONS)
        if (kept := (sys.getallocatedblocks() - before) / REJECTIONS) < KEPT_BLOCKS:
            return kept
        gc.collect()
        before = sys.getallocatedblocks()
        _reject(drive, REJECTIONS)
        gc.collect()
        return (sys.getallocatedblocks() - before) / REJECTIONS


def _reject(drive: Drive, calls: int) -> None:
    bench, entered = drive.bench, 0

    def answer() -> None:
        nonlocal entered
        entered += 1

    async def answer_async() -> None:
        answer()

    async def reject() -> None:
        for _ in range(calls):
            with suppress(Exception):
                await bench.adapter.call_async(answer_async)

    if bench.way == "async":
        with closing(asyncio.new_event_loop()) as loop:
            loop.run_until_complete(reject())
    else:
        for _ in range(calls):
            with suppress(Exception):
                bench.adapter.call(answer)
    if entered:
        raise Mismatch(f"expected {calls} calls to be rejected, but {entered} entered")


def _no_open_time(drive: Drive) -> None:
    need(drive, "zero_open_seconds", "make a breaker with an open time of 0")
    flight = drive.bench.by_hand(lambda: _calls_until_entered(drive))
    if isinstance(flight.raised, ValueError):
        drive.note(f"an open time of 0 is refused: {flight.raised}")
        return
    if flight.raised is not None:
        raise flight.raised


def _calls_until_entered(drive: Drive) -> None:
    bench = drive.bench
    adapter, entered = bench.adapter.zero_open_seconds(), 0

    def dependency(healthy: bool) -> None:
        nonlocal entered
        entered += 1
        if not healthy:
            raise adapter.traits.failure("the dependency is down")

    def call(healthy: bool) -> None:
        async def dependency_async() -> None:
            dependency(healthy)

        async def call_async() -> None:
            await adapter.call_async(dependency_async)

        with suppress(Exception):
            if bench.way == "sync":
                adapter.call(lambda: dependency(healthy))
            else:
                with closing(asyncio.new_event_loop()) as loop:
                    loop.run_until_complete(call_async())

    for _ in range(adapter.traits.threshold):
        call(healthy=False)
    bench.hands.advance(SOON)
    before = entered
    call(healthy=True)
    drive.note(f"open time 0, failing x{adapter.traits.threshold}, {SOON * 1000:g}ms later, healthy")
    if entered == before:
        raise Mismatch(
            "expected a breaker with an open time of 0 to let the next call in, but it was rejected"
        )


SURROUNDINGS = (
    Hazard(
        "clock_set_forward",
        "strict",
        "Setting the wall clock forward does not cut the open time short.",
        _forward,
    ),
    Hazard(
        "clock_set_back",
        "strict",
        "Setting the wall clock back does not lengthen the open time.",
        _back,
    ),
    Hazard(
        "time_zone_changed",
        "wrong",
        "A change of the local time zone, such as summer time, is no passing of time.",
        _zones,
    ),
    Hazard(
        "falsy_open_time",
        "wrong",
        "An open time of 0 is refused or means 0; it is not taken for one that was left out.",
        _no_open_time,
    ),
    Hazard(
        "memory_kept_by_rejections",
        "wrong",
        "A rejection keeps no memory: an open breaker may reject for days.",
        _memory,
    ),
)
