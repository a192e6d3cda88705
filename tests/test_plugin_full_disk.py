"""A disk that is really full: the run ends as PARTIAL with what was stored, without faults, and can go on."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from plugin_soaks import NO_MEMORY, Finished, Project, run

from pytest_resilience.soak.criteria import CRITERIA
from pytest_resilience.store.layout import latest_folder
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

DISK_KIB = 3072
MOUNT = """
set -e
mount -t tmpfs -o size={size}k tmpfs .resilience
code=0
{command} || code=$?
rm -f .resilience/hog
cp -a .resilience/. kept
exit $code
"""
HOG = """
import os
import pathlib
import time

import pytest
import shop

STARTED = time.monotonic()
HOG = pathlib.Path(".resilience/hog")

@pytest.mark.soak
def test_quote():
    assert shop.quote("game-1") > 0
    if time.monotonic() - STARTED > 4 and {fill}:
        with HOG.open("ab", 0) as hog:
            try:
                while True:
                    hog.write(bytes(4096))
            except OSError:
                pass
"""
ONCE = "not HOG.exists()"
AGAIN_AND_AGAIN = "True"
INI = (
    f"{NO_MEMORY}soak_phases =\n    BASELINE_ESTABLISHMENT = 1s\n    CHAOS_INJECTION = 50s\n"
    "    RECOVERY_VALIDATION = 1s\nresilience_scenarios =\n    latency_spike\n    valuation_exception\n"
)


def namespace() -> list[str]:
    """Return the command that gives a process mounts of its own."""
    unshare = shutil.which("unshare")
    command = [str(unshare), "-m"] if os.geteuid() == 0 else [str(unshare), "-Urm"]
    mount = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if unshare is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("No file system can be mounted here.")
    return command


@dataclass(frozen=True)
class Full:
    """How a run ended whose disk was full, and its record."""

    finished: Finished
    data: RunData


def run_on_a_small_disk(folder: Path, fill: str) -> Full:
    """Soak on a file system of 3 MiB that the suite itself fills after four seconds."""
    project = Project(
        ("--soak-duration=55s", "--resilience-seed=5"), INI, {"test_shop.py": HOG.format(fill=fill)}
    )
    project.write(folder)
    (folder / ".resilience").mkdir()
    (folder / "kept").mkdir()
    script = MOUNT.format(size=DISK_KIB, command=" ".join(project.command))
    done = subprocess.run(
        [*namespace(), "sh", "-c", script],
        cwd=folder,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    shutil.rmtree(folder / ".resilience")
    (folder / "kept").rename(folder / ".resilience")
    found = latest_folder(folder / ".resilience")
    assert found is not None, done.stdout
    return Full(Finished(folder, done.returncode, done.stdout + done.stderr), read(found.database))


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Full:
    """The disk runs full, and stays as it is."""
    return run_on_a_small_disk(tmp_path_factory.mktemp("once"), ONCE)


def test_a_run_on_a_full_disk_ends_as_partial_and_says_so(filled_once: Full) -> None:
    """Long before its time, with the reason, its report and its verdicts: room for these was kept."""
    finished, data = filled_once.finished, filled_once.data
    assert finished.code == 1, finished.output
    assert "INTERNALERROR" not in finished.output
    reason = f"stopped: there is no space left for {finished.folder}/.resilience/"
    assert f"The run was {reason}" in finished.output
    assert data.run.status == "interrupted"
    assert data.run.reason.startswith(reason)
    assert data.run.reason.endswith("Free space, or choose another --resilience-dir.")
    assert finished.report["overall_result"] == "PARTIAL"
    assert data.elapsed < 40
    assert len(data.verdicts) == len(CRITERIA)


def test_what_was_stored_is_whole(filled_once: Full) -> None:
    """The counts go up to the end, and what was under way is cut, not lost."""
    finished, data = filled_once.finished, filled_once.data
    assert sum(one.iterations for one in data.tallies) == finished.report["iterations"] > 100
    assert any(one.fired for one in data.events)
    chaos = data.phase("CHAOS_INJECTION")
    assert chaos is not None
    assert chaos.status == "cut"


def test_faults_are_gone_before_the_suite_is_torn_down(filled_once: Full) -> None:
    """Every event has its removal, and the session's fixtures meet untouched code."""
    assert all(one.removed_at is not None for one in filled_once.data.events)
    assert filled_once.finished.torn_down == "untouched"


def test_a_run_on_a_full_disk_goes_on_once_there_is_space(filled_once: Full, tmp_path: Path) -> None:
    """Nothing of it is lost: it is resumed as any other."""
    folder = shutil.copytree(filled_once.finished.folder, tmp_path / "again", symlinks=True)
    (folder / "pytest.ini").write_text(f"[pytest]\n{INI}")
    short = Project(
        ("--soak-resume", "-p", "stopper"),
        INI,
        {"test_shop.py": HOG.format(fill="False"), "stopper.py": STOPPER},
    )
    resumed = run(folder, short)
    assert resumed.report["iterations"] > filled_once.finished.report["iterations"], resumed.output
    assert [one["number"] for one in resumed.report["attempts"]] == [1, 2]


STOPPER = """
import time
import pytest

STARTED = time.monotonic()

def pytest_runtest_teardown(item):
    if time.monotonic() - STARTED > 3:
        item.session.shouldstop = "enough"
"""


def test_where_not_a_byte_can_be_written_the_terminal_has_the_report(tmp_path: Path) -> None:
    """The suite takes the space that was kept, too: then the record ends there, and what it has is shown."""
    full = run_on_a_small_disk(tmp_path, AGAIN_AND_AGAIN)
    finished = full.finished
    assert finished.code == 1, finished.output
    assert "INTERNALERROR" not in finished.output
    assert "PARTIAL: " in finished.output
    assert "The run was stopped: " in finished.output
    assert finished.torn_down == "untouched"
    assert full.data.run.test_id in finished.output
    assert sum(one.iterations for one in full.data.tallies) > 100
    again = run(tmp_path, Project(("--soak-report=latest",), INI))
    assert (again.code, again.report["overall_result"]) == (1, "PARTIAL"), sys.version
