"""`pytest --resilience-cleanup`: what killed runs have left is found and removed, and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from leftovers import listens, state, words
from plugin_soaks import NO_MEMORY, Finished, Project, finish, run, running
from polling import until

from pytest_resilience.chaos.leftovers import clean
from pytest_resilience.chaos.supervisor.codec import encode
from pytest_resilience.chaos.supervisor.identity import here, identify
from pytest_resilience.chaos.supervisor.notebook import Noted, Notes, read_notes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stops and kills processes as Linux has them")

DEADLINE = 30
CONFTEST = """
import os
import socket
import threading
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def database():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()

@pytest.fixture(scope="session")
def resilience_services(database):
    pid = int(os.environ["SERVICE_PID"])
    return [Service("database", endpoint=database), Service("worker", process=pid)]
"""
TEST = """
import pathlib
import time
import pytest

@pytest.fixture(scope="session")
def address(service_address):
    pathlib.Path("port").write_text(str(service_address("database").port))

@pytest.mark.soak
def test_uses_all(address, resilience_disk):
    (resilience_disk / "file").write_bytes(b"x")
    time.sleep(0.01)
"""
INI = (
    f"{NO_MEMORY}resilience_scenarios =\n    provider_timeout\n    cpu_saturation\n"
    "resilience_auto_recovery = false\nresilience_intensity = extreme\n"
    "soak_phases =\n    BASELINE_ESTABLISHMENT = 0.2s\n    CHAOS_INJECTION = 50s\n"
    "    RECOVERY_VALIDATION = 0.1s\n"
)
SOAK = Project(
    ("--soak-duration=55s", "-p", "no:cacheprovider"), INI, {"conftest.py": CONFTEST, "test_shop.py": TEST}
)
CLEANUP = Project(("--resilience-cleanup",), files={"conftest.py": "", "test_shop.py": "assert False\n"})


@dataclass(frozen=True)
class World:
    """A soak under way, seen from outside: a stopped service, pressure, a proxy, a disk."""

    folder: Path
    tests: "subprocess.Popen[str]"
    service: int
    supervisor: psutil.Process
    children: dict[str, psutil.Process]

    @property
    def port(self) -> int:
        return int((self.folder / "port").read_text())

    @property
    def notes(self) -> list[Path]:
        return list((self.folder / ".resilience" / "outside").glob("*"))

    def kill_tests(self) -> None:
        self.tests.kill()
        self.tests.wait()

    def acts(self) -> dict[str, bool]:
        """Tell what is there."""
        folders = list((self.folder / "tmp").iterdir())
        return {
            "stopped service": state(self.service) == "T",
            "pressure": lives(self.children["burn"].pid),
            "proxy": lives(self.supervisor.pid) and listens(self.port),
            "folders": bool(folders),
            "mounts": str(self.folder) in Path("/proc/mounts").read_text(),
            "children": any(lives(child.pid) for child in self.children.values()),
        }


def lives(pid: int) -> bool:
    return state(pid) not in ("", "Z", "X")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A soak whose faults all act; at the end of the test it is gone."""
    folder = tmp_path / "shop"
    (folder / "tmp").mkdir(parents=True)
    with ExitStack() as undo:
        service = undo.enter_context(subprocess.Popen(["sleep", "600"]))
        undo.callback(service.kill)
        monkeypatch.setenv("SERVICE_PID", str(service.pid))
        monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
        tests = undo.enter_context(running(folder, SOAK))
        assert until(lambda: state(service.pid) == "T" and tests.poll() is None)
        (path,) = (folder / ".resilience" / "outside").glob("*.json")
        supervisor = psutil.Process(read_notes(path).supervisor.pid)
        undo.callback(kill, supervisor)
        undo.callback(clean, path.parent)
        undo.callback(tests.wait)
        undo.callback(tests.kill)
        assert until(lambda: "burn" in roles(supervisor))
        found = World(folder, tests, service.pid, supervisor, roles(supervisor))
        assert all(acting for what, acting in found.acts().items() if what != "mounts")
        yield found


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def roles(supervisor: psutil.Process) -> dict[str, psutil.Process]:
    """Return the supervisor's children by what they do."""
    return {words(child.pid)[5]: child for child in supervisor.children() if len(words(child.pid)) > 5}


def clean_up(folder: Path) -> Finished:
    """Run the command where a conftest or a test module would fail if tests were run."""
    return run(folder, CLEANUP)


def test_what_a_frozen_supervisor_holds_is_removed(world: World) -> None:
    """It was stopped before the test process was killed: it can undo nothing before the command lets it."""
    world.supervisor.suspend()
    world.kill_tests()
    acts = world.acts()
    assert all(acting for what, acting in acts.items() if what != "mounts"), acts
    cleaned = clean_up(world.folder)
    assert cleaned.code == 0, cleaned.output
    assert not any(world.acts().values()), cleaned.output
    assert f"ended the supervisor, process {world.supervisor.pid}" in cleaned.output
    assert "Nothing is left of runs that have ended." in cleaned.output
    assert world.notes == []


def test_what_a_killed_supervisor_held_is_removed(world: World) -> None:
    """It was stopped and killed, and so were the children that would have undone something."""
    for process in (world.supervisor, *world.children.values()):
        process.suspend()
    world.kill_tests()
    for role in ("wake", "disk", "folder"):
        world.children[role].kill()
    world.supervisor.kill()
    assert until(lambda: not lives(world.supervisor.pid))
    acts = world.acts()
    assert acts["stopped service"]
    assert acts["folders"]
    cleaned = clean_up(world.folder)
    assert cleaned.code == 0, cleaned.output
    assert not any(world.acts().values()), cleaned.output
    assert f"let go on: process {world.service} (sleep), which provider_timeout-" in cleaned.output
    assert world.notes == []
    again = clean_up(world.folder)
    assert (again.code, again.output.count("\n")) == (0, 2), again.output


def test_children_that_outlive_their_supervisor_are_ended(world: World) -> None:
    """Stopped, they do not see its end; the command line says whose they are."""
    for role in ("wake", "disk", "folder"):
        world.children[role].suspend()
    world.supervisor.suspend()
    world.kill_tests()
    world.supervisor.kill()
    assert until(lambda: not lives(world.supervisor.pid))
    assert lives(world.children["wake"].pid)
    cleaned = clean_up(world.folder)
    assert cleaned.code == 0, cleaned.output
    assert not any(world.acts().values()), cleaned.output


def test_a_run_that_is_alive_is_left_alone(world: World) -> None:
    """It goes on, and undoes its faults by itself."""
    cleaned = clean_up_beside(world.folder)
    assert cleaned.code == 0, cleaned.output
    end = f"is alive. End it first: kill {world.tests.pid}"
    assert f"Left alone: the run of process {world.tests.pid}" in cleaned.output
    assert end in cleaned.output
    assert all(acting for what, acting in world.acts().items() if what != "mounts")
    world.tests.send_signal(signal.SIGTERM)
    ended = finish(world.folder, world.tests)
    assert ended.code == 2, ended.output
    assert until(lambda: not any(world.acts().values()))
    assert world.notes == []


def clean_up_beside(folder: Path) -> Finished:
    """Run the command for the runs in a folder without touching the files of the run under way."""
    arguments = ("--resilience-cleanup", f"--resilience-dir={folder / '.resilience'}")
    return run(folder.parent / "empty", Project(arguments, files={"conftest.py": "", "test_shop.py": ""}))


# Notes that are written by the test


@contextmanager
def sleeping() -> Iterator[psutil.Process]:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def dead_run() -> Notes:
    """Return notes of processes that have ended."""
    with sleeping() as tests, sleeping() as supervisor:
        served, own = identify(tests.pid), identify(supervisor.pid)
    assert served is not None
    assert own is not None
    return Notes(here(), served, own)


def note(folder: Path, notes: Notes) -> Path:
    path = folder / ".resilience" / "outside" / "1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(encode(notes)))
    return path


def test_another_process_with_the_number_is_never_touched(tmp_path: Path) -> None:
    """Neither a stopped one, nor one with the supervisor's number: they began at another time."""
    with sleeping() as stopped, sleeping() as other:
        stopped.suspend()
        assert until(lambda: state(stopped.pid) == "T")
        recycled, supervisor = identify(stopped.pid), identify(other.pid)
        assert recycled is not None
        assert supervisor is not None
        effect = Noted("1 process_pause-1", replace(recycled, started=recycled.started - 1))
        old = replace(supervisor, started=supervisor.started - 1)
        path = note(tmp_path, replace(dead_run(), supervisor=old, effects=(effect,)))
        cleaned = clean_up(tmp_path)
        assert cleaned.code == 0, cleaned.output
        assert "nothing was left of it" in cleaned.output
        assert state(stopped.pid) == "T"
        assert lives(other.pid)
    assert not path.exists()


def test_a_supervisor_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """It ignores SIGTERM, and so does its child; the process that it had stopped goes on."""
    deaf = ["bash", "-c", "trap '' TERM; sleep 600 & wait; sleep 600"]
    with sleeping() as stopped, subprocess.Popen(deaf) as process:
        try:
            stopped.suspend()
            assert until(lambda: state(stopped.pid) == "T")
            assert until(lambda: bool(psutil.Process(process.pid).children()))
            (child,) = psutil.Process(process.pid).children()
            supervisor, victim = identify(process.pid), identify(stopped.pid)
            assert supervisor is not None
            notes = replace(dead_run(), supervisor=supervisor, effects=(Noted("7 process_pause-1", victim),))
            note(tmp_path, notes)
            cleaned = clean_up(tmp_path)
            assert cleaned.code == 0, cleaned.output
            assert not lives(process.pid)
            assert not lives(child.pid)
            assert state(stopped.pid) != "T"
        finally:
            process.kill()
    assert f"ended the supervisor, process {supervisor}, which held: process_pause-1" in cleaned.output
    assert f"ended its child, process {child.pid} (sleep)" in cleaned.output
    assert f"let go on: process {victim}, which process_pause-1 had stopped" in cleaned.output


@pytest.mark.parametrize(
    ("place", "code", "text"),
    [
        (
            replace(here(), host="elsewhere"),
            0,
            "Left alone: a run on another machine or in another container",
        ),
        (
            replace(here(), namespace="pid:[1]"),
            0,
            "Left alone: a run on another machine or in another container",
        ),
        (replace(here(), user=os.geteuid() + 1), 1, "Clean up as that user."),
        (replace(here(), boot="an earlier one"), 0, "nothing was left of it"),
    ],
)
def test_only_processes_of_this_machine_and_user_are_touched(
    tmp_path: Path, place: object, code: int, text: str
) -> None:
    """Numbers mean nothing elsewhere; after a reboot, only files can be left."""
    with sleeping() as stopped:
        stopped.suspend()
        assert until(lambda: state(stopped.pid) == "T")
        notes = replace(dead_run(), effects=(Noted("1 a", identify(stopped.pid)),))
        path = note(tmp_path, replace(notes, place=place))  # type: ignore[arg-type]
        cleaned = clean_up(tmp_path)
        assert (cleaned.code, state(stopped.pid)) == (code, "T"), cleaned.output
    assert text in cleaned.output
    assert path.exists() is not text.startswith("nothing")


def test_a_killed_service_is_told(tmp_path: Path) -> None:
    """The command that restarts it is the user's: it is shown, not run."""
    victim = dead_run().tests
    effect = Noted("1 process_kill-1", victim, ("touch", str(tmp_path / "restarted")))
    note(tmp_path, replace(dead_run(), effects=(effect,)))
    cleaned = clean_up(tmp_path)
    assert cleaned.code == 1
    assert (
        f"process_kill-1 had killed process {victim}, which was not restarted. Run: touch" in cleaned.output
    )
    assert not (tmp_path / "restarted").exists()


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", '{"Notes": {}}'])
def test_notes_that_cannot_be_read_are_named(tmp_path: Path, text: str) -> None:
    """What they are about nobody knows: exit 1."""
    path = note(tmp_path, dead_run())
    path.write_text(text)
    cleaned = clean_up(tmp_path)
    assert cleaned.code == 1
    assert f"{path} cannot be read: " in cleaned.output
    assert "Traceback" not in cleaned.output


def test_only_folders_of_ours_are_removed(tmp_path: Path) -> None:
    """A noted path is no licence to remove what it names."""
    precious, ours = tmp_path / "precious", tmp_path / "pytest-resilience-1-ab"
    link = tmp_path / "pytest-resilience-2-ab"
    for folder in (precious, ours):
        folder.mkdir()
        (folder / "socket").touch()
    link.symlink_to(precious)
    paths = (precious, ours / "socket", link)
    effects = tuple(Noted(f"{number} a", path=str(path)) for number, path in enumerate(paths))
    note(tmp_path, replace(dead_run(), effects=effects))
    cleaned = clean_up(tmp_path)
    assert cleaned.code == 0, cleaned.output
    assert (precious / "socket").exists()
    assert not ours.exists()


def test_the_command_needs_no_project(tmp_path: Path) -> None:
    """No folder of tests, no earlier run; and it takes no soak beside it."""
    command = [*Project(("--resilience-cleanup",)).command]
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=CLEANUP.environment)
    assert alone.returncode == 0, alone.stdout
    assert alone.stdout.splitlines()[-1] == "Nothing is left of runs that have ended."
    assert list(tmp_path.iterdir()) == []
    both = run(tmp_path / "both", Project(("--resilience-cleanup", "--soak-hours=1")))
    assert both.code == 4
    assert "--resilience-cleanup runs no test. Leave out --soak-hours" in both.output


def test_a_run_without_faults_outside_writes_nothing(tmp_path: Path) -> None:
    """And one that ends in order leaves no notes."""
    test = """
def test_calls(chaos):
    import os
    with chaos.inject("valuation_exception", "bare", errors=[OSError], must_fire=False):
        pass
"""
    conftest = """
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def resilience_services():
    return [Service("bare", calls=["os:getcwd"])]
"""
    outside = (
        test
        + """
def test_outside(chaos, pytestconfig):
    with chaos.inject("cpu_saturation", load=0.1, must_fire=False):
        assert list((pytestconfig.rootpath / ".resilience" / "outside").iterdir())
"""
    )
    for name, text in {"calls": test, "outside": outside}.items():
        done = run(tmp_path / name, Project((), "", {"conftest.py": conftest, "test_shop.py": text}))
        assert done.code == 0, done.output
        assert not (done.folder / ".resilience").exists()


def test_faults_act_where_no_notes_can_be_written(tmp_path: Path) -> None:
    """A file stands in the way: the fault acts and goes as ever, and the user is told."""
    test = """
def test_outside(chaos):
    with chaos.inject("cpu_saturation", load=0.1, must_fire=False):
        pass
"""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / ".resilience").write_text("in the way")
    done = run(folder, Project((), "", {"conftest.py": "", "test_shop.py": test}))
    assert done.code == 0, done.output
    assert f"resilience: {folder / '.resilience' / 'outside'}" in done.output
    assert "cannot be written: " in done.output


def test_workers_leave_no_folder_behind(tmp_path: Path) -> None:
    """Each has a supervisor of its own; whichever ends last removes what they shared."""
    test = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_outside(chaos, number):
    with chaos.inject("cpu_saturation", load=0.1, must_fire=False):
        pass
"""
    files = {"conftest.py": "", "test_shop.py": test}
    done = run(tmp_path / "shop", Project(("-n2",), "", files, ("xdist.plugin",)))
    assert done.code == 0, done.output
    deadline = time.monotonic() + DEADLINE
    while (done.folder / ".resilience").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
