"""Helpers for tests of effects on the host: real processes, and holders of effects that can be killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import psutil
from polling import until

from pytest_resilience.chaos.supervisor.effects import Effect, Info

DEADLINE = 10.0
GONE_SECONDS = 1.0

HOLDER = """
import asyncio, json, sys
from pytest_resilience.chaos.host.{module} import {effect}
from pytest_resilience.chaos.host.specs import {spec_class}

async def main():
    effect = {effect}({spec})
    print(json.dumps(dict(await effect.start())), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def soon(condition: Callable[[], object], seconds: float = DEADLINE) -> bool:
    """Do the same in an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


@asynccontextmanager
async def started(effect: Effect) -> AsyncIterator[Info]:
    """Start an effect and stop it whatever happens, as the supervisor does."""
    try:
        yield await effect.start()
    finally:
        await effect.stop()


def refusal(effect: Effect) -> str:
    """Return what an effect says when it refuses to start; stopping it then must be harmless."""

    async def main() -> str:
        try:
            async with started(effect):
                return ""
        except Exception as failure:
            return f"{type(failure).__name__}: {failure}"

    return asyncio.run(main())


@contextmanager
def sleeper(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process that does nothing for long."""
    process = subprocess.Popen(command or ("sleep", "600"))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def family() -> Iterator[tuple[psutil.Process, list[psutil.Process]]]:
    """Run a process with two children, as a preforking server; yield it and them."""
    with sleeper("sh", "-c", "sleep 600 & sleep 600 & wait") as process:
        server = psutil.Process(process.pid)
        assert until(lambda: len(server.children()) == 2)
        workers = server.children()
        try:
            yield server, workers
        finally:
            for worker in workers:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()


@contextmanager
def holder(module: str, effect: str, spec: str) -> Iterator[tuple[psutil.Process, dict[str, str | int]]]:
    """Start an effect in a process of its own, which may then be killed; yield it and the effect's info."""
    program = HOLDER.format(module=module, effect=effect, spec=spec, spec_class=spec.split("(")[0])
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield psutil.Process(process.pid), json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def kill_holder(process: psutil.Process) -> list[psutil.Process]:
    """Kill a holder with SIGKILL; return the children that it had."""
    children = process.children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    return children


def all_gone(processes: list[psutil.Process]) -> bool:
    """Tell whether all these processes have ended."""
    return not any(alive(process) for process in processes)


def alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def own_children() -> list[psutil.Process]:
    """Return the children of this process."""
    return psutil.Process().children(recursive=True)
