"""Busy cores: what the children really use, and that nothing is left."""

import asyncio
import os
import signal
import time

import psutil
import pytest
from chaos_host_cases import (
    GONE_SECONDS,
    all_gone,
    holder,
    kill_holder,
    own_children,
    refusal,
    soon,
    started,
)
from polling import until

from pytest_resilience.chaos.host.cores import usable_cores
from pytest_resilience.chaos.host.cpu import CpuEffect, cpu_seconds
from pytest_resilience.chaos.host.specs import CpuSpec
from pytest_resilience.errors import ScenarioError


def burners(before: list[psutil.Process]) -> list[psutil.Process]:
    """Return the children that came since `before`."""
    return [child for child in own_children() if child not in before]


def test_a_core_is_busy_and_the_evidence_says_so() -> None:
    """The child uses processor time, checks fire, and it is gone at once after the stop."""
    before = own_children()

    async def main() -> None:
        effect = CpuEffect(CpuSpec(1, 1.0))
        async with started(effect) as info:
            assert info == {"cores": 1, "load": 1.0}
            (child,) = burners(before)
            assert await soon(lambda: effect.touched().fired >= 2)
            assert cpu_seconds(child.pid) > 0.05
        assert all_gone([child])
        last = effect.touched()
        assert last.reached >= last.fired >= 2
        assert last.first_fired_at is not None
        assert last.last_fired_at is not None
        assert last.first_fired_at < last.last_fired_at <= time.monotonic()
        assert last.detail.endswith(" of 1 cores busy")
        await effect.stop()
        assert effect.touched() == last

    asyncio.run(main())
    assert own_children() == before


@pytest.mark.parametrize("load", [0.2, 0.6])
def test_the_load_is_a_share_of_the_time(load: float) -> None:
    """A child sleeps for the rest of each period; it never uses more than asked."""

    async def main() -> str:
        effect = CpuEffect(CpuSpec(1, load))
        async with started(effect):
            assert await soon(lambda: effect.touched().reached >= 8)
        return effect.touched().detail

    detail = asyncio.run(main())
    assert 0.3 * load < float(detail.split()[0]) < 1.15 * load
    assert detail.endswith(f"of 1 cores busy, {load:.2f} asked")


def test_a_child_that_does_not_run_is_no_evidence() -> None:
    """Checks go on and do not fire while somebody holds the child."""
    before = own_children()

    async def main() -> None:
        effect = CpuEffect(CpuSpec(1, 1.0))
        async with started(effect):
            (child,) = burners(before)
            child.suspend()
            reached = effect.touched().reached
            assert await soon(lambda: effect.touched().reached > reached + 1)
            settled = effect.touched()
            assert await soon(lambda: effect.touched().reached >= settled.reached + 3)
            assert effect.touched().fired == settled.fired
        assert all_gone([child]), "a stopped child is ended too"

    asyncio.run(main())


def test_a_child_that_was_killed_is_no_evidence() -> None:
    """Its end is neither counted as load, nor an error."""
    before = own_children()

    async def main() -> None:
        effect = CpuEffect(CpuSpec(1, 1.0))
        async with started(effect):
            os.kill(burners(before)[0].pid, signal.SIGKILL)
            reached = effect.touched().reached
            assert await soon(lambda: effect.touched().reached > reached + 1)
            settled = effect.touched()
            assert await soon(lambda: effect.touched().reached >= settled.reached + 3)
            assert effect.touched().fired == settled.fired

    asyncio.run(main())


def test_children_end_with_a_holder_that_is_killed() -> None:
    """SIGKILL gives nobody a chance to stop them; they end all the same."""
    with holder("cpu", "CpuEffect", f"CpuSpec({usable_cores()}, 0.5)") as (process, _):
        children = kill_holder(process)
        assert len(children) == usable_cores()
        assert until(lambda: all_gone(children), GONE_SECONDS)


def test_a_start_that_fails_half_way_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second child does not start: stop ends the first."""
    before = own_children()
    real = CpuEffect.__init__.__globals__["Child"]
    made: list[object] = []

    def second_fails(role: str, *arguments: str) -> object:
        if made:
            raise OSError("no more processes")
        made.append(None)
        return real(role, *arguments)

    monkeypatch.setitem(CpuEffect.__init__.__globals__, "Child", second_fails)
    if usable_cores() < 2:
        pytest.skip("needs two cores")
    assert refusal(CpuEffect(CpuSpec(2, 0.5))) == "OSError: no more processes"
    assert own_children() == before


def test_a_stop_while_it_starts_leaves_nothing() -> None:
    """Cancelled at any point of the start, the stop ends what was begun."""
    before = own_children()

    async def cancelled_after(seconds: float) -> None:
        effect = CpuEffect(CpuSpec(1, 0.1))
        task = asyncio.ensure_future(effect.start())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await effect.stop()

    for step in range(8):
        asyncio.run(cancelled_after(step * 0.008))
        assert own_children() == before


def test_wrong_numbers_are_refused() -> None:
    """The message names the value, the constraint and the machine's own number."""
    most = usable_cores()
    for cores in (0, -1, most + 1):
        expected = f"ScenarioError: cores must be from 1 to the {most} of this machine, not {cores}."
        assert refusal(CpuEffect(CpuSpec(cores, 0.5))) == expected
    for load in (0.0, -0.1, 1.01, float("nan")):
        expected = f"ScenarioError: load must be a share above 0 and up to 1, not {load}."
        assert refusal(CpuEffect(CpuSpec(1, load))) == expected


def test_what_never_started_has_no_evidence() -> None:
    """No check, no detail; and stopping it is harmless."""
    effect = CpuEffect(CpuSpec(0, 0.5))
    with pytest.raises(ScenarioError):
        asyncio.run(effect.start())
    asyncio.run(effect.stop())
    assert (effect.touched().reached, effect.touched().fired, effect.touched().detail) == (0, 0, "")


def test_processor_time_is_that_of_the_process() -> None:
    """It agrees with the process's own clock, and is 0 for one that does not exist."""
    first = time.process_time()
    seen = cpu_seconds(os.getpid())
    assert first <= seen <= time.process_time()
    with psutil.Popen(["true"]) as process:
        process.wait()
    assert cpu_seconds(process.pid) == 0
