"""The supervisor's process: reads requests from its socket, holds effects, and undoes all when it ends.

It ends when the test process closes the socket, which the kernel does for a process that is killed, or at
SIGTERM, SIGINT or SIGHUP.
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pytest_resilience.chaos.supervisor.holding import Holding, Kinds
from pytest_resilience.chaos.supervisor.messages import (
    Answer,
    Holds,
    Lines,
    ListHeld,
    Look,
    Refused,
    Request,
    Saw,
    Start,
    Started,
    Stop,
    Trouble,
    number_of,
    read_request,
    request_codec,
    to_line,
)
from pytest_resilience.chaos.supervisor.notebook import Notebook, notes_of
from pytest_resilience.chaos.supervisor.watchdog import Watchdog
from pytest_resilience.errors import ScenarioError

END_SECONDS = 1.2
"""All effects are undone within this time when the process ends; with one that blocks, within 2 s."""

MOST_DESCRIPTORS = 65_536
PR_SET_PDEATHSIG = 1
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(descriptor: int, parent: int, kinds: str, folder: str) -> None:
    """Serve the test process `parent` at the other end of a socket.

    `kinds` is the module with the KINDS, `folder` the one for notes, or empty.
    """
    control = socket.socket(fileno=descriptor)
    os.register_at_fork(after_in_child=control.close)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _allow_many_descriptors()
    _end_with_parent(parent)
    asyncio.run(_serve(control, import_module(kinds).KINDS, parent, folder))


def _allow_many_descriptors() -> None:
    """A proxy needs two descriptors for each connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MOST_DESCRIPTORS)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _end_with_parent(parent: int) -> None:
    """Ask for SIGTERM when the thread that started this process ends: the second line behind the socket."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("The test process ended meanwhile.")


async def _serve(control: socket.socket, kinds: Kinds, parent: int, folder: str) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    watchdog = Watchdog(loop)
    notebook = _notebook(parent, folder, lambda text: server.tell(text))
    holding = Holding(kinds, notebook)
    server = Server(holding, kinds, over)

    def end(_signal: int, _frame: FrameType | None) -> None:
        """Not a handler of the loop, because the loop may be blocked."""
        watchdog.start()
        loop.call_soon_threadsafe(over.set)

    for each in ENDING_SIGNALS:
        signal.signal(each, end)
    loop.set_exception_handler(lambda _, context: server.tell_broken(context))
    await loop.create_unix_connection(lambda: server, sock=control)
    if notebook is not None:
        notebook.open()
    await over.wait()
    watchdog.start()
    left = await holding.stop_all(END_SECONDS)
    for effect_id, reason in left.items():
        server.tell(f"{effect_id!r} was not undone at the end. {reason}")
    if notebook is not None:
        notebook.close()
    _leave(bool(left))


def _notebook(parent: int, folder: str, trouble: Callable[[str], None]) -> Notebook | None:
    notes = notes_of(parent, os.getpid()) if folder else None
    return None if notes is None else Notebook(Path(folder), notes, trouble)


def _leave(with_children: bool) -> NoReturn:
    """End at once: no task that hangs keeps the process. Children that an effect left behind go too."""
    if with_children:
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class Server(asyncio.Protocol):
    """Answers requests, each in a task of its own; tasks begin in the order of the requests."""

    def __init__(self, holding: Holding, kinds: Kinds, over: asyncio.Event) -> None:
        self._holding = holding
        self._codec = request_codec(kinds)
        self._over = over
        self._lines = Lines()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for line in self._lines.add(data):
            task = asyncio.create_task(self._respond(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def eof_received(self) -> bool:
        self._over.set()
        return True  # keeps the socket open: its end tells the test process that all is undone

    def connection_lost(self, reason: Exception | None) -> None:
        self._over.set()

    def tell(self, trouble: str) -> None:
        """Let the test process know what went wrong outside of a request."""
        self._send(0, Trouble(trouble))

    def tell_broken(self, context: "dict[str, object]") -> None:
        """Let it know what the event loop found."""
        broken = context.get("exception")
        lines = traceback.format_exception(broken) if isinstance(broken, BaseException) else []
        self.tell("".join([f"{context.get('message')}\n", *lines]))

    async def _respond(self, line: bytes) -> None:
        number = number_of(line)
        try:
            self._send(number, await self._do(read_request(line, self._codec)))
        except ScenarioError as refused:
            self._send(number, Refused(str(refused)))
        except Exception as broken:
            self.tell(traceback.format_exc())
            self._send(number, Refused(f"{type(broken).__name__}: {broken}"))

    async def _do(self, request: Request) -> Answer:
        match request:
            case Start(effect_id, spec):
                return Started(tuple((await self._holding.start(effect_id, spec)).items()))
            case Stop(effect_id):
                return Saw(await self._holding.stop(effect_id))
            case Look(effect_id):
                return Saw(self._holding.touched(effect_id))
            case ListHeld():
                return Holds(self._holding.held())

    def _send(self, number: int, answer: Answer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(to_line(number, answer))
