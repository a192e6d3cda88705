"""A soak that watches more than its own process: a service's, another one, and signals of the user's."""

from pathlib import Path

import pytest
from plugin_soaks import NO_CHAOS, Finished, Project, run, run_together

SERVER = """
import time

kept = []
while True:
    time.sleep(0.005)
    if KEEPS:
        kept.append(b"x" * 50_000)
"""
CONFTEST = """
import queue
import subprocess
import sys

import pytest
from pytest_resilience import Service

JOBS = queue.Queue()


@pytest.fixture(scope="session")
def server():
    process = subprocess.Popen([sys.executable, "server.py"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def leaky_server():
    process = subprocess.Popen([sys.executable, "leaky_server.py"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def resilience_services(server):
    return [Service("database", process=server)]


@pytest.fixture(scope="session")
def resilience_processes(leaky_server):
    return {"quotes": leaky_server}


@pytest.fixture(scope="session")
def resilience_signals():
    return {"job queue": JOBS.qsize, "pool": lambda: 1 / 0}
"""
TEST = """
import time

import pytest
from conftest import JOBS


@pytest.mark.soak
def test_job():
    time.sleep(0.005)
    JOBS.put("a job that nobody does")
"""
WATCHING = Project(
    arguments=("--soak-duration=15s",),
    ini=NO_CHAOS + "soak_phases =\n    MEMORY_SOAK_TESTING = 80%\n",
    files={
        "conftest.py": CONFTEST,
        "test_shop.py": TEST,
        "server.py": "KEEPS = False\n" + SERVER,
        "leaky_server.py": "KEEPS = True\n" + SERVER,
    },
)


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Soak a suite whose helper process and whose queue leak."""
    return run(tmp_path_factory.mktemp("watching"), WATCHING)


def test_the_process_that_leaks_is_named(soak: Finished) -> None:
    """The helper leaks, the service's process and the tests' own memory do not."""
    leaks = {(leak["process"], leak["signal"]) for leak in soak.report["leaks"]}
    assert ("quotes", "rss") in leaks, soak.output
    assert {process for process, _ in leaks} <= {"quotes", ""}
    assert soak.code == 1
    assert "process quotes: leak: " in " ".join(soak.output.split())


def test_the_signal_that_leaks_is_named(soak: Finished) -> None:
    """One job per iteration stays in the queue."""
    (queue,) = [leak for leak in soak.report["leaks"] if leak["signal"] == "job queue"]
    assert queue["per_iteration"] == pytest.approx(1, rel=0.05)


def test_a_broken_signal_is_told_once(soak: Finished) -> None:
    """The run goes on without it."""
    told = "resilience_signals['pool'] raised ZeroDivisionError: division by zero; it is not read any more"
    assert soak.output.count(told) == 1, soak.output


def test_suspicions_come_while_the_run_goes_on(soak: Finished) -> None:
    """As such: the verdict is that of the end."""
    assert "suspect: rss of process quotes keeps growing; the verdict comes at the end" in soak.output


MISTAKES = {
    "processes": (
        'def resilience_processes():\n    return {"server": 0}',
        (
            "resilience_processes['server'] must be a process, not 0. "
            "Give its pid, its Popen, its name, or a function that returns one of them."
        ),
    ),
    "signals": (
        'def resilience_signals():\n    return {"fds": len}',
        "Each name of resilience_signals must be a name of your own, not 'fds'.",
    ),
}


def test_a_wrong_declaration_ends_with_code_4(tmp_path: Path) -> None:
    """It is told in one line, and nothing runs."""
    header = 'import pytest\n\n@pytest.fixture(scope="session")\n'
    projects = {
        name: Project(files={"conftest.py": header + source}) for name, (source, _) in MISTAKES.items()
    }
    for name, finished in run_together(tmp_path, projects).items():
        assert finished.code == 4, finished.output
        assert MISTAKES[name][1] in finished.output
        assert "INTERNALERROR" not in finished.output
