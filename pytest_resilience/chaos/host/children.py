"""Child processes that do the work of an effect, seen from the supervisor."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pytest_resilience.chaos.host import program
from pytest_resilience.errors import ScenarioError

START_SECONDS = 10.0
POLL_SECONDS = 0.005


class Child:
    """A process in a role of `program`; it ends when it is stopped, and when this process dies.

    It is in a session of its own: a signal for this process's group does not reach it.
    """

    def __init__(self, role: str, *arguments: str) -> None:
        self._role = role
        self._process = subprocess.Popen(  # noqa: S603 (our own program)
            command(role, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def ready(self) -> str:
        """Wait until it is ready and return what it tells; raise ScenarioError with why it is not."""
        try:
            said = await asyncio.wait_for(self._first_words(), START_SECONDS)
        except TimeoutError:
            raise ScenarioError(
                f"The process to {self._role} was not ready within {START_SECONDS:g} s. "
                "Give the machine a core to start it."
            ) from None
        if not said.startswith(program.READY):
            raise ScenarioError(f"The process to {self._role} failed: {said or 'it was ended'}.")
        return said.removeprefix(program.READY).strip()

    def tell(self, line: str) -> None:
        """Send it a line; one that has ended, or does not listen, misses it."""
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        with suppress(BrokenPipeError, BlockingIOError):
            self._process.stdin.write(f"{line}\n".encode())

    async def finish(self, seconds: float) -> None:
        """Let it end by itself, which it may take so long for."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(gone(self._process), seconds)

    def kill(self) -> None:
        """End it now, without waiting until it is gone; doing it again changes nothing."""
        self._process.kill()

    async def stop(self) -> None:
        """Kill it and wait until it is gone; doing it again changes nothing."""
        self.kill()
        await gone(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    async def _first_words(self) -> str:
        """Return its first line, or all that it said before it ended."""
        assert self._process.stdout is not None
        source, said = self._process.stdout.fileno(), b""
        while not (said.startswith(program.READY.encode()) and said.endswith(b"\n")):
            await _readable(source)
            some = os.read(source, 4096)
            said += some
            if not some:
                break
        return said.decode(errors="replace").strip()


def command(role: str, *arguments: str) -> list[str]:
    """Return the command line of a child of this process."""
    return [sys.executable, "-I", "-S", str(Path(program.__file__)), str(os.getpid()), role, *arguments]


async def gone(process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process has ended, and reap it."""
    while process.poll() is None:
        await asyncio.sleep(POLL_SECONDS)


async def stop_all(children: list[Child]) -> None:
    """Stop children side by side; what one of them raises comes after all had their turn."""
    results = await asyncio.gather(*(child.stop() for child in children), return_exceptions=True)
    for failure in results:
        if isinstance(failure, BaseException):
            raise failure


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
