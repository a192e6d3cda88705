"""How soon each scenario acts after inject, and how soon everything is well again after its removal.

Run: python tests/benchmarks/bench_scenarios.py [rounds, default 5]
A client asks an echo server over and over, through the proxy, from a call that is a seam too; the server is a
process of its own. "Acts" is from the call of inject to the first firing (or check that found the effect);
"well" is from the call of remove to the first answer within twice the normal time, and for the host to the
last trace (child process, limit, full disk) being gone. Goals: 0.5 s and 1 s.
"""

import errno
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.injection import Injection
from pytest_resilience.services import Service

ACTS_GOAL, WELL_GOAL = 0.5, 1.0
DEADLINE = 10.0
CLIENT_TIMEOUT = 0.2

SERVER = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def echo(client):
    while data := client.recv(65536):
        client.sendall(data)
while True:
    threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
"""


class Client:
    """Asks the echo server; connects again after an error."""

    def __init__(self) -> None:
        self.address = ("", 0)
        self._socket: socket.socket | None = None

    def ask(self) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(self.address, CLIENT_TIMEOUT)
        try:
            self._socket.sendall(b"question")
            if not self._socket.recv(100):
                raise ConnectionResetError(errno.ECONNRESET, "The server hung up.")
        except OSError:
            self._socket.close()
            self._socket = None
            raise


CLIENT = Client()

Case = tuple[str, str | None, str | None, dict[str, object]]

CASES: list[Case] = [
    ("provider_timeout", "server", "calls", {}),
    ("provider_timeout", "server", "endpoint", {}),
    ("provider_timeout", "server", "process", {}),
    ("valuation_exception", "server", "calls", {}),
    ("latency_spike", "server", "calls", {}),
    ("latency_spike", "server", "endpoint", {}),
    ("intermittent_errors", "server", "calls", {}),
    ("intermittent_errors", "server", "endpoint", {}),
    ("network_partition", "server", "endpoint", {}),
    ("network_partition", "server", "endpoint", {"mode": "black_hole"}),
    ("network_partition", "server", "calls", {}),
    ("database_slowdown", "server", "endpoint", {}),
    ("database_slowdown", "server", "calls", {}),
    ("cascading_failure", None, None, {"delay": 0.1}),
    ("resource_exhaustion", None, None, {}),
    ("resource_exhaustion", None, None, {"resource": "disk"}),
    ("resource_exhaustion", "server", "endpoint", {}),
    ("memory_pressure", None, None, {}),
    ("cpu_saturation", None, None, {}),
]


def ask_quietly() -> bool:
    """Ask once; tell whether there was an answer."""
    try:
        CLIENT.ask()
    except OSError:
        return False
    return True


def seconds_until(ready: Callable[[], bool], started: float) -> float:
    """Use the service until `ready`; return the seconds since `started`."""
    while not ready():
        if time.perf_counter() - started > DEADLINE:
            return float("inf")
    return time.perf_counter() - started


def acts(chaos: Chaos, case: Case) -> tuple[Injection, float]:
    scenario, target, seam, parameters = case
    started = time.perf_counter()
    injection = chaos.inject(scenario, target, seam=seam, **parameters)  # type: ignore[arg-type]

    def fired() -> bool:
        if scenario != "resource_exhaustion" or seam:
            ask_quietly()
        return injection.fired > 0

    return injection, seconds_until(fired, started)


def well(injection: Injection, normal: float, traces: Callable[[], object], before: object) -> float:
    started = time.perf_counter()
    injection.remove()

    def is_well() -> bool:
        asked = time.perf_counter()
        return ask_quietly() and time.perf_counter() - asked < 2 * normal and traces() == before

    return seconds_until(is_well, started)


def traces_of(disk: Path) -> Callable[[], object]:
    """Return a function that reads what faults of the host could leave."""
    supervisor = psutil.Process().children()

    def read() -> object:
        children = [child.pid for one in supervisor for child in one.children()]
        with suppress(OSError):
            (disk / "probe").write_bytes(b"x" * 1000)
            return children, resource.getrlimit(resource.RLIMIT_NOFILE)
        return "full"

    return read


def main(rounds: int) -> None:
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:  # its threads complain of resets
        assert server.stdout is not None
        endpoint = ("127.0.0.1", int(server.stdout.readline()))
        here = __name__
        services = [
            Service(
                "server",
                calls=[f"{here}:Client.ask"],
                errors=[ConnectionError],
                timeout=CLIENT_TIMEOUT,
                endpoint=endpoint,
                process=server,
            ),
            Service("shop", calls=[f"{here}:ask_quietly"], errors=[ConnectionError], needs=["server"]),
        ]
        chaos = Chaos(services, seed=1)
        try:
            measure(chaos, rounds)
        finally:
            chaos.close()
            server.terminate()


def measure(chaos: Chaos, rounds: int) -> None:
    address = chaos.address("server")
    CLIENT.address = (address.host, address.port)
    read = traces_of(chaos.disk())
    started = time.perf_counter()
    for _ in range(1000):
        ask_quietly()
    normal = max(0.001, (time.perf_counter() - started) / 1000)
    print(f"{'scenario':32}{'seam':10}{'acts':>9}{'well':>9}   worst of {rounds}")
    for case in CASES:
        worst_acts = worst_well = 0.0
        for _ in range(rounds):
            before = read()
            injection, acted = acts(chaos, case)
            worst_acts = max(worst_acts, acted)
            worst_well = max(worst_well, well(injection, normal, read, before))
        name = " ".join([case[0], *map(str, case[3].values())])
        met = worst_acts < ACTS_GOAL and worst_well < WELL_GOAL
        seam = case[2] or injection.seam
        print(f"{name:32}{seam:10}{worst_acts:8.3f}s{worst_well:8.3f}s  {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
