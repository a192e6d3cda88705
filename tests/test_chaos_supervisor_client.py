"""The test process's side: requests from any thread, clear errors, and an end that leaves nothing."""

import _thread
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from polling import until
from supervisor_subjects import LAUNCHER, CopySpec, ListenSpec, NoteSpec, SleeperSpec, Way

from pytest_resilience.chaos.supervisor.client import Death, Supervisor
from pytest_resilience.chaos.supervisor.launch import Launcher
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """A supervisor with the effects of these tests."""
    supervisor = Supervisor(launcher=LAUNCHER)
    yield supervisor
    supervisor.close()


def gone(pid: int) -> bool:
    """Tell whether a process is gone; one that nobody reaps is."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def refusal(work: Callable[[], object]) -> str:
    """Return the text of the ScenarioError that some work raises."""
    with pytest.raises(ScenarioError) as refused:
        work()
    return str(refused.value)


def pid_of(supervisor: Supervisor) -> int:
    assert supervisor.pid is not None
    return supervisor.pid


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def descriptors() -> int:
    return psutil.Process().num_fds()


def test_nothing_runs_before_it_is_needed(supervisor: Supervisor) -> None:
    """Nor for a stop of what never started, which later starts must respect."""
    before = children()
    assert (supervisor.alive, supervisor.pid, supervisor.held()) == (False, None, ())
    assert supervisor.stop("early") == Touched()
    assert "No effect 'x' is active" in refusal(lambda: supervisor.touched("x"))
    assert children() == before
    text = refusal(lambda: supervisor.start("early", SleeperSpec()))
    assert text == "'early' was removed already. Give each effect an id of its own."
    assert supervisor.held() == ()


def test_an_effect_comes_and_goes(supervisor: Supervisor) -> None:
    """A real process, told by its pid; its evidence stays."""
    info = supervisor.start("sleeper", SleeperSpec())
    assert isinstance(info["pid"], int)
    assert not gone(info["pid"])
    assert supervisor.alive
    assert supervisor.held() == ("sleeper",)
    assert supervisor.touched("sleeper") == Touched(1, 1, detail="one process")

    assert supervisor.stop("sleeper") == supervisor.stop("sleeper") == Touched(1, 1, detail="one process")
    assert gone(info["pid"])
    assert supervisor.held() == ()


def test_info_and_evidence_arrive_whole(supervisor: Supervisor) -> None:
    """Texts, numbers and times; the process is another one, and does not run the user's site."""
    info = supervisor.start("note", NoteSpec("", "n"))
    assert info == {"name": "n", "ratio": 0.5, "pid": supervisor.pid, "site": 0}
    assert supervisor.touched("note") == Touched(1, 0, 0.25, None, "noted")
    assert supervisor.start("copy", CopySpec("note")) == {"kind": "NoteEffect"}


def test_what_an_effect_refuses_is_told_in_its_own_words(supervisor: Supervisor) -> None:
    """And what breaks in one, by name; the traceback is kept."""
    text = refusal(lambda: supervisor.start("refused", NoteSpec("", start="refuse")))
    assert text == "port must be free, not 80. Name another one."
    text = refusal(lambda: supervisor.start("broken", NoteSpec("", start="break")))
    assert text == "OSError: [Errno 24] Too many open files"
    assert supervisor.held() == ()
    assert 'raise OSError(24, "Too many open files")' in supervisor.troubles[0]


def test_a_spec_that_the_supervisor_does_not_know_is_refused(supervisor: Supervisor) -> None:
    """So is one that is too long to be sent in one piece."""
    assert "Start.spec must be one of: SleeperSpec, " in refusal(lambda: supervisor.start("a", Touched()))
    text = refusal(lambda: supervisor.start("b", NoteSpec("x" * 20_000)))
    assert text.startswith("What describes a fault must be 16,384 bytes at most, not 20")


def test_a_start_that_takes_too_long_is_given_up(supervisor: Supervisor) -> None:
    """With a clear error; a stop then undoes it."""
    text = refusal(lambda: supervisor.start("slow", NoteSpec("", start="hang"), timeout=0.5))
    assert text.startswith(f"The supervisor (pid {supervisor.pid}) did not answer within 0.5 s: Start(")
    assert supervisor.held() == ("slow",)
    supervisor.stop("slow")
    assert supervisor.held() == ()


def test_many_threads_ask_at_once(supervisor: Supervisor) -> None:
    """There is one supervisor, and each thread has its own answers."""

    def cycle(number: int) -> None:
        name = f"note-{number}"
        assert supervisor.start(name, NoteSpec("", name))["name"] == name
        assert supervisor.touched(name).fired == 0
        assert supervisor.stop(name).fired == 1

    before = children()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cycle, range(64)))
    assert supervisor.held() == ()
    assert len(children() - before) == 1


def test_it_works_while_no_descriptor_is_left(supervisor: Supervisor) -> None:
    """Requests need none; the supervisor has its own."""
    supervisor.start("first", NoteSpec(""))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as exhausted:
            os.dup(0)
        info = supervisor.start("port", ListenSpec())
        evidence = supervisor.stop("first")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert exhausted.value.errno == errno.EMFILE
    assert evidence.fired == 1
    socket.create_connection((str(info["host"]), int(info["port"]))).close()


def test_it_cannot_start_without_descriptors() -> None:
    """The error says so, and a later try works."""
    supervisor = Supervisor(launcher=LAUNCHER)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        text = refusal(lambda: supervisor.start("a", NoteSpec("")))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert text == "The supervisor of faults cannot be started: [Errno 24] Too many open files."
    supervisor.start("b", NoteSpec(""))
    supervisor.close()


def test_a_death_is_told_with_what_was_lost() -> None:
    """To the callback at once, and to each who asks for what was lost; a new effect gets a new supervisor."""
    deaths: list[Death] = []
    supervisor = Supervisor(on_death=deaths.append, launcher=LAUNCHER)
    supervisor.start("one", NoteSpec("", "1"))
    supervisor.start("two", NoteSpec("", "2"))
    supervisor.start("over", NoteSpec("", "3"))
    supervisor.stop("over")
    pid = pid_of(supervisor)
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: deaths)

    told = f"The supervisor of faults (pid {pid}) was killed by SIGKILL and lost: one, two. Inject again."
    assert deaths == [Death(told, {"one": NoteSpec("", "1"), "two": NoteSpec("", "2")})]
    assert not supervisor.alive
    assert refusal(lambda: supervisor.touched("one")) == told
    assert refusal(lambda: supervisor.stop("one")) == told
    assert supervisor.stop("one") == supervisor.stop("over") == Touched()
    assert supervisor.held() == ()

    supervisor.start("three", NoteSpec(""))
    assert supervisor.held() == ("three",)
    assert supervisor.pid != pid
    assert refusal(lambda: supervisor.touched("two")) == told
    supervisor.close()
    assert len(deaths) == 1


def test_who_waits_when_it_dies_is_told() -> None:
    """Rather than at the end of a time-out."""
    supervisor = Supervisor(launcher=LAUNCHER)
    supervisor.start("a", NoteSpec(""))
    pid = pid_of(supervisor)
    threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
    text = refusal(lambda: supervisor.start("slow", NoteSpec("", start="hang"), timeout=60))
    assert "was killed by SIGKILL and lost: a, slow." in text
    supervisor.close()


def test_children_that_a_dead_supervisor_left_are_killed() -> None:
    """Those of its own session: nobody else would end them."""
    deaths: list[Death] = []
    supervisor = Supervisor(on_death=deaths.append, launcher=LAUNCHER)
    info = supervisor.start("sleeper", SleeperSpec())
    os.kill(pid_of(supervisor), signal.SIGKILL)
    assert until(lambda: deaths)
    assert until(lambda: gone(int(info["pid"])))


def test_a_callback_that_fails_is_kept_as_trouble() -> None:
    """It has nobody to raise to."""

    def fail(death: Death) -> None:
        raise ValueError(death.reason)

    supervisor = Supervisor(on_death=fail, launcher=LAUNCHER)
    supervisor.start("a", NoteSpec(""))
    os.kill(pid_of(supervisor), signal.SIGKILL)
    assert until(lambda: supervisor.troubles)
    assert supervisor.troubles[-1].startswith("on_death: ValueError: The supervisor of faults (pid ")


def test_what_breaks_at_its_start_is_told() -> None:
    """Here the module with the effects is missing."""
    supervisor = Supervisor(launcher=Launcher(kinds="no_such_module"))
    text = refusal(lambda: supervisor.start("a", NoteSpec("")))
    assert "ended with code 1 and lost: a." in text
    assert "ModuleNotFoundError: No module named 'no_such_module'" in text


def test_close_undoes_everything_and_leaves_nothing() -> None:
    """No process, no thread, no descriptor; and nothing can start any more."""
    before = (children(), _thread._count(), descriptors())
    supervisor = Supervisor(launcher=LAUNCHER)
    info = supervisor.start("sleeper", SleeperSpec())
    pid = pid_of(supervisor)
    supervisor.close()
    assert gone(int(info["pid"]))
    assert not psutil.pid_exists(pid)
    assert until(lambda: (children(), _thread._count(), descriptors()) == before)
    supervisor.close()
    assert (supervisor.alive, supervisor.held(), supervisor.stop("sleeper")) == (False, (), Touched())
    text = refusal(lambda: supervisor.start("late", SleeperSpec()))
    assert text == "The supervisor of faults is closed: nothing can be injected any more."


def test_close_before_the_start_is_a_no() -> None:
    """Nothing starts later."""
    supervisor = Supervisor(launcher=LAUNCHER)
    supervisor.close()
    assert "is closed" in refusal(lambda: supervisor.start("a", SleeperSpec()))
    assert not supervisor.alive


@pytest.mark.parametrize("way", ["hang", "block"])
def test_close_goes_past_an_effect_that_does_not_stop(way: Way, tmp_path: Path) -> None:
    """Whether it waits or blocks the whole process: the others are undone."""
    notes = tmp_path / "notes"
    supervisor = Supervisor(launcher=LAUNCHER)
    why = {"hang": "It ", "block": "Blo"}
    stops: dict[str, Way] = {"one": "", "bad": way, "two": ""}
    for name, stop in stops.items():
        supervisor.start(name, NoteSpec(str(notes), name, stop=stop))
    pid = pid_of(supervisor)
    supervisor.close()
    assert [line for line in notes.read_text().split("\n") if "stops" in line] == ["two stops", "one stops"]
    assert not psutil.pid_exists(pid)
    assert [text[:36] for text in supervisor.troubles] == ["'bad' was not undone at the end. " + why[way]]


def test_close_breaks_into_an_effect_that_blocks(tmp_path: Path) -> None:
    """Here the supervisor hears of nothing any more, because a start blocks it."""
    notes = tmp_path / "notes"
    supervisor = Supervisor(launcher=LAUNCHER)
    supervisor.start("one", NoteSpec(str(notes), "one"))
    assert "did not answer" in refusal(
        lambda: supervisor.start("bad", NoteSpec("", start="block"), timeout=0.3)
    )
    supervisor.close()
    assert notes.read_text() == "one starts\none stops\n"


def test_a_supervisor_that_does_not_react_is_killed() -> None:
    """A stopped process hears nothing."""
    supervisor = Supervisor(launcher=LAUNCHER)
    supervisor.start("a", NoteSpec(""))
    pid = pid_of(supervisor)
    os.kill(pid, signal.SIGSTOP)
    supervisor.close()
    assert not psutil.pid_exists(pid)


def test_importing_the_client_is_cheap() -> None:
    """What the supervisor needs, and what imports slowly, stays out of the test process."""
    code = "import sys, pytest_resilience.chaos.supervisor.client; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    names = set(printed.split())
    assert "pytest_resilience.chaos.supervisor.client" in names
    assert names.isdisjoint({"asyncio", "psutil", "ctypes", "pytest_resilience.chaos.supervisor.kinds"})
