"""Effects for the tests of the supervisor: real ones, small ones, and some that misbehave."""

import asyncio
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_resilience.chaos.supervisor.effects import Find, Info
from pytest_resilience.chaos.supervisor.holding import Kinds
from pytest_resilience.chaos.supervisor.launch import Launcher
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError

LAUNCHER = Launcher(kinds="supervisor_subjects", folders=[str(Path(__file__).parent)])
"""Starts supervisors that know these effects."""

Way = Literal["", "refuse", "break", "hang", "block", "fail once", "deaf"]


@dataclass(frozen=True, slots=True)
class SleeperSpec:
    """Run a process that sleeps for ten minutes."""


@dataclass(frozen=True, slots=True)
class StopSpec:
    """Stop a process with SIGSTOP."""

    pid: int


@dataclass(frozen=True, slots=True)
class ListenSpec:
    """Listen on a port of 127.0.0.1."""


@dataclass(frozen=True, slots=True)
class NoteSpec:
    """Append `<name> starts` and `<name> stops` to a file, and misbehave at start or stop."""

    file: str
    name: str = "note"
    start: Way = ""
    stop: Way = ""


@dataclass(frozen=True, slots=True)
class CopySpec:
    """Tell which class the effect of another id has."""

    of: str


class SleeperEffect:
    def __init__(self, spec: SleeperSpec) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Info:
        self._process = await asyncio.create_subprocess_exec("sleep", "600")
        return {"pid": self._process.pid}

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def touched(self) -> Touched:
        return Touched(1, 1, detail="one process")


class StopEffect:
    def __init__(self, spec: StopSpec) -> None:
        self._pid = spec.pid

    async def start(self) -> Info:
        os.kill(self._pid, signal.SIGSTOP)
        return {}

    async def stop(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def touched(self) -> Touched:
        return Touched()


class ListenEffect:
    def __init__(self, spec: ListenSpec) -> None:
        self._socket = socket.socket()

    async def start(self) -> Info:
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        return {"host": "127.0.0.1", "port": self._socket.getsockname()[1]}

    async def stop(self) -> None:
        self._socket.close()

    def touched(self) -> Touched:
        return Touched()


class NoteEffect:
    def __init__(self, spec: NoteSpec) -> None:
        self._spec = spec
        self._stops = 0

    async def start(self) -> Info:
        self._write("starts")
        await self._misbehave(self._spec.start)
        return {"name": self._spec.name, "ratio": 0.5, "pid": os.getpid(), "site": int("site" in sys.modules)}

    async def stop(self) -> None:
        self._stops += 1
        await self._misbehave(self._spec.stop)
        self._write("stops")

    def touched(self) -> Touched:
        return Touched(self._stops + 1, self._stops, 0.25, None, "noted")

    def _write(self, what: str) -> None:
        if self._spec.file:
            with Path(self._spec.file).open("a") as file:
                file.write(f"{self._spec.name} {what}\n")

    async def _misbehave(self, way: Way) -> None:
        match way:
            case "refuse":
                raise ScenarioError("port must be free, not 80. Name another one.")
            case "break":
                raise OSError(24, "Too many open files")
            case "hang":
                await asyncio.sleep(600)
            case "block":
                time.sleep(600)
            case "fail once" if self._stops == 1:
                raise ScenarioError("not yet")
            case "deaf":
                await _sleep_deaf()


class CopyEffect:
    def __init__(self, spec: CopySpec, find: Find) -> None:
        self._of = spec.of
        self._find = find

    async def start(self) -> Info:
        return {"kind": type(self._find(self._of)).__name__}

    async def stop(self) -> None:
        pass

    def touched(self) -> Touched:
        return Touched()


async def _sleep_deaf() -> None:
    """Sleep a while and do not hear of a cancellation."""
    end = time.monotonic() + 0.6
    while (left := end - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


KINDS: Kinds = {
    SleeperSpec: lambda spec, _: SleeperEffect(spec),
    StopSpec: lambda spec, _: StopEffect(spec),
    ListenSpec: lambda spec, _: ListenEffect(spec),
    NoteSpec: lambda spec, _: NoteEffect(spec),
    CopySpec: CopyEffect,
}
