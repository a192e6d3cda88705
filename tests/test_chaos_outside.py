"""What a process has outside of itself is started once, shared, and gone when it should be."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from polling import until

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.outside import Outside
from pytest_resilience.endpoints import Endpoint
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

DEADLINE = 5.0


@pytest.fixture
def outside() -> Iterator[Outside]:
    """Closed at the end."""
    found = Outside()
    yield found
    found.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A socket that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Endpoint(*server.getsockname())


def test_nothing_is_started_before_it_is_needed(outside: Outside, endpoint: Endpoint) -> None:
    """An engine alone starts no process."""
    Chaos([Service("db", endpoint=endpoint)], seed=1, outside=outside)
    assert not outside.supervisor.alive
    assert not outside.has_proxy(endpoint)
    assert not outside.has_disk


def test_one_proxy_per_endpoint_whoever_asks_first(outside: Outside, endpoint: Endpoint) -> None:
    """Eight threads at once get the same address, and so does another engine."""
    with ThreadPoolExecutor(8) as pool:
        addresses = set(pool.map(lambda _: outside.address(endpoint), range(8)))
    assert len(addresses) == 1
    other = Chaos([Service("db", endpoint=endpoint)], seed=1, outside=outside)
    assert other.address("db") in addresses
    assert str(other.address("db")) == f"127.0.0.1:{other.address('db').port}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cache", "There is no service 'cache' in resilience_services. Known: api, db."),
        (
            "api",
            (
                "Service 'api' declares no endpoint. "
                "Add it in resilience_services: Service('api', endpoint=\"127.0.0.1:5432\", …)."
            ),
        ),
    ],
)
def test_an_address_needs_an_endpoint(name: str, message: str, endpoint: Endpoint) -> None:
    """The error says what to declare."""
    with Chaos([Service("db", endpoint=endpoint), Service("api", calls=[until])], seed=1) as chaos:
        with pytest.raises(ScenarioError) as wrong:
            chaos.address(name)
        assert str(wrong.value) == message


def test_the_end_of_an_engine_of_its_own_ends_all(endpoint: Endpoint) -> None:
    """No process is left, and nobody listens."""
    with Chaos([Service("db", endpoint=endpoint)], seed=1) as chaos:
        address = chaos.address("db")
        children = psutil.Process().children(recursive=True)
        assert children
    assert until(lambda: not any(child.is_running() for child in children))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the state of a process")
def test_a_killed_supervisor_leaves_nothing_behind(outside: Outside, endpoint: Endpoint) -> None:
    """What it had stopped goes on, the event can be removed, and what is asked for next is made anew."""
    with subprocess.Popen(["sleep", "60"]) as server:
        try:
            services = [Service("db", endpoint=endpoint, process=server)]
            chaos = Chaos(services, seed=1, outside=outside)
            before = chaos.address("db")
            injection = chaos.inject("process_pause", "db")
            assert psutil.Process(server.pid).status() == psutil.STATUS_STOPPED
            assert outside.supervisor.pid is not None
            os.kill(outside.supervisor.pid, signal.SIGKILL)
            assert until(lambda: psutil.Process(server.pid).status() == psutil.STATUS_SLEEPING)
            assert until(lambda: not outside.has_proxy(endpoint))
            with pytest.raises(ScenarioError, match="supervisor"):
                injection.remove()
            injection.remove()
            assert not injection.active
            assert chaos.address("db") != before
        finally:
            server.kill()
