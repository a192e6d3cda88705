"""The supervisor as users have it: every spec has its effect, and real ones act and end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import is_dataclass

import psutil
import pytest

from pytest_resilience.chaos.host import specs as host
from pytest_resilience.chaos.host.specs import PauseSpec
from pytest_resilience.chaos.network import specs as network
from pytest_resilience.chaos.network.specs import ProxySpec, ToxicsSpec
from pytest_resilience.chaos.network.toxics import Latency, ResetPeer
from pytest_resilience.chaos.supervisor.client import Supervisor
from pytest_resilience.chaos.supervisor.kinds import KINDS
from pytest_resilience.endpoints import Endpoint
from pytest_resilience.errors import ScenarioError


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


@pytest.fixture
def echo() -> Iterator[Endpoint]:
    """A server that gives back what it is sent, in a process of its own."""
    served = socket.create_server(("127.0.0.1", 0))
    process = subprocess.Popen(
        [sys.executable, "-c", ECHO, str(served.fileno())],
        pass_fds=[served.fileno()],
        stdin=subprocess.DEVNULL,
    )
    yield Endpoint("127.0.0.1", served.getsockname()[1])
    process.kill()
    process.wait()
    served.close()


ECHO = """
import socket, sys, threading
def serve(one):
    while data := one.recv(4096):
        one.sendall(data)
served = socket.socket(fileno=int(sys.argv[1]))
while True:
    threading.Thread(target=serve, args=served.accept()[:1], daemon=True).start()
"""


def exchange(connection: socket.socket) -> float:
    """Send a question and have its answer; return the seconds that it took."""
    begun = time.monotonic()
    connection.sendall(b"question")
    assert connection.recv(4096) == b"question"
    return time.monotonic() - begun


def test_every_spec_has_its_effect() -> None:
    """A spec that nobody carries out would be refused when it is too late."""
    specs = {
        value
        for module in (host, network)
        for value in vars(module).values()
        if is_dataclass(value) and getattr(value, "__module__", "") == module.__name__
    }
    assert set(KINDS) == specs


def test_toxics_of_a_proxy_act_and_end(supervisor: Supervisor, echo: Endpoint) -> None:
    """Each request goes through the test process's socket, and each effect finds the other one."""
    info = supervisor.start("proxy", ProxySpec(echo))
    with socket.create_connection((str(info["host"]), int(info["port"])), timeout=10) as connection:
        assert exchange(connection) < 0.3
        supervisor.start("slow", ToxicsSpec("proxy", (Latency(latency=0.3),), "seed"))
        assert exchange(connection) >= 0.3
        assert supervisor.touched("slow").fired == 1
        assert supervisor.stop("slow").fired == 1
        assert exchange(connection) < 0.3
        supervisor.start("cut", ToxicsSpec("proxy", (ResetPeer(),), "seed"))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ScenarioError, match="proxi"):
        supervisor.start("wrong", ToxicsSpec("proxi", (Latency(latency=0.3),), "seed"))


def test_a_paused_process_goes_on_when_the_supervisor_is_killed(supervisor: Supervisor) -> None:
    """The last line: nothing is told to stop, and nobody is left to do it."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        supervisor.start("pause", PauseSpec(process.pid))
        assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
