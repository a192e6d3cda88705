"""What the proxy costs, and how exact its toxics are; Toxiproxy beside it, in the same run.

Server, clients and proxies are processes of their own; ours is held by the supervisor of this one, which is
idle, or busy where that is said. Each figure is the median of the rounds; direct, ours and the peer take
turns. CPU seconds are the proxy's own: they say what it costs also where other programs disturb the clock.

Run: TOXIPROXY=/path/to/toxiproxy-server python tests/benchmarks/bench_proxy.py [--rounds N]

Without Toxiproxy (in TOXIPROXY or in PATH) figures that were measured elsewhere stand in for it.
"""

import argparse
import json
import multiprocessing
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import psutil

from pytest_resilience.chaos.network.specs import ProxySpec, ToxicsSpec
from pytest_resilience.chaos.network.toxics import AnyToxic, Bandwidth, Latency
from pytest_resilience.chaos.supervisor.client import Supervisor
from pytest_resilience.endpoints import Endpoint

TOTAL = 1 << 30
PIECE = b"x" * (1 << 18)
MANY = 200
HELD = 1000
QUESTION = b"?" * 64
HEADER = struct.Struct("cQ")
"""What the server does: E echoes, S swallows so many bytes and says so, G gives so many."""

LATENCY = 0.05
RATES = (100_000.0, 1e6, 50e6)
BANDWIDTH_SECONDS = 5.0

ELSEWHERE = {"GB/s, 1 connection": 0.71 / 3.8, "added p50 µs, 1 connection": 60 / 56}
"""Toxiproxy's throughput as a share of direct loopback's, its added round trip as a multiple of direct's."""

Row = dict[str, float]


def serve(listening: socket.socket) -> None:
    """Do what the header of each connection says, until killed."""
    poll = select.epoll()
    poll.register(listening, select.EPOLLIN)
    clients: dict[int, tuple[socket.socket, list[bytes | int]]] = {}
    buffer = bytearray(1 << 18)
    while True:
        for number, _ in poll.poll():
            if number == listening.fileno():
                client = listening.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client, []
                poll.register(client, select.EPOLLIN)
            elif not _serve_one(*clients[number], buffer):
                poll.unregister(number)
                clients.pop(number)[0].close()


def _serve_one(client: socket.socket, job: list[bytes | int], buffer: bytearray) -> bool:
    """Take one step with a client; tell whether it is still there."""
    try:
        if not job:
            job += HEADER.unpack(client.recv(HEADER.size, socket.MSG_WAITALL))
            if job[0] == b"G":
                threading.Thread(target=_send, args=(client.dup(), int(job[1])), daemon=True).start()
            return True
        size = client.recv_into(buffer)
        if job[0] == b"E":
            client.sendall(memoryview(buffer)[:size])
        elif job[0] == b"S":
            job[1] = int(job[1]) - size
            if not job[1]:
                client.sendall(b"k")
    except (OSError, struct.error):
        return False
    return size > 0


def _send(client: socket.socket, size: int) -> None:
    with client:
        try:
            for _ in range(size // len(PIECE)):
                client.sendall(PIECE)
        except OSError:
            return


def connect(port: int, what: bytes, size: int = 0) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(HEADER.pack(what, size))
    return sock


def throughput(port: int) -> Row:
    with connect(port, b"S", TOTAL) as sock:
        started = time.perf_counter()
        for _ in range(TOTAL // len(PIECE)):
            sock.sendall(PIECE)
        sock.recv(1)
        return {"GB/s, 1 connection": TOTAL / (time.perf_counter() - started) / 1e9}


def throughput_of_many(port: int) -> Row:
    """All send at once, in turns as each can."""
    share = TOTAL // MANY
    socks = {sock.fileno(): sock for sock in (connect(port, b"S", share) for _ in range(MANY))}
    left = dict.fromkeys(socks, share)
    poll = select.epoll()
    for sock in socks.values():
        sock.setblocking(False)
        poll.register(sock, select.EPOLLOUT)
    data = memoryview(PIECE)
    started = time.perf_counter()
    while left:
        for number, event in poll.poll():
            if event & select.EPOLLOUT:
                left[number] -= socks[number].send(data[: left[number]])
                if not left[number]:
                    poll.modify(number, select.EPOLLIN)
            else:
                del left[number]
                socks.pop(number).close()
    return {f"GB/s, {MANY} connections": share * MANY / (time.perf_counter() - started) / 1e9}


def round_trips(port: int) -> Row:
    with connect(port, b"E") as sock:
        seconds = sorted(_ask(sock) for _ in range(8000))[500:]
    return {"p50 µs, 1 connection": _share(seconds, 0.5), "p99 µs, 1 connection": _share(seconds, 0.99)}


def round_trips_of_many(port: int, exchanges: int = 20_000) -> Row:
    """Each asks again as soon as it has its answer."""
    socks = {sock.fileno(): sock for sock in (connect(port, b"E") for _ in range(MANY))}
    poll = select.epoll()
    for sock in socks.values():
        poll.register(sock, select.EPOLLIN)
    seconds: list[float] = []
    started = time.perf_counter()
    asked = dict.fromkeys(socks, started)
    for sock in socks.values():
        sock.send(QUESTION)
    while len(seconds) < exchanges:
        for number, _ in poll.poll():
            socks[number].recv(len(QUESTION))
            now = time.perf_counter()
            seconds.append(now - asked[number])
            asked[number] = now
            socks[number].send(QUESTION)
    rate = len(seconds) / (time.perf_counter() - started)
    for sock in socks.values():
        sock.close()
    return {
        f"exchanges/s, {MANY} connections": rate,
        f"p50 µs, {MANY} connections": _share(seconds, 0.5),
        f"p99 µs, {MANY} connections": _share(seconds, 0.99),
    }


def held(port: int) -> Row:
    """So many connections are open at once, and each one is answered, twice."""
    with ExitStack() as all_of_them:
        socks = [all_of_them.enter_context(connect(port, b"E")) for _ in range(HELD)]
        seconds = [_ask(sock) for _ in range(2) for sock in socks]
    return {"answered": len(seconds) / 2, "p50 µs": _share(seconds, 0.5)}


def latency_error(port: int) -> Row:
    """How much later than asked answers arrive, in ms."""
    with connect(port, b"E") as sock:
        errors = [_ask(sock) - LATENCY for _ in range(120)]
    return {
        "p50 ms": _share(errors, 0.5) / 1e3,
        "p99 ms": _share(errors, 0.99) / 1e3,
        "min ms": min(errors) * 1e3,
    }


def rate(port: int) -> Row:
    """Bytes per second that arrive, from the first one on."""
    received = 0
    with connect(port, b"G", 1 << 40) as sock:
        received -= len(sock.recv(1 << 20))
        started = now = time.perf_counter()
        while now - started < BANDWIDTH_SECONDS:
            received += len(sock.recv(1 << 20))
            now = time.perf_counter()
    return {"bytes/s": received / (now - started)}


def _ask(sock: socket.socket) -> float:
    started = time.perf_counter()
    sock.sendall(QUESTION)
    assert len(sock.recv(len(QUESTION))) == len(QUESTION)
    return time.perf_counter() - started


def _share(seconds: Sequence[float], share: float) -> float:
    return quantiles(seconds, n=100, method="inclusive")[round(100 * share) - 1] * 1e6


class Bench:
    """The processes of one run."""

    def __init__(self, undo: ExitStack) -> None:
        spawn = multiprocessing.get_context("spawn")
        listening = undo.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        self.direct: int = listening.getsockname()[1]
        server = spawn.Process(target=serve, args=(listening,), daemon=True)
        server.start()
        undo.callback(server.join)
        undo.callback(server.kill)
        self._clients = undo.enter_context(ProcessPoolExecutor(1, mp_context=spawn))
        self._supervisor = Supervisor()
        undo.callback(self._supervisor.close)
        info = self._supervisor.start("proxy", ProxySpec(Endpoint("127.0.0.1", self.direct)))
        self.ours = int(info["port"])
        peer: tuple[int, int] | None = _start_toxiproxy(self.direct, undo)
        self.peer = None if peer is None else peer[0]
        pids = {"ours": self._supervisor.pid, "toxiproxy": None if peer is None else peer[1]}
        self._processes = {way: psutil.Process(pid) for way, pid in pids.items() if pid is not None}
        self._numbers = count()

    @property
    def ways(self) -> Mapping[str, int]:
        peer = {} if self.peer is None else {"toxiproxy": self.peer}
        return {"direct": self.direct, "ours": self.ours, **peer}

    def measure(self, what: Callable[[int], Row], port: int) -> Row:
        """Measure with a client in a process of its own."""
        return self._clients.submit(what, port).result()

    def cpu_seconds(self, way: str) -> float:
        """Return the CPU seconds that a proxy has used; 0 for no proxy."""
        if way not in self._processes:
            return 0.0
        times = self._processes[way].cpu_times()
        return float(times.user + times.system)

    @contextmanager
    def toxic(self, toxic: AnyToxic) -> Iterator[None]:
        effect = f"toxic {next(self._numbers)}"
        self._supervisor.start(effect, ToxicsSpec("proxy", (toxic,), "bench"))
        yield
        self._supervisor.stop(effect)


def _start_toxiproxy(upstream: int, undo: ExitStack) -> tuple[int, int] | None:
    """Start Toxiproxy, if there is one, and return its port, once it answers, and its process id."""
    program = os.environ.get("TOXIPROXY") or shutil.which("toxiproxy-server")
    if program is None:
        return None
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(int(free.getsockname()[1]))
    settings = Path(undo.enter_context(TemporaryDirectory())) / "proxies.json"
    proxy = {"name": "bench", "listen": f"127.0.0.1:{ports[0]}", "upstream": f"127.0.0.1:{upstream}"}
    settings.write_text(json.dumps([{**proxy, "enabled": True}]), "utf-8")
    arguments = [program, "-host", "127.0.0.1", "-port", str(ports[1]), "-config", str(settings)]
    process = subprocess.Popen(arguments, env={**os.environ, "LOG_LEVEL": "error"})
    undo.callback(process.wait)
    undo.callback(process.terminate)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            round_trip = connect(ports[0], b"E")
        except OSError:
            time.sleep(0.05)
        else:
            round_trip.close()
            return ports[0], process.pid
    raise TimeoutError(f"{program} does not listen")


@contextmanager
def busy() -> Iterator[None]:
    """Keep this process, which owns the supervisor, computing."""
    ended = threading.Event()

    def compute() -> None:
        while not ended.is_set():
            sum(range(10_000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def costs(bench: Bench, rounds: int) -> None:
    """Compare without toxics."""
    rows: dict[str, dict[str, list[float]]] = {}
    measures = (throughput, round_trips, throughput_of_many, round_trips_of_many)
    for what in measures * rounds:
        for way, port in bench.ways.items():
            before = bench.cpu_seconds(way)
            row = bench.measure(what, port)
            used = {f"CPU s, {what.__name__}": bench.cpu_seconds(way) - before}
            for name, value in (row | used).items():
                rows.setdefault(name, {}).setdefault(way, []).append(value)
    print(f"{'':32}" + "".join(f"{way:>12}" for way in bench.ways))
    for name, by_way in rows.items():
        middle = {way: median(values) for way, values in by_way.items()}
        line = f"{name:32}" + "".join(f"{value:12.2f}" for value in middle.values())
        print(line + _compared(name, middle))


def _compared(name: str, figures: Mapping[str, float]) -> str:
    """Say how ours stands to the peer: speed by speed, and added time by added time."""
    if "CPU" in name:
        return f"   {figures['ours'] / figures.get('toxiproxy', float('nan')):.2f} times the peer's"
    if "µs" in name:
        added = {way: value - figures["direct"] for way, value in figures.items()}
        peer = added.get("toxiproxy", figures["direct"] * ELSEWHERE.get(f"added {name}", float("nan")))
        return f"   added {added['ours']:.1f} / {peer:.1f} µs = {added['ours'] / peer:.2f}"
    peer = figures.get("toxiproxy", figures["direct"] * ELSEWHERE.get(name, float("nan")))
    return f"   {figures['ours'] / peer:.2f} times the peer's"


def exactness(bench: Bench) -> None:
    """Show how exact latency and bandwidth are, idle and busy, and that connections are held."""
    print(f"held: {_line(bench.measure(held, bench.ours))} (of {HELD})")
    for state, load in (("idle", ExitStack), ("busy", busy)):
        with load(), bench.toxic(Latency(LATENCY)):
            print(f"latency, {state}: later than asked by {_line(bench.measure(latency_error, bench.ours))}")
        for asked in RATES:
            with load(), bench.toxic(Bandwidth(asked)):
                got = bench.measure(rate, bench.ours)["bytes/s"]
            print(f"bandwidth, {state}: {got:,.0f} of {asked:,.0f} bytes/s: {got / asked - 1:+.2%}")


def _line(row: Row) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in row.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as undo:
        bench = Bench(undo)
        if bench.peer is None:
            print("No Toxiproxy here: compared with what was measured elsewhere, scaled by direct loopback.")
        costs(bench, options.rounds)
        sys.stdout.flush()
        exactness(bench)


if __name__ == "__main__":
    main()
