"""One supervisor process as the test process sees it: from its start to its end.

A thread of its own starts the process, reads its answers, and reaps it: KeyboardInterrupt strikes the main
thread only, so none of this is ever done by halves. Nothing here takes a lock that an interrupt could leave
held, and a request needs no new descriptor.
"""

import _thread
import itertools
import os
import signal
import socket
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from subprocess import Popen, TimeoutExpired
from types import MappingProxyType
from weakref import WeakMethod

from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.supervisor.launch import Launcher
from pytest_resilience.chaos.supervisor.messages import (
    Answer,
    Lines,
    Request,
    Trouble,
    number_of,
    read_answer,
    to_line,
)
from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import ScenarioError, requirement

CLOSE_SECONDS = 2.0
"""After this time a supervisor that was told to end is killed."""

LONGEST_LINE = 16_384
"""So much is sent whole or not at all."""

FOREIGN = "A fault outside the test process belongs to the process that started it. This is a fork of it."
KEPT_TROUBLES = 20
RECEIVED_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Death:
    """A supervisor ended without being told to: why, and the specs, by id, of the effects that it held."""

    reason: str
    lost: Mapping[str, object]


class _Waiting:
    """A request that waits for its answer."""

    def __init__(self) -> None:
        self.done = Release()
        self.answer: Answer | None = None


class Session:
    """A supervisor process, its thread, and the requests under way.

    `may_hold` has the specs, by id, of what was started and is not known to be undone.
    """

    def __init__(self, launcher: Launcher, on_death: Callable[[Death], None] | None) -> None:
        self._launcher = launcher
        self._on_death = on_death
        self._owner = os.getpid()
        self._claim = _thread.allocate_lock()
        self._near: socket.SocketType | None = None
        self._far: socket.SocketType | None = None
        self._process: Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._ready, self._gone = Release(), Release()
        self._ended = False
        self._reason = ""
        self.closing = False
        self.may_hold: dict[str, object] = {}
        self.troubles: deque[str] = deque(maxlen=KEPT_TROUBLES)

    @property
    def is_foreign(self) -> bool:
        """Whether this process is a fork of the one that the supervisor belongs to."""
        return os.getpid() != self._owner

    @property
    def ended(self) -> bool:
        """Whether the process is gone, or about to go."""
        return self._ended

    @property
    def pid(self) -> int | None:
        """The process's id; None before it is started."""
        return self._process.pid if self._process is not None else None

    def ask(self, request: Request, timeout: float) -> Answer:
        """Return the answer to a request; raise ScenarioError if none came within `timeout` seconds."""
        if self.is_foreign:
            raise ScenarioError(FOREIGN)
        deadline = SystemClock.now() + timeout
        self._open(timeout)
        waiting, number = _Waiting(), next(self._numbers)
        try:
            self._waiting[number] = waiting
            if not self._ended:  # else nobody would set `done`
                self._send(to_line(number, request))
                waiting.done.wait(max(0.0, deadline - SystemClock.now()))
        finally:
            self._waiting.pop(number, None)
        if waiting.answer is None:
            raise ScenarioError(self._why_no_answer(request, timeout))
        return waiting.answer

    def close(self) -> None:
        """End the process, which undoes all, within two seconds; kill it if it does not. Again: nothing."""
        self.closing = True
        if self.is_foreign or not self._claim.locked():
            return
        self._tell_to_end()
        if not self._gone.wait(CLOSE_SECONDS):
            self._kill()
            self._gone.wait(CLOSE_SECONDS)

    def _open(self, timeout: float) -> None:
        """Start the process unless that was done, and wait until it is there."""
        if not self._ready.is_set():
            _thread.start_new_thread(self._live, ())
            self._ready.wait(timeout)

    def _send(self, line: bytes) -> None:
        """Send a line whole; if it cannot be, the process ended or hangs, which the caller will notice.

        With the class's own method, because socket.socket.send may have a fault.
        """
        if len(line) > LONGEST_LINE:
            raise ScenarioError(
                requirement("What describes a fault", f"{LONGEST_LINE:,} bytes at most", len(line))
            )
        if self._near is not None:
            with suppress(OSError):
                sent = socket.SocketType.send(self._near, line, socket.MSG_DONTWAIT)
                if sent < len(line):
                    self._tell_to_end()

    def _tell_to_end(self) -> None:
        """Hang up, and send SIGTERM, which breaks into an effect that blocks the process."""
        if self._near is not None and self._process is not None:
            with suppress(OSError):  # it ended meanwhile
                socket.SocketType.shutdown(self._near, socket.SHUT_WR)
                os.kill(self._process.pid, signal.SIGTERM)

    def _kill(self) -> None:
        """Kill the process and its children; a restarted service has a session of its own."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _why_no_answer(self, request: Request, timeout: float) -> str:
        if not self._ended:
            return f"The supervisor (pid {self.pid}) did not answer within {timeout:g} s: {request}"
        self._gone.wait(CLOSE_SECONDS)
        return self._reason

    # from here on: what the thread does

    def _live(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            if not self.closing:
                self._launch()
                self._ready.set()
                self._read()
        except ScenarioError as refused:
            self.troubles.append(str(refused))
        except Exception:
            self.troubles.append(traceback.format_exc())
        finally:
            self._bury()

    def _launch(self) -> None:
        close_sockets = WeakMethod(self._close_sockets)
        # a copy of the socket in a fork of the test process would keep the supervisor alive
        os.register_at_fork(after_in_child=lambda: (method := close_sockets()) and method())
        try:
            self._near, self._far = socket.socketpair()
            self._process = self._launcher.launch(self._far.fileno())
        except OSError as reason:
            raise ScenarioError(f"The supervisor of faults cannot be started: {reason}.") from reason
        socket.SocketType.close(self._far)
        if self.closing:  # meanwhile, by who could not hang up yet
            self._tell_to_end()

    def _read(self) -> None:
        assert self._near is not None
        lines = Lines()
        with suppress(ConnectionResetError):  # it died before it read all requests
            while data := socket.SocketType.recv(self._near, RECEIVED_AT_ONCE):
                for line in lines.add(data):
                    self._dispatch(number_of(line), read_answer(line))

    def _dispatch(self, number: int, answer: Answer) -> None:
        if isinstance(answer, Trouble):
            self.troubles.append(answer.text)
        elif (waiting := self._waiting.pop(number, None)) is not None:
            waiting.answer = answer
            waiting.done.set()

    def _bury(self) -> None:
        """Reap the process, tell who waits, and who wants to know of a death."""
        self._ended = True
        self._reason = self._obituary(self._reap())
        self._close_sockets()
        self._gone.set()
        self._ready.set()
        for waiting in tuple(self._waiting.values()):
            waiting.done.set()
        if not self.closing:
            self._tell_death()

    def _reap(self) -> int:
        """Return the process's exit code; it has ended, unless its answers cannot be read."""
        if self._process is None:
            return 0
        self._tell_to_end()
        with suppress(TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        self._kill()  # children that it left behind
        return self._process.wait()

    def _obituary(self, code: int) -> str:
        if self.closing:
            return "The supervisor of faults is closed."
        if self._process is None:
            return self.troubles[-1]
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        lost = ", ".join(self.may_hold) or "nothing"
        last = f" Its last words: {self.troubles[-1]}" if self.troubles else ""
        return f"The supervisor of faults (pid {self.pid}) {how} and lost: {lost}. Inject again.{last}"

    def _tell_death(self) -> None:
        if self._on_death is not None:
            try:
                self._on_death(Death(self._reason, MappingProxyType(dict(self.may_hold))))
            except Exception as broken:
                self.troubles.append(f"on_death: {type(broken).__name__}: {broken}")

    def _close_sockets(self) -> None:
        for each in (self._near, self._far):
            if each is not None:
                socket.SocketType.close(each)
