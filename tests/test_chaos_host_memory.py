"""Taken memory: resident, below the ceiling, and let go in time."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from chaos_host_cases import (
    GONE_SECONDS,
    alive,
    all_gone,
    holder,
    kill_holder,
    own_children,
    refusal,
    soon,
    started,
)
from hypothesis import given
from hypothesis import strategies as st
from polling import until

from pytest_resilience.chaos.host.memory import (
    LEAST_STEP,
    STEP,
    MemoryEffect,
    next_size,
    resident_bytes,
)
from pytest_resilience.chaos.host.specs import MemorySpec
from pytest_resilience.host_memory import SystemMemory, tightest_limit
from pytest_resilience.units import MIB

HOG = """
import mmap, sys
sys.stdin.readline()
block = mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
block[::4096] = b"x" * len(range(0, len(block), 4096))
sys.stdin.read()
"""


def test_memory_is_taken_and_given_back() -> None:
    """It is resident in a child, evidence says how much, and it is gone with the child."""
    before = own_children()

    async def main() -> None:
        effect = MemoryEffect(MemorySpec(64 * MIB, 98, 99))
        async with started(effect) as info:
            child = psutil.Process(int(info["pid"]))
            assert await soon(lambda: child.memory_full_info().uss >= 64 * MIB)
            assert await soon(lambda: effect.touched().fired >= 3)
            assert "up to 64.0 MiB of 64.0 MiB held" in effect.touched().detail
        assert all_gone([child])
        last = effect.touched()
        assert last.reached >= last.fired >= 3
        await effect.stop()
        assert effect.touched() == last

    asyncio.run(main())
    assert own_children() == before


def test_the_child_is_the_first_that_the_kernel_kills() -> None:
    """Its score is the highest, so that it never costs another process its life."""

    async def main() -> str:
        async with started(MemoryEffect(MemorySpec(MIB, 98, 99))) as info:
            return Path(f"/proc/{info['pid']}/oom_score_adj").read_text().strip()

    assert asyncio.run(main()) == "1000"


def test_the_ceiling_holds() -> None:
    """More is asked than the ceiling leaves: it takes what is there, and gives back what is above."""
    limit, margin = tightest_limit(), 0.3
    ceiling = SystemMemory().percent() + margin + 100 * 300 * MIB / limit
    held: list[int] = []
    above = 0

    async def main() -> None:
        nonlocal above
        effect = MemoryEffect(MemorySpec(limit, ceiling, 99))
        async with started(effect) as info:
            pid = int(info["pid"])
            assert await soon(lambda: effect.touched().fired and resident_bytes(pid) > 100 * MIB)
            for _ in range(40):
                held.append(resident_bytes(pid))
                above += SystemMemory().percent() > ceiling + margin and held[-1] > 50 * MIB
                await asyncio.sleep(0.02)

    asyncio.run(main())
    assert max(held) < limit / 4, "all of the machine was asked for"
    assert above < 10, "others may take memory too: then it gives back at the next look"


def test_memory_is_let_go_when_somebody_else_takes_it() -> None:
    """Another process fills the machine past the critical line: the child ends, and evidence with it."""
    limit = tightest_limit()
    critical = SystemMemory().percent() + 100 * 600 * MIB / limit
    hog = subprocess.Popen([sys.executable, "-c", HOG, str(900 * MIB)], stdin=subprocess.PIPE, bufsize=0)
    assert hog.stdin is not None
    go = hog.stdin

    async def main() -> None:
        effect = MemoryEffect(MemorySpec(64 * MIB, critical, critical))
        async with started(effect) as info:
            child = psutil.Process(int(info["pid"]))
            assert await soon(lambda: effect.touched().fired)
            go.write(b"now\n")
            assert await soon(lambda: not alive(child))
            fired = effect.touched().fired
            reached = effect.touched().reached
            assert await soon(lambda: effect.touched().reached > reached + 3)
            assert effect.touched().fired == fired
            assert "let go at" in effect.touched().detail

    try:
        asyncio.run(main())
    finally:
        hog.kill()
        hog.communicate()


def test_a_child_that_was_killed_is_no_evidence() -> None:
    """What is not resident is not counted; nothing is started again."""

    async def main() -> None:
        effect = MemoryEffect(MemorySpec(16 * MIB, 98, 99))
        async with started(effect) as info:
            assert await soon(lambda: effect.touched().fired)
            psutil.Process(int(info["pid"])).kill()
            reached = effect.touched().reached
            assert await soon(lambda: effect.touched().reached > reached)
            settled = effect.touched()
            assert await soon(lambda: effect.touched().reached >= settled.reached + 3)
            assert effect.touched().fired == settled.fired

    asyncio.run(main())


def test_memory_ends_with_a_holder_that_is_killed() -> None:
    """The child is gone, and its memory with it."""
    with holder("memory", "MemoryEffect", f"MemorySpec({32 * MIB}, 98, 99)") as (process, info):
        children = kill_holder(process)
        assert [child.pid for child in children] == [info["pid"]]
        assert until(lambda: all_gone(children), GONE_SECONDS)


def test_no_room_at_all_is_refused() -> None:
    """The message names use, ceiling and what to do."""
    said = refusal(MemoryEffect(MemorySpec(MIB, 0.01, 99)))
    assert said.startswith("ScenarioError: memory is ")
    assert said.endswith(
        " % full and the ceiling is 0.01 %: nothing can be taken. Raise the ceiling or free memory."
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (MemorySpec(0, 80, 90), "size must be above 0 bytes, not 0."),
        (MemorySpec(1, 0, 90), "ceiling must be above 0 and up to 100 percent, not 0."),
        (MemorySpec(1, 101, 90), "ceiling must be above 0 and up to 100 percent, not 101."),
        (MemorySpec(1, 80, 79), "critical must be from the ceiling, 80, to 100 percent, not 79."),
    ],
)
def test_wrong_numbers_are_refused(spec: MemorySpec, expected: str) -> None:
    """The message names the value and the constraint."""
    assert refusal(MemoryEffect(spec)) == f"ScenarioError: {expected}"


SIZES = st.integers(0, 64 * STEP)


@given(size=SIZES, told=SIZES, resident=SIZES, room=st.integers(-64 * STEP, 64 * STEP))
def test_the_next_size_never_passes_the_ceiling(size: int, told: int, resident: int, room: int) -> None:
    """Whatever the child holds: what may still come fits into the room, in steps, up to the size."""
    told = min(told, size)
    wanted = next_size(size, told, resident, room)
    assert 0 <= wanted <= size
    if wanted > told:
        assert wanted - resident <= room
        assert wanted - told <= STEP
    if room < 0 and resident >= told:
        assert wanted == max(0, told + room)


@given(size=st.integers(1, 64 * STEP), room=st.integers(0, 128 * STEP))
def test_a_child_that_follows_reaches_all_that_is_possible(size: int, room: int) -> None:
    """Step by step it ends within one least step of what size and ceiling allow."""
    told = 0
    for _ in range(100):
        told = next_size(size, told, told, room - told)
    assert told <= min(size, room)
    assert told > min(size, room) - LEAST_STEP
