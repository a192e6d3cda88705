"""Workers beyond `popen`: another interpreter, and a socket gateway (on the loopback only)."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import execnet.script.socketserver
import pytest
from distributed_soaks import distributed, workers
from plugin_soaks import Project, finish, run, running, wait_for

import pytest_resilience

START_SECONDS = 20
TELL_PYTHON = """
import os, sys
import pytest

@pytest.mark.soak
def test_quote(request):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    (request.config.rootpath / f"python.{worker}").write_text(sys.executable)
"""


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a second virtual environment, in which the same packages are installed."""
    folder = tmp_path_factory.mktemp("other") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    paths = [str(Path(pytest_resilience.__file__).parent.parent), sysconfig.get_path("purelib")]
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "same_packages.pth").write_text("\n".join(paths))
    return folder / "bin" / "python"


def test_a_worker_of_another_environment_soaks_too(tmp_path: Path, other_python: Path) -> None:
    """--tx popen//python=…, beside one of this environment."""
    gateways = ("--dist=load", f"--tx=popen//python={other_python}", "--tx=popen")
    done = run(tmp_path, distributed(*gateways, files={"test_shop.py": TELL_PYTHON}))
    assert done.verdicts["worker_crashes"] == "met", done.output
    assert (tmp_path / "python.gw0").read_text() == str(other_python)
    assert (tmp_path / "python.gw1").read_text() == sys.executable
    assert all(row["iterations"] > 10 for row in done.report["workers"])


@contextmanager
def socket_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Run execnet's socket server while the block lasts; yield its address and its pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = str(execnet.script.socketserver.__file__)
    command = [sys.executable, script, f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=folder, env=distributed().environment) as server:
        try:
            _wait_until_it_listens(port)
            yield f"127.0.0.1:{port}", server.pid
        finally:
            server.kill()


def _wait_until_it_listens(port: int) -> None:
    """Look into the kernel's table: to connect would use up the one connection that the server serves."""
    wanted = f"0100007F:{port:04X}"
    until = time.monotonic() + START_SECONDS
    while not any(
        line.split()[1] == wanted and line.split()[3] == "0A"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
    ):
        assert time.monotonic() < until
        time.sleep(0.05)


def by_socket(address: str, checkout: Path) -> Project:
    """Return a project that is soaked through a socket gateway, in a checkout as on another machine."""
    project = distributed("--dist=load", f"--tx=socket={address}//chdir={checkout}", duration="5s")
    checkout.mkdir()
    project.write(checkout)
    return project


def test_a_worker_behind_a_socket_soaks_too(tmp_path: Path) -> None:
    """Its records come back over the socket."""
    with socket_server(tmp_path) as (address, pid):
        done = run(tmp_path / "project", by_socket(address, tmp_path / "checkout"))
    assert done.verdicts["worker_crashes"] == "met", done.output
    (worker,) = workers(tmp_path / "project").values()
    assert (worker.pid, worker.status) == (pid, "ended")
    assert (tmp_path / "checkout" / "torn_down").read_text() == "untouched"


def test_a_killed_socket_server_ends_the_run_partial(tmp_path: Path) -> None:
    """Nobody can start another worker there: what was measured is reported."""
    with socket_server(tmp_path) as (address, pid):
        project = by_socket(address, tmp_path / "checkout")
        with running(tmp_path / "project", project) as process:
            wait_for(tmp_path / "project", lambda data: any(one.iterations > 5 for one in data.tallies))
            os.kill(pid, signal.SIGKILL)
            done = finish(tmp_path / "project", process)
    assert done.code == 1, done.output
    assert "INTERNALERROR" not in done.output
    assert done.report["overall_result"] in ("FAILED", "PARTIAL")
    assert workers(tmp_path / "project")["gw0"].status == "crashed"
