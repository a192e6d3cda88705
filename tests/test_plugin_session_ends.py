"""Whatever ends the session ends the soak: faults first, then a partial report, and pytest's exit code."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from leftovers import state
from plugin_soaks import AT_ONCE, CONFTEST, NO_CHAOS, NO_MEMORY, Finished, Project, run, running

from pytest_resilience.store.reader import read

LONG_CHAOS = (
    f"{NO_MEMORY}resilience_scenarios = valuation_exception\n"
    "resilience_criteria =\n    injection_seconds < 9\n"
    "soak_phases =\n    BASELINE_ESTABLISHMENT = 0.2s\n    CHAOS_INJECTION = 50s\n"
    "    RECOVERY_VALIDATION = 0.1s\n"
)
CALM = f"{NO_MEMORY}{NO_CHAOS}soak_phases = BASELINE_ESTABLISHMENT = 0.2s\n"
ARGUMENTS = ("--soak-duration=55s", "--junitxml=junit.xml")
FIRED = """
import time
import pytest
import shop

def fired():
    return shop.quote("game-1") == 1.0
"""
EXITS_IN_TEST = f"""{FIRED}
@pytest.mark.soak
def test_exits():
    if fired():
        pytest.exit("enough", returncode=7)
"""
EXITS_IN_FIXTURE = f"""{FIRED}
@pytest.fixture
def picky():
    if fired():
        pytest.exit("enough")

@pytest.mark.soak
def test_exits(picky):
    pass
"""
EXITS_IN_FINALIZER = f"""{FIRED}
@pytest.fixture
def picky():
    yield
    if fired():
        pytest.exit("enough", returncode=9)

@pytest.mark.soak
def test_exits(picky):
    pass
"""
EXITS_IN_SETUP_HOOK = f"""{CONFTEST}
def pytest_runtest_setup(item):
    import shop
    if shop.quote("game-1") == 1.0:
        pytest.exit("enough", returncode=8)
"""
EXITS_IN_EVENT_HOOK = f"""{CONFTEST}
def pytest_resilience_event(event, change):
    if change == "fired":
        pytest.exit("enough", returncode=11)
"""
EXITS_IN_TEARDOWN = (
    CONFTEST
    + """
@pytest.fixture(scope="session", autouse=True)
def picky(world):
    yield
    pytest.exit("enough", returncode=12)
"""
)
FAILS_LATE = """
import time
import pytest
import shop

began = time.monotonic()

@pytest.mark.soak
def test_bad():
    assert shop.quote("game-1") > 0
    assert time.monotonic() - began < 1
"""
FAILS_UNDER_FAULTS = """
import pytest
import shop

@pytest.mark.soak
def test_fetch():
    assert shop.fetch("game-1") > 0
"""
FAILS_AT_ONCE = """
import pytest

@pytest.mark.soak
def test_bad():
    assert False
"""
HANGS_UNDER_A_FAULT = f"""{FIRED}
hung = []

@pytest.mark.soak
def test_hangs():
    if fired() and not hung:
        hung.append(1)
        time.sleep(60)
"""
TIMEOUT = ("pytest_timeout",)


@dataclass(frozen=True)
class Case:
    """What ends a soak, and how it must end."""

    code: int
    reason: str
    files: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    ini: str = LONG_CHAOS
    faults: bool = True
    result: str = "PARTIAL"
    plugins: tuple[str, ...] = ()


CASES = {
    "exit in a test": Case(7, "stopped: enough", {"test_shop.py": EXITS_IN_TEST}),
    "exit in a fixture": Case(2, "stopped: enough", {"test_shop.py": EXITS_IN_FIXTURE}),
    "exit in a finalizer": Case(9, "stopped: enough", {"test_shop.py": EXITS_IN_FINALIZER}),
    "exit in a hook of pytest": Case(8, "stopped: enough", {"conftest.py": EXITS_IN_SETUP_HOOK}),
    "exit in a hook of ours": Case(11, "stopped: enough", {"conftest.py": EXITS_IN_EVENT_HOOK}),
    "exit in the last teardown": Case(
        12,
        "",
        {"conftest.py": EXITS_IN_TEARDOWN},
        ("--soak-duration=1s",),
        CALM,
        faults=False,
    ),
    "-x": Case(
        1,
        "stopped: stopping after 1 failure outside faults",
        {"test_shop.py": FAILS_LATE},
        ("-x",),
        CALM,
        faults=False,
        result="FAILED",
    ),
    "--maxfail": Case(
        1,
        "stopped: stopping after 3 failures outside faults",
        {"test_shop.py": FAILS_LATE},
        ("--maxfail=3",),
        CALM,
        faults=False,
        result="FAILED",
    ),
    "-x, failing at once": Case(
        1,
        "test_shop.py::test_bad fails at once: nothing can be said about the resilience of a broken suite",
        {"test_shop.py": FAILS_AT_ONCE},
        ("-x",),
        CALM,
        faults=False,
        result="FAILED",
    ),
    "--session-timeout": Case(
        1,
        "stopped: session-timeout: 4.0 sec exceeded",
        {},
        ("--session-timeout=4",),
        plugins=TIMEOUT,
    ),
}


def end(folder: Path, case: Case) -> Finished:
    return run(folder, Project((*ARGUMENTS, *case.arguments), case.ini, case.files, case.plugins))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, "Future[Finished]"]]:
    """Every run, side by side."""
    root = tmp_path_factory.mktemp("ends")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(end, root / f"case{number}", case)
            for number, (name, case) in enumerate(CASES.items())
        }


@pytest.mark.parametrize("name", CASES)
def test_the_soak_ends_with_a_report_and_without_faults(
    runs: Mapping[str, "Future[Finished]"], name: str
) -> None:
    """The exit code is pytest's; no fault is left when fixtures are torn down; all reports are written."""
    ended, case = runs[name].result(), CASES[name]
    assert ended.code == case.code, ended.output
    assert ended.torn_down == "untouched"
    assert "INTERNALERROR" not in ended.output
    assert "= resilience =" in ended.output
    assert ended.report["reason"] == case.reason
    assert ended.report["overall_result"] == case.result or case.faults is False
    assert any(event["fired"] for event in ended.report["events"]) is case.faults
    assert all(event["removed_at"] is not None for event in ended.report["events"])
    assert "overall_result" in (ended.folder / "junit.xml").read_text()


@pytest.mark.parametrize(("name", "failures"), [("-x", 1), ("--maxfail", 3)])
def test_maxfail_counts_failures_of_iterations(
    runs: Mapping[str, "Future[Finished]"], name: str, failures: int
) -> None:
    """The run ends right after the last of them, and pytest says so."""
    ended = runs[name].result()
    assert ended.tests["test_bad"]["failures"] == failures
    assert f"! {CASES[name].reason.removeprefix('stopped: ')} !" in ended.output


def test_maxfail_ignores_failures_under_faults(tmp_path: Path) -> None:
    """They are what the faults are for; nor do criteria that are unmet count."""
    under = Project(
        ("--soak-duration=6s", "-x"),
        LONG_CHAOS.replace("50s", "4s"),
        {"test_shop.py": FAILS_UNDER_FAULTS},
    )
    ended = run(tmp_path / "shop", under)
    assert ended.report["status"] == "complete", ended.output
    assert ended.tests["test_fetch"]["failures"] > 1
    assert "stopping after" not in ended.output


UNWATCHED = (
    "--soak-duration=55s",
    "--soak-iteration-timeout=0",
    "--timeout=3",
    "--timeout-method=thread",
)


@pytest.mark.parametrize("func_only", ["true", "false"])
@pytest.mark.parametrize(
    ("method", "told"), [("signal", "Timeout"), ("thread", "it took longer than its own timeout (1.0s)")]
)
def test_a_timeout_fails_an_iteration(tmp_path: Path, method: str, told: str, func_only: str) -> None:
    """The soak goes on: the failure belongs to the fault that made the test hang."""
    hangs = Project(
        ("--soak-duration=8s", "--timeout=1", f"--timeout-method={method}"),
        f"timeout_func_only = {func_only}\n{LONG_CHAOS.replace('50s', '5s')}",
        {"test_shop.py": HANGS_UNDER_A_FAULT},
        TIMEOUT,
    )
    ended = run(tmp_path / "shop", hangs)
    assert ended.report["status"] == "complete", ended.output
    row = ended.tests["test_hangs"]
    assert (row["failures"], row["failures_in_faults"]) == (1, 1)
    assert any(told in failure["text"] for failure in ended.report["failures"])


def test_without_the_watchdog_a_timeout_by_thread_ends_the_process(
    tmp_path: Path,
) -> None:
    """pytest-timeout calls os._exit: no report is written, but run.db has all but the last second."""
    hangs = Project(
        UNWATCHED,
        LONG_CHAOS.replace("BASELINE_ESTABLISHMENT = 0.2s", "BASELINE_ESTABLISHMENT = 1.5s"),
        {"test_shop.py": HANGS_UNDER_A_FAULT},
        TIMEOUT,
    )
    folder = tmp_path / "shop"
    with running(folder, hangs) as process:
        output, _ = process.communicate(timeout=60)
    ended = Finished(folder, process.returncode, output)
    assert ended.code == 1
    assert "Stack of MainThread" in output
    assert not ended.run.report_json.exists()
    data = read(ended.run.database)
    assert sum(tally.iterations for tally in data.tallies) > 100
    assert data.events


def test_faults_outside_are_gone_after_a_timeout_by_thread(tmp_path: Path) -> None:
    """The supervisor undoes them: what it had stopped goes on, and nobody listens any more."""
    folder = tmp_path / "shop"
    files = {"conftest.py": PAUSED_WORLD, "test_shop.py": HANGS_WHILE_PAUSED}
    ini = LONG_CHAOS.replace("valuation_exception", "provider_timeout")
    hangs = Project(UNWATCHED, ini, files, TIMEOUT)
    ended = run(folder, hangs)
    assert ended.code == 1, ended.output
    assert (folder / "stopped").exists()
    deadline = time.monotonic() + 10
    while state(int((folder / "server").read_text())) == "T":
        assert time.monotonic() < deadline
        time.sleep(0.02)


PAUSED_WORLD = """
import subprocess
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def resilience_services(pytestconfig):
    server = subprocess.Popen(["sleep", "90"])
    (pytestconfig.rootpath / "server").write_text(str(server.pid))
    return [Service("server", process=server)]
"""
HANGS_WHILE_PAUSED = """
import pathlib
import time
import psutil
import pytest

@pytest.mark.soak
def test_hangs():
    server = psutil.Process(int(pathlib.Path("server").read_text()))
    if server.status() == psutil.STATUS_STOPPED:
        pathlib.Path("stopped").touch()
        time.sleep(60)
"""
