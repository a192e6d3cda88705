"""A process that stands still, and who may never be touched."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from chaos_host_cases import (
    GONE_SECONDS,
    all_gone,
    family,
    holder,
    kill_holder,
    own_children,
    refusal,
    sleeper,
    soon,
    started,
)
from polling import until

from pytest_resilience.chaos.host.pause import PauseEffect
from pytest_resilience.chaos.host.specs import PauseSpec
from pytest_resilience.chaos.host.victims import Victim
from pytest_resilience.errors import ScenarioError


def stopped(pid: int) -> bool:
    """Tell whether the kernel says that a process is stopped."""
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def test_a_process_stands_still_and_goes_on() -> None:
    """It is stopped when start returns, checks say so, and it runs again after the stop."""

    async def main(pid: int) -> None:
        effect = PauseEffect(PauseSpec(pid))
        async with started(effect) as info:
            assert info == {"pid": pid}
            assert stopped(pid)
            assert await soon(lambda: effect.touched().fired >= 3)
        assert await soon(lambda: not stopped(pid), GONE_SECONDS)
        last = effect.touched()
        assert last.reached == last.fired
        assert last.detail == f"process {pid} stopped"
        await effect.stop()
        assert effect.touched() == last

    before = own_children()
    with sleeper() as process:
        asyncio.run(main(process.pid))
    assert own_children() == before


def test_the_workers_of_a_server_stand_still_with_it() -> None:
    """A preforking server would answer on, were only its first process stopped."""

    async def main(server: psutil.Process, workers: list[psutil.Process]) -> None:
        effect = PauseEffect(PauseSpec(server.pid))
        async with started(effect):
            assert all(stopped(one.pid) for one in (server, *workers))
            assert effect.touched().detail == f"process {server.pid} and 2 descendants stopped"
        assert await soon(lambda: not any(stopped(one.pid) for one in (server, *workers)), GONE_SECONDS)

    with family() as (server, workers):
        asyncio.run(main(server, workers))


def test_a_worker_that_somebody_else_has_stopped_stays_so() -> None:
    """Only what was stopped here goes on."""

    async def main(server: psutil.Process, idle: psutil.Process) -> None:
        async with started(PauseEffect(PauseSpec(server.pid))):
            assert stopped(server.pid)
        assert await soon(lambda: not stopped(server.pid), GONE_SECONDS)
        assert stopped(idle.pid)

    with family() as (server, workers):
        workers[0].suspend()
        assert until(lambda: stopped(workers[0].pid))
        asyncio.run(main(server, workers[0]))


def test_the_workers_go_on_too_when_the_holder_is_killed() -> None:
    """Each has somebody to wake it."""
    with (
        family() as (server, workers),
        holder("pause", "PauseEffect", f"PauseSpec({server.pid})") as (parent, _),
    ):
        assert all(stopped(one.pid) for one in (server, *workers))
        kill_holder(parent)
        assert until(lambda: not any(stopped(one.pid) for one in (server, *workers)), GONE_SECONDS)


def test_a_process_that_somebody_lets_go_on_is_no_evidence() -> None:
    """Checks go on and do not fire."""

    async def main(pid: int) -> None:
        effect = PauseEffect(PauseSpec(pid))
        async with started(effect):
            assert await soon(lambda: effect.touched().fired)
            os.kill(pid, signal.SIGCONT)
            assert await soon(lambda: not stopped(pid))
            settled = effect.touched()
            assert await soon(lambda: effect.touched().reached >= settled.reached + 3)
            assert effect.touched().fired == settled.fired

    with sleeper() as process:
        asyncio.run(main(process.pid))


def test_a_process_that_ends_while_it_is_stopped_is_no_error() -> None:
    """Killed by somebody else, it gives no evidence any more, and the stop has nothing to do."""

    async def main(process: "subprocess.Popen[bytes]") -> None:
        effect = PauseEffect(PauseSpec(process.pid))
        async with started(effect):
            process.kill()
            process.wait()
            settled = effect.touched()
            assert await soon(lambda: effect.touched().reached >= settled.reached + 3)
            assert effect.touched().fired == settled.fired

    with sleeper() as process:
        asyncio.run(main(process))


def test_it_goes_on_when_the_holder_is_killed() -> None:
    """Nobody is left who recorded the pause but the waking child: it sends SIGCONT and ends."""
    with sleeper() as process, holder("pause", "PauseEffect", f"PauseSpec({process.pid})") as (parent, _):
        assert stopped(process.pid)
        children = kill_holder(parent)
        assert until(lambda: not stopped(process.pid), GONE_SECONDS)
        assert until(lambda: all_gone(children), GONE_SECONDS)


def test_a_start_that_is_cancelled_leaves_it_running() -> None:
    """At whatever instant: after the stop the process goes on."""

    async def cancelled_after(pid: int, seconds: float) -> None:
        effect = PauseEffect(PauseSpec(pid))
        task = asyncio.ensure_future(effect.start())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await effect.stop()

    before = own_children()
    with sleeper() as process:
        for step in range(8):
            asyncio.run(cancelled_after(process.pid, step * 0.005))
            assert until(lambda: not stopped(process.pid), GONE_SECONDS)
    assert own_children() == before


def test_a_process_that_is_already_stopped_is_refused() -> None:
    """It would go on afterwards, and that was not so before."""
    with sleeper() as process:
        process.send_signal(signal.SIGSTOP)
        assert until(lambda: stopped(process.pid))
        said = refusal(PauseEffect(PauseSpec(process.pid)))
        name = f"{process.pid} (sleep)"
        expected = f"Process {name} is already stopped. Let it go on with SIGCONT first."
        assert said == f"ScenarioError: {expected}"
        assert stopped(process.pid)


@pytest.mark.parametrize("pid", [-5, 0, 1])
def test_numbers_that_mean_no_service_are_refused(pid: int) -> None:
    """0 and below mean groups of processes, and 1 is the whole machine."""
    expected = f"Process {pid} must not be touched: give the number of a service's own process."
    assert refusal(PauseEffect(PauseSpec(pid))) == f"ScenarioError: {expected}"


def test_own_process_and_its_ancestors_are_refused() -> None:
    """Who runs the tests cannot be stopped by them."""
    own, parent = os.getpid(), os.getppid()
    said = refusal(PauseEffect(PauseSpec(own)))
    assert said == (
        f"ScenarioError: Process {own} is the one that injects the faults: give that of a service."
    )
    if parent > 1:
        assert refusal(PauseEffect(PauseSpec(parent))) == (
            f"ScenarioError: Process {parent} runs the tests, or started what does: it cannot be stopped or "
            "killed. Give the process of a service."
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_process_of_another_user_is_refused() -> None:
    """Root could, but tests keep their hands off what is not theirs."""
    process = subprocess.Popen(["sleep", "600"], user=65534)
    try:
        assert refusal(PauseEffect(PauseSpec(process.pid))) == (
            f"ScenarioError: Process {process.pid} (sleep) belongs to user 65534, the tests run as user 0. "
            "Start it as the user of the tests."
        )
        assert not stopped(process.pid)
    finally:
        process.kill()
        process.wait()


def test_a_dead_process_is_refused() -> None:
    """Gone or a zombie: there is nothing to stop."""
    process = subprocess.Popen(["true"])
    expected = f"There is no process {process.pid} (any more). Give one that runs while the fault is active."
    assert until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert refusal(PauseEffect(PauseSpec(process.pid))) == f"ScenarioError: {expected}"
    process.wait()
    assert refusal(PauseEffect(PauseSpec(process.pid))) == f"ScenarioError: {expected}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root chooses the number of the next process")
def test_another_process_with_the_same_number_is_never_signalled() -> None:
    """The number was given to a new process meanwhile: it is not the one, and is left alone."""
    with sleeper() as first:
        victim = Victim(first.pid)
        time.sleep(0.02)  # the kernel tells start times in ticks of 10 ms
    with _sleeper_with_number(first.pid):
        assert victim.dead
        assert not victim.stopped
        with pytest.raises(ScenarioError, match=f"There is no process {first.pid}"):
            victim.send(signal.SIGSTOP)
        assert not stopped(first.pid)


@contextmanager
def _sleeper_with_number(pid: int) -> Iterator[None]:
    """Start a process that gets a certain number."""
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        with sleeper() as process:
            if process.pid == pid:
                yield
                return
    pytest.skip("the kernel gives no number twice here")
