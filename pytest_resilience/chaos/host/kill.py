"""A process that dies, and the command that brings it back."""

import asyncio
import shlex
import shutil
import signal
import subprocess
import tempfile
from typing import IO

from pytest_resilience.chaos.host.checks import Checks
from pytest_resilience.chaos.host.children import POLL_SECONDS, command
from pytest_resilience.chaos.host.specs import AFTER_RESTART, KillSpec
from pytest_resilience.chaos.host.victims import Victim, family_of, named
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ScenarioError, requirement

DEATH_SECONDS = 0.4
RESTART_SECONDS = 0.3
"""A restart command that fails does so within this time; one that still runs then is the server itself."""


class KillEffect:
    """Kills a process and its descendants. A check fires when all are gone; a zombie is.

    When the fault is removed, the restart command is run, once; stopping raises ScenarioError if it fails. A
    command that stays is a server in the foreground: it belongs to this process, and the kernel ends it with
    this process.
    """

    def __init__(self, spec: KillSpec, clock: Clock | None = None) -> None:
        self._spec = spec
        self._clock = clock or SystemClock()
        self._killed: tuple[Victim, ...] = ()
        self._server: subprocess.Popen[bytes] | None = None
        self._checks = Checks(self._holds, clock=self._clock)
        self._back = ""

    async def start(self) -> Info:
        _require_command(self._spec.restart)
        victims = family_of(self._spec.pid)
        victims[0].send(signal.SIGKILL)
        self._killed = victims
        for victim in victims[1:]:
            victim.send_unless_dead(signal.SIGKILL)
        deadline = self._clock.now() + DEATH_SECONDS
        while not self._holds() and self._clock.now() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        self._checks.start()
        return {"pid": victims[0].pid}

    async def stop(self) -> None:
        try:
            await self._checks.stop()
        finally:
            if self._killed and self._spec.restart and self._server is None:
                await self._restart()

    def touched(self) -> Touched:
        return self._checks.touched(f"{named(self._killed)} killed{self._back}" if self._killed else "")

    def _holds(self) -> bool:
        return bool(self._killed) and all(victim.dead for victim in self._killed)

    async def _restart(self) -> None:
        with tempfile.TemporaryFile() as errors:
            self._server = _run(self._spec.restart, errors)
            deadline = self._clock.now() + RESTART_SECONDS
            while self._server.poll() is None and self._clock.now() < deadline:
                await asyncio.sleep(POLL_SECONDS)
            failure = _failure(self._spec.restart, self._server, errors)
        if failure:
            self._back = f", {failure}"
            raise ScenarioError(f"Process {self._spec.pid} was killed, {failure}. {AFTER_RESTART}")
        self._back = ", restarted"
        if self._server.returncode is None:
            self._back += f" as process {self._server.pid}"


def _run(restart: tuple[str, ...], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 (the user's own command)
        command("run", *restart),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )


def _failure(restart: tuple[str, ...], server: "subprocess.Popen[bytes]", errors: IO[bytes]) -> str:
    """Say how a restart failed; an empty text if it has not."""
    if not server.returncode:
        return ""
    errors.seek(0)
    last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    return f"restart failed: `{shlex.join(restart)}` ended with {server.returncode}: {last}"


def _require_command(restart: tuple[str, ...]) -> None:
    if restart and shutil.which(restart[0]) is None:
        fix = "Give its full path, and each argument by itself."
        raise ScenarioError(requirement("restart", "a command that can be run", restart[0], fix))
