"""Clients and servers for the tests of the network: real sockets, with a proxy between them in a thread."""

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hypothesis import strategies as st

from pytest_resilience.chaos.network.proxy import ProxyEffect
from pytest_resilience.chaos.network.specs import ProxySpec, ToxicsSpec, TrafficSpec
from pytest_resilience.chaos.network.toxics import AnyToxic, Bandwidth, Latency, Slicer, SlowClose
from pytest_resilience.chaos.network.toxics_effect import ToxicsEffect
from pytest_resilience.chaos.network.traffic import TrafficEffect
from pytest_resilience.chaos.supervisor.effects import Effect, Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.endpoints import Endpoint

PATIENCE = 10.0
"""Seconds after which something that should happen has failed to."""

T = TypeVar("T")


class Upstream:
    """A server whose side of each connection the test holds."""

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self.socket = self._listen(endpoint or Endpoint("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE)

    @property
    def endpoint(self) -> Endpoint:
        name = self.socket.getsockname()
        return Endpoint(path=name) if isinstance(name, str) else Endpoint(name[0], name[1])

    def accept(self) -> socket.socket:
        """Return the next connection."""
        sock, _ = self.socket.accept()
        sock.settimeout(PATIENCE)
        return sock

    @staticmethod
    def _listen(endpoint: Endpoint) -> socket.socket:
        if endpoint.path:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(endpoint.path)
        else:
            sock = socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET)
            sock.bind((endpoint.host, endpoint.port))
        sock.listen(1024)
        return sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()


@dataclass(frozen=True)
class Pair:
    """Both ends of a connection through the proxy."""

    client: socket.socket
    server: socket.socket

    def ask(self, question: bytes = b"question", answer: bytes = b"answer") -> float:
        """Exchange a question and its answer; return the seconds that this took."""
        started = time.monotonic()
        self.client.sendall(question)
        assert receive(self.server, len(question)) == question
        self.server.sendall(answer)
        assert receive(self.client, len(answer)) == answer
        return time.monotonic() - started

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Rig:
    """A proxy in front of an upstream, in an event loop of its own thread; a context manager."""

    def __init__(self, upstream: Endpoint | None = None) -> None:
        self._ours = None if upstream else Upstream()
        self._endpoint = upstream or self.upstream.endpoint
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._numbers = itertools.count()
        self._sockets: list[socket.socket] = []
        self.effects: dict[str, Effect] = {}
        self.info: Info = {}

    @property
    def upstream(self) -> Upstream:
        assert self._ours is not None
        return self._ours

    @property
    def proxy(self) -> ProxyEffect:
        proxy = self.effects["proxy"]
        assert isinstance(proxy, ProxyEffect)
        return proxy

    @property
    def port(self) -> int:
        return int(self.info["port"])

    @property
    def path(self) -> Path:
        return Path(str(self.info["path"]))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the proxy's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the proxy's loop."""

        async def work() -> T:
            return function()

        return self.run(work())

    def add(self, *toxics: AnyToxic, seed: str = "seed") -> str:
        """Put toxics on the proxy; return the id of the effect."""
        return self.start(ToxicsEffect(ToxicsSpec("proxy", toxics, seed), self.effects.__getitem__))

    def watch(self) -> str:
        return self.start(TrafficEffect(TrafficSpec("proxy"), self.effects.__getitem__))

    def start(self, effect: Effect) -> str:
        effect_id = f"effect {next(self._numbers)}"
        self.effects[effect_id] = effect
        self.run(effect.start())
        return effect_id

    def remove(self, effect_id: str) -> Touched:
        """Stop an effect, and return its last evidence."""
        self.run(self.effects[effect_id].stop())
        return self.touched(effect_id)

    def touched(self, effect_id: str) -> Touched:
        return self.call(self.effects[effect_id].touched)

    @contextmanager
    def toxic(self, *toxics: AnyToxic) -> Iterator[Callable[[], Touched]]:
        """Have toxics on the proxy for a while; gives what returns their evidence."""
        effect_id = self.add(*toxics)
        try:
            yield lambda: self.touched(effect_id)
        finally:
            self.remove(effect_id)

    def connect(self, timeout: float = PATIENCE) -> socket.socket:
        """Connect a client to the proxy's port on 127.0.0.1."""
        return self.connect_to(socket.AF_INET, ("127.0.0.1", self.port), timeout)

    def connect_to(self, family: int, address: object, timeout: float = PATIENCE) -> socket.socket:
        sock = socket.socket(family)
        self._sockets.append(sock)
        sock.settimeout(timeout)
        sock.connect(address)  # type: ignore[arg-type]
        return sock

    def pair(self) -> Pair:
        """Connect a client through the proxy, and return both ends."""
        client = self.connect()
        server = self.upstream.accept()
        self._sockets.append(server)
        return Pair(client, server)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.effects["proxy"] = ProxyEffect(ProxySpec(self._endpoint))
            self.info = self.run(self.proxy.start())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for effect in reversed(self.effects.values()):
                self.run(effect.stop())
        finally:
            for sock in self._sockets:
                sock.close()
            if self._ours is not None:
                self._ours.socket.close()
            self._end_loop()

    def _end_loop(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


def receive(sock: socket.socket, size: int) -> bytes:
    """Receive exactly `size` bytes, or less if the stream ends before."""
    parts = []
    while size and (part := sock.recv(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive_all(sock: socket.socket) -> bytes:
    """Receive until the stream ends."""
    return receive(sock, 1 << 62)


def eventually(holds: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Tell whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


seconds = st.floats(0.0, 0.01)
common = {
    "stream": st.sampled_from(["upstream", "downstream"]),
    "toxicity": st.sampled_from([0.0, 0.5, 1.0]),
    "per": st.sampled_from(["connection", "exchange"]),
}
sizes = st.integers(1, 2000)

PATIENT_TOXICS: st.SearchStrategy[AnyToxic] = st.one_of(
    st.builds(Latency, latency=seconds, jitter=seconds, **common),
    st.builds(Bandwidth, rate=st.floats(1e6, 1e8), **common),
    st.builds(SlowClose, delay=seconds, **common),
    sizes.flatmap(
        lambda size: st.builds(
            Slicer,
            average_size=st.just(size),
            size_variation=st.integers(0, size - 1),
            delay=st.sampled_from([0.0, 1e-4]),
            **common,
        )
    ),
)
"""Toxics that lose no byte and cut no connection."""
