"""However the test process ends, within two seconds nothing of its effects is left, nor the supervisor."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from polling import until
from supervisor_subjects import LAUNCHER, NoteSpec

from pytest_resilience.chaos.supervisor.client import Supervisor
from pytest_resilience.chaos.supervisor.messages import Start, Started, read_answer, to_line
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError

HERE = Path(__file__).parent
GONE_SECONDS = 2.0
FORKS = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
NEEDS_LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process of its parent's end"
)


@pytest.fixture
def victim() -> Iterator[psutil.Process]:
    """A process of somebody else, which an effect stops."""
    process = subprocess.Popen(["sleep", "600"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


class User:
    """A test process with three effects: a child process, a stopped process, a listening socket.

    After the `with` block it is gone, also if the test failed.
    """

    def __init__(self, way: str, victim: psutil.Process) -> None:
        warnings = ["-W", "error", "-W", "ignore::DeprecationWarning"]  # forks warn
        command = [sys.executable, *warnings, str(HERE / "supervisor_user.py"), way, str(victim.pid)]
        self.process = subprocess.Popen(
            command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        self.supervisor, self.sleeper, self.port = said["pid"], said["sleeper"], said["port"]
        self.forked: int = said["forked"]
        self.victim = victim

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *error: object) -> None:
        if self.forked:
            os.kill(self.forked, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()

    def acts(self) -> tuple[bool, bool, bool, bool]:
        """Tell what is there: supervisor, child, stopped process, listener."""
        stopped = self.victim.status() == psutil.STATUS_STOPPED
        return (lives(self.supervisor), lives(self.sleeper), stopped, listens(self.port))


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


SIGNALS = {"SIGKILL": -9, "SIGTERM": -15, "SIGINT": -2, "SIGHUP": -1}


@pytest.mark.parametrize("way", SIGNALS)
def test_a_signal_to_the_test_process_ends_all(way: str, victim: psutil.Process) -> None:
    """A kill, the end that CI sends, Ctrl-C, a lost terminal."""
    with User(way, victim) as user:
        assert until(lambda: user.acts() == (True, True, True, True))
        user.process.send_signal(getattr(signal, way))
        user.process.communicate()
        assert until(lambda: user.acts() == (False, False, False, False), seconds=GONE_SECONDS)
        assert user.process.returncode == SIGNALS[way]


@pytest.mark.parametrize(
    ("way", "code", "said"), [("exception", 1, "ValueError"), ("_exit", 3, ""), ("exit", 0, "")]
)
def test_an_end_of_the_test_process_ends_all(way: str, code: int, said: str, victim: psutil.Process) -> None:
    """Also where it never closes its supervisor; and it warns of nothing."""
    with User(way, victim) as user:
        _, errors = user.process.communicate()
        assert until(lambda: user.acts() == (False, False, False, False), seconds=GONE_SECONDS)
    assert (user.process.returncode, said in errors, "Warning" in errors) == (code, True, False)


@pytest.mark.parametrize("way", ["fork", pytest.param("raw fork", marks=NEEDS_LINUX)])
def test_a_fork_of_the_test_process_does_not_keep_its_effects(way: str, victim: psutil.Process) -> None:
    """It has a copy of everything, and lives on. One that Python does not see has the socket too."""
    with User(way, victim) as user:
        user.process.kill()
        user.process.wait()
        assert until(lambda: user.acts() == (False, False, False, False), seconds=GONE_SECONDS)
        assert lives(user.forked)


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_supervisor_ends_all(way: signal.Signals, tmp_path: Path) -> None:
    """As if the test process had ended; who asks is told."""
    notes = tmp_path / "notes"
    supervisor = Supervisor(launcher=LAUNCHER)
    supervisor.start("a", NoteSpec(str(notes), "a"))
    pid = supervisor.pid
    assert pid is not None
    os.kill(pid, way)
    assert until(lambda: not psutil.pid_exists(pid), seconds=GONE_SECONDS)
    assert notes.read_text() == "a starts\na stops\n"
    with pytest.raises(ScenarioError, match=r"\(pid \d+\) ended with code 0 and lost: a. Inject again"):
        supervisor.touched("a")
    supervisor.close()


def test_the_supervisor_ends_when_its_socket_is_closed(tmp_path: Path) -> None:
    """Without any signal, and while the process that started it lives on."""
    notes = tmp_path / "notes"
    near, far = socket.socketpair()
    with near, far, contextlib.ExitStack() as stack:
        process = stack.enter_context(LAUNCHER.launch(far.fileno()))
        stack.callback(process.kill)
        far.close()
        near.sendall(to_line(1, Start("a", NoteSpec(str(notes), "a"))))
        assert isinstance(read_answer(near.recv(4096)), Started)
        near.close()
        assert until(lambda: process.poll() == 0, seconds=GONE_SECONDS)
    assert notes.read_text() == "a starts\na stops\n"


@FORKS
def test_in_a_fork_nothing_can_be_started_and_stops_do_nothing() -> None:
    """The effects belong to the process that started them, which still has them."""
    supervisor = Supervisor(launcher=LAUNCHER)
    supervisor.start("a", NoteSpec(""))
    read, write = os.pipe()
    descriptors = psutil.Process().num_fds()
    child = os.fork()
    if child == 0:
        os.write(write, in_the_fork(supervisor).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as answer:
        assert answer.read() == (
            f"{descriptors - 1} None True () A fault outside the test process belongs to the process that "
            "started it. This is a fork of it."
        )
    assert supervisor.held() == ("a",)
    supervisor.close()


def in_the_fork(supervisor: Supervisor) -> str:
    """Use a parent's supervisor in every way."""
    try:
        supervisor.start("b", NoteSpec(""))
    except ScenarioError as refused:
        text = str(refused)
    stopped = supervisor.stop("a") == Touched()
    supervisor.close()
    return f"{psutil.Process().num_fds()} {supervisor.pid} {stopped} {supervisor.held()} {text}"


def test_an_effect_that_hangs_or_blocks_keeps_no_other_one(tmp_path: Path) -> None:
    """At the end of the test process: the first one is undone, within the time."""
    notes = tmp_path / "notes"
    code = (
        "from supervisor_subjects import *\n"
        "from pytest_resilience.chaos.supervisor.client import Supervisor\n"
        "supervisor = Supervisor(launcher=LAUNCHER)\n"
        f"supervisor.start('one', NoteSpec({str(notes)!r}, 'one'))\n"
        "supervisor.start('hung', NoteSpec('', stop='hang'))\n"
        "supervisor.start('blocked', NoteSpec('', stop='block'))\n"
        "print(supervisor.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    user = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert until(lambda: not lives(int(user.stdout)), seconds=GONE_SECONDS)
    assert notes.read_text() == "one starts\none stops\n"
