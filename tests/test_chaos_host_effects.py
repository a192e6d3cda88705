"""What all effects of the host share: their table, their children and their checks."""

import asyncio
import inspect

import pytest
from chaos_host_cases import own_children

from pytest_resilience.chaos.host import specs
from pytest_resilience.chaos.host.checks import Checks
from pytest_resilience.chaos.host.children import Child
from pytest_resilience.chaos.host.kinds import HOST_KINDS
from pytest_resilience.chaos.host.specs import CpuSpec, DiskSpec, FullSpec
from pytest_resilience.chaos.supervisor.holding import Holding
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import ManualClock
from pytest_resilience.errors import ScenarioError
from pytest_resilience.units import MIB


def test_every_spec_has_its_effect() -> None:
    """The table is complete."""
    assert set(HOST_KINDS) == {each for _, each in inspect.getmembers(specs, inspect.isclass)}


def test_a_holding_starts_and_stops_them() -> None:
    """All that was started by id is gone at the end, whoever depends on whom."""
    before = own_children()

    async def main() -> None:
        holding = Holding(HOST_KINDS)
        await holding.start("cpu", CpuSpec(1, 0.1))
        await holding.start("disk", DiskSpec(MIB))
        await holding.start("full", FullSpec("disk"))
        with pytest.raises(ScenarioError, match="No effect 'dusk' is active"):
            await holding.start("other", FullSpec("dusk"))
        assert holding.held() == ("cpu", "disk", "full")
        assert (await holding.stop("disk")).fired
        assert await holding.stop_all(1.5) == {}
        assert holding.touched("full").fired

    asyncio.run(main())
    assert own_children() == before


def test_checks_count_what_holds() -> None:
    """None is not counted, False only as reached; times are those of the hits."""
    clock, answers = ManualClock(10.0), iter([None, False, True, False, True, False])
    checks = Checks(lambda: next(answers), clock=clock)
    for _ in range(6):
        checks.check()
        clock.advance(1.0)
    assert checks.touched("x") == Touched(5, 2, 12.0, 14.0, "x")


def test_a_check_that_breaks_is_told_at_the_stop() -> None:
    """Evidence that cannot be had is an error, and only once."""

    async def main() -> None:
        answers = iter([True])
        checks = Checks(lambda: next(answers), every=0.001, clock=ManualClock())
        checks.start()
        await asyncio.sleep(0.05)
        with pytest.raises(RuntimeError):
            await checks.stop()
        await checks.stop()

    asyncio.run(main())


def test_a_child_that_fails_says_why() -> None:
    """Its last words are in the error, and it is gone."""

    async def main() -> None:
        child = Child("run", "/no/such/program")
        try:
            with pytest.raises(
                ScenarioError,
                match=r"The process to run failed: No such file or directory: /no/such/program\.",
            ):
                await child.ready()
        finally:
            await child.stop()
        assert not child.alive
        await child.stop()

    asyncio.run(main())


def test_a_child_that_is_killed_while_it_starts_is_an_error() -> None:
    """It never became ready, and nobody waits for it."""

    async def main() -> None:
        child = Child("hold")
        child.kill()
        with pytest.raises(ScenarioError, match=r"The process to hold failed: it was ended\."):
            await child.ready()
        child.tell("12")
        await child.stop()

    asyncio.run(main())
