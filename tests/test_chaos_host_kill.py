"""A process that dies, and comes back by a command."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from chaos_host_cases import (
    GONE_SECONDS,
    alive,
    all_gone,
    family,
    own_children,
    refusal,
    sleeper,
    soon,
    started,
)
from polling import until

from pytest_resilience.chaos.host.kill import KillEffect
from pytest_resilience.chaos.host.specs import KillSpec
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError

HOLDER = """
import asyncio, subprocess
from pytest_resilience.chaos.host.kill import KillEffect
from pytest_resilience.chaos.host.specs import KillSpec

async def main():
    effect = KillEffect(KillSpec(subprocess.Popen(["sleep", "600"]).pid, ("sleep", "600")))
    await effect.start()
    await effect.stop()
    print(effect.touched().detail.split()[-1], flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def killed(effect: KillEffect) -> Touched:
    """Kill and remove the fault again; return the evidence."""
    spec = effect._spec

    async def main() -> Touched:
        async with started(effect) as info:
            assert info == {"pid": spec.pid}
            assert psutil.Process(spec.pid).status() == psutil.STATUS_ZOMBIE
            assert await soon(lambda: effect.touched().fired >= 2)
        await effect.stop()
        return effect.touched()

    return asyncio.run(main())


def test_a_process_is_killed() -> None:
    """It is dead when start returns, and checks say so; nothing is started without a command."""
    before = own_children()
    with sleeper() as process:
        touched = killed(KillEffect(KillSpec(process.pid)))
        assert process.wait() == -signal.SIGKILL
    assert touched.reached == touched.fired
    assert touched.detail == f"process {process.pid} killed"
    assert own_children() == before


def test_a_server_in_the_foreground_comes_back() -> None:
    """The command stays: it is the server, in a session of its own, with what it prints out of the way."""
    with sleeper() as process:
        effect = KillEffect(KillSpec(process.pid, ("sleep", "601")))
        start, _, pid = killed(effect).detail.rpartition(" ")
    assert start == f"process {process.pid} killed, restarted as process"
    server = psutil.Process(int(pid))
    try:
        assert until(lambda: server.cmdline() == ["sleep", "601"])
        assert os.getsid(server.pid) == server.pid
        assert [Path(f"/proc/{pid}/fd/{number}").readlink() for number in (0, 1)] == [Path("/dev/null")] * 2
    finally:
        server.kill()
        assert effect._server is not None
        effect._server.wait()


def test_a_server_in_the_foreground_ends_with_its_holder() -> None:
    """Also when that is killed: nothing started by a fault outlives who started it."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    server = psutil.Process(int(holder.stdout.readline()))
    assert alive(server)
    holder.kill()
    holder.communicate()
    assert until(lambda: all_gone([server]), GONE_SECONDS)


def test_a_command_that_ends_well_has_started_a_server(tmp_path: Path) -> None:
    """A service manager's command does its work and ends; it runs once, although stop came twice."""
    mark = tmp_path / "restarts"
    with sleeper() as process:
        touched = killed(KillEffect(KillSpec(process.pid, ("sh", "-c", f"echo again >> '{mark}'"))))
    assert touched.detail.endswith("killed, restarted")
    assert mark.read_text() == "again\n"


def test_the_workers_of_a_server_die_with_it() -> None:
    """Orphans would answer on."""
    with family() as (server, workers):
        effect = KillEffect(KillSpec(server.pid))
        assert killed(effect).detail == f"process {server.pid} and 2 descendants killed"
        assert until(lambda: all_gone([server, *workers]), GONE_SECONDS)


def test_a_command_that_fails_is_an_error_with_its_last_words() -> None:
    """The user sees what ran, its exit code and what it said; asked again, nothing is left to undo."""
    with sleeper() as process:
        effect = KillEffect(KillSpec(process.pid, ("sh", "-c", "echo first >&2; echo no port >&2; exit 3")))
        with pytest.raises(ScenarioError) as raised:
            killed(effect)
        asyncio.run(effect.stop())
    failed = (
        "killed, restart failed: `sh -c 'echo first >&2; echo no port >&2; exit 3'` ended with 3: no port"
    )
    assert effect.touched().detail.endswith(failed)
    assert str(raised.value) == (
        f"Process {process.pid} was {failed}. "
        "The service stays dead: bring it back, and correct what restarts it."
    )


def test_a_command_that_does_not_exist_is_refused_before_the_kill() -> None:
    """A service that could not come back is not killed."""
    with sleeper() as process:
        said = refusal(KillEffect(KillSpec(process.pid, ("no-such-command", "--now"))))
        assert said == (
            "ScenarioError: restart must be a command that can be run, not 'no-such-command'. "
            "Give its full path, and each argument by itself."
        )
        assert alive(psutil.Process(process.pid))


@pytest.mark.parametrize("pid", [0, 1, os.getpid()], ids=["none", "first", "own"])
def test_nobody_kills_what_runs_the_tests(pid: int, tmp_path: Path) -> None:
    """The guards are those of a pause, and nothing is restarted that was not killed."""
    mark = tmp_path / "restarts"
    assert refusal(KillEffect(KillSpec(pid, ("touch", str(mark))))).startswith("ScenarioError: Process ")
    assert not mark.exists()
