"""A worker's end of the link to its leader, over a channel that carries tuples of builtins."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from pytest_resilience.errors import ResilienceError
from pytest_resilience.memory.records import Sample
from pytest_resilience.soak import messages
from pytest_resilience.soak.link import Handler, Wire, decode, encode
from pytest_resilience.soak.messages import Message
from pytest_resilience.store.records import Failure, Tally

BULK = (Tally, Failure, Sample, messages.Fired)
"""These wait for the next message of another kind (a heartbeat at the latest), so that few are sent."""

CLOSE_SECONDS = 5.0

Batch: TypeAlias = tuple[Wire, ...]
Item: TypeAlias = tuple[int, Wire]


class Channel(Protocol):
    """What is needed of an execnet channel."""

    def send(self, item: object) -> None:
        """Send builtins; raise OSError if the connection is gone."""

    def setcallback(self, callback: Callable[[object], object], endmarker: object = None) -> None:
        """Have what comes, on the connection's thread, and `endmarker` when it ends."""


class WorkerEnd:
    """Sends in batches on a thread of its own, and carries out commands on another, one at a time.

    `lost` is called once, on the connection's thread, when the leader is gone.
    """

    def __init__(self, channel: Channel, lost: Callable[[], None]) -> None:
        self._channel, self._lost = channel, lost
        self._handler: Handler = lambda message: None
        self._waiting: list[Wire] = []
        self._lock = threading.Lock()
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._commands: SimpleQueue[Item] = SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="resilience-sender", daemon=True)
        self._sender.start()
        threading.Thread(target=self._obey_all, name="resilience-commands", daemon=True).start()

    def attach(self, handler: Handler) -> None:
        self._handler = handler

    def listen(self) -> None:
        """Begin to have what the leader sends."""
        self._channel.setcallback(self._take, endmarker=None)

    def send(self, message: Message) -> None:
        """Hand a message over; never waits for the connection."""
        with self._lock:
            self._waiting.append(encode(message))
            if isinstance(message, BULK):
                return
            batch, self._waiting = tuple(self._waiting), []
            self._batches.put(batch)

    def close(self) -> None:
        """Send what is left, and no more."""
        self._batches.put(None)
        self._sender.join(CLOSE_SECONDS)

    def _take(self, item: object) -> None:
        if item is None:
            self._lost()
        else:
            self._commands.put(item)  # type: ignore[arg-type]

    def _send_all(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._channel.send(batch)
            except OSError:  # `lost` is told by the connection itself
                return

    def _obey_all(self) -> None:
        while True:
            number, wire = self._commands.get()
            try:
                self._handler(decode(wire))
            except ResilienceError as wrong:
                self.send(messages.Trouble(str(wrong)))
            except Exception as defect:
                self.send(messages.Trouble(f"{type(defect).__name__}: {defect}"))
            self.send(messages.Done(number))
