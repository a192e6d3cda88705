"""The fixtures `service_address` and `resilience_disk`: from their first use to the end of the session."""

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from plugin_soaks import Finished, Project, run_together

ENDS_WITHIN_SECONDS = 10
CONFTEST = """
import json
import os
import socket
import threading
import psutil
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()

def serve(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=echo, args=(connection,), daemon=True).start()

def echo(connection):
    with connection:
        while data := connection.recv(1024):
            connection.sendall(data)

@pytest.fixture(scope="session")
def resilience_services(server):
    return [Service("echo", endpoint=server), Service("bare", calls=["os:getcwd"])]

@pytest.fixture(scope="session")
def tell(pytestconfig):
    told = {}
    def tell(**facts):
        told.update(facts, children=[one.pid for one in psutil.Process().children(recursive=True)])
        name = os.environ.get("PYTEST_XDIST_WORKER", "main")
        (pytestconfig.rootpath / f"{name}.json").write_text(json.dumps(told))
    return tell

def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        for file in [open(os.devnull) for _ in range(50)]:
            file.close()
        (session.config.rootpath / "finished").touch()
"""
USES = """
import errno
import os
import socket
import pytest

@pytest.fixture(scope="session")
def address(service_address, tell):
    given = service_address("echo")
    tell(port=given.port, socket=given.path)
    return given

@pytest.fixture(scope="session")
def folder(resilience_disk, tell):
    tell(disk=str(resilience_disk))
    return resilience_disk

def exchange(address):
    with socket.create_connection((address.host, address.port), timeout=5) as connection:
        connection.sendall(b"hello")
        return connection.recv(1024)

def test_address(address, service_address, server):
    assert str(address) == f"{address.host}:{address.port}" == str(service_address("echo"))
    assert address.port != server[1]
    assert exchange(address) == b"hello"

def test_the_service_is_cut_off(address, chaos):
    with chaos.inject("network_partition", "echo"), pytest.raises(ConnectionError):
        exchange(address)
    assert exchange(address) == b"hello"

@pytest.mark.chaos("network_partition", target="echo")
def test_marked(address):
    with pytest.raises(ConnectionError):
        exchange(address)

def test_disk(folder, resilience_disk, chaos):
    assert folder == resilience_disk
    file = folder / "file"
    file.write_bytes(bytes(4096))
    with chaos.inject("disk_full"):
        with pytest.raises(OSError) as full:
            (folder / "other").write_bytes(bytes(100_000))
        assert full.value.errno == errno.ENOSPC
    file.write_bytes(bytes(100_000))

@pytest.mark.parametrize("number", [1, 2])
def test_disk_again(folder, number):
    (folder / "again").write_bytes(bytes(100_000))
"""
WRONG = """
def test_unknown(service_address):
    service_address("eco")

def test_without_endpoint(service_address):
    service_address("bare")

def test_never_used(chaos, service_address):
    service_address("echo")
    chaos.inject("network_partition", "echo")
"""
UNUSED = """
def test_needs_nothing(service_address, chaos, tell):
    chaos.inject("valuation_exception", "bare", errors=[OSError], must_fire=False)
    tell()
"""
ENDS = """
import os
import signal
import time
import pytest

@pytest.fixture(scope="session", autouse=True)
def torn_down(pytestconfig):
    yield
    (pytestconfig.rootpath / "torn_down").touch()

def test_begins(service_address, resilience_disk, chaos, tell):
    address = service_address("echo")
    chaos.inject("cpu_saturation", load=0.1, must_fire=False)
    chaos.inject("disk_full", must_fire=False)
    tell(port=address.port, socket=address.path, disk=str(resilience_disk))
    chaos.inject("resource_exhaustion", must_fire=False)
    {ending}

def test_never_comes():
    time.sleep(60)
"""
ELSEWHERE = """
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def resilience_services():
    return [Service("database", endpoint="db.example.com:5432", calls=["os:getcwd"])]

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.soak)
"""
ASKS = """
import os

def test_chaos(chaos):
    chaos.inject("latency_spike", "database", seam="calls", delay=0.001)
    os.getcwd()

def test_address(service_address):
    service_address("database")
"""
NOT_HERE = (
    "Service('database').endpoint must be on this machine, or on an allowed host, not 'db.example.com:5432'. "
    "If faults may hit it, add it to the ini file: resilience_allow_hosts = db.example.com."
)
ALLOWED = "resilience_allow_hosts =\n    other.example.com\n    db.example.com\n"


def project(test: str, *arguments: str, ini: str = "", plugins: tuple[str, ...] = ()) -> Project:
    """Describe a run of one test module with a server beside it."""
    return Project(arguments, ini, {"conftest.py": CONFTEST, "test_shop.py": test}, plugins)


def elsewhere(*arguments: str, ini: str = "") -> Project:
    """Describe a run with a database on another host."""
    return Project(arguments, ini, {"conftest.py": ELSEWHERE, "test_shop.py": ASKS})


ENDINGS = {
    "fails": ("assert False", ("-x",), 1),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", (), 2),
    "exits": ("pytest.exit('enough')", ("--junitxml=junit.xml",), 2),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", (), -9),
}
"""What a test does with its faults active, the arguments, and the exit code."""

RUNS = {
    "used": project(USES),
    "used by two": project(USES, "-n", "2", "--dist", "each", plugins=("xdist.plugin",)),
    "wrong": project(WRONG, "-rA"),
    "unused": project(UNUSED),
    "another host": elsewhere(),
    "allowed host": elsewhere("-k", "chaos", ini=ALLOWED),
    "soak of another host": elsewhere("--soak-duration=5s"),
    **{
        name: project(ENDS.format(ending=ending), *arguments)
        for name, (ending, arguments, _) in ENDINGS.items()
    },
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Every run that this file looks at."""
    return run_together(tmp_path_factory.mktemp("outside"), RUNS)


def told(run: Finished) -> dict[str, dict[str, Any]]:
    """Return what each process of the run had outside of itself, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in run.folder.glob("*.json")}


def within_seconds(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; tell whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(facts: Mapping[str, Any]) -> bool:
    """Tell whether processes, proxy, socket and disk have ended."""
    listening = False
    with suppress(OSError), socket.create_connection(("127.0.0.1", facts["port"]), 5):
        listening = True
    left = [path for path in (facts["socket"], facts["disk"]) if Path(path).exists()]
    return not (listening or left or any(psutil.pid_exists(pid) for pid in facts["children"]))


def test_addresses_and_the_disk_are_real(runs: Mapping[str, Finished]) -> None:
    """Faults reach what goes through the address, and fill the disk, in several tests of one session."""
    assert runs["used"].code == 0, runs["used"].output
    assert "6 passed" in runs["used"].output


def test_each_worker_has_its_own(runs: Mapping[str, Finished]) -> None:
    """Under xdist no worker's fault hits another one."""
    assert runs["used by two"].code == 0, runs["used by two"].output
    one, other = told(runs["used by two"]).values()
    for fact in ("port", "socket", "disk"):
        assert one[fact] != other[fact]
    assert not set(one["children"]) & set(other["children"])


@pytest.mark.parametrize("name", ["used", "used by two", *ENDINGS])
def test_nothing_is_left_when_the_session_has_ended(runs: Mapping[str, Finished], name: str) -> None:
    """However it ended, with whatever faults active: no process, no socket, no disk."""
    everything = told(runs[name])
    assert everything
    for facts in everything.values():
        assert facts["children"]
        assert within_seconds(ENDS_WITHIN_SECONDS, lambda facts=facts: is_gone(facts))  # type: ignore[misc]


@pytest.mark.parametrize("name", ENDINGS)
def test_a_session_that_ends_under_faults_ends_as_ever(runs: Mapping[str, Finished], name: str) -> None:
    """The exit code is pytest's; plugins end, and fixtures, when this process can open files again."""
    run = runs[name]
    assert run.code == ENDINGS[name][2], run.output
    assert (run.folder / "finished").exists() is (name != "is killed")
    assert (run.folder / "torn_down").exists() is (name != "is killed")
    assert (run.folder / "junit.xml").exists() is (name == "exits")
    assert "INTERNALERROR" not in run.output


def test_nothing_is_started_without_need(runs: Mapping[str, Finished]) -> None:
    """Faults on calls, and a fixture that nobody calls, need no process."""
    assert runs["unused"].code == 0, runs["unused"].output
    assert told(runs["unused"])["main"]["children"] == []


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            "test_unknown",
            "There is no service 'eco' in resilience_services. Did you mean 'echo'?",
        ),
        (
            "test_without_endpoint",
            (
                "Service 'bare' declares no endpoint. "
                """Add it in resilience_services: Service('bare', endpoint="127.0.0.1:5432", …)."""
            ),
        ),
        ("test_never_used", "network_partition-1 on echo reached 0 times: "),
    ],
)
def test_a_mistake_is_one_line(runs: Mapping[str, Finished], test: str, message: str) -> None:
    """Wrong names, and faults of endpoints and of the machine that never fired."""
    section = re.split(rf"_+ {test} _+", runs["wrong"].output)[1].partition("\n_")[0].partition("\n=")[0]
    assert section.strip().startswith(message)
    assert "\n" not in section.strip()


def test_an_endpoint_elsewhere_must_be_allowed(runs: Mapping[str, Finished]) -> None:
    """The failure of each test is the one line that names the ini value."""
    run = runs["another host"]
    assert run.code == 1
    assert run.output.splitlines().count(NOT_HERE) == 2
    assert "Traceback" not in run.output
    assert runs["allowed host"].code == 0, runs["allowed host"].output


def test_a_soak_of_an_endpoint_elsewhere_exits_with_4(runs: Mapping[str, Finished]) -> None:
    """It never begins."""
    run = runs["soak of another host"]
    assert run.code == 4
    assert f"ERROR: {NOT_HERE}" in run.output.splitlines()
    assert not run.soaked
