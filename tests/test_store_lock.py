"""One writer per run, and room for its end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_resilience.errors import StoreError
from pytest_resilience.store.lock import RunLock
from pytest_resilience.store.records import Run
from pytest_resilience.store.reserve import RESERVE_BYTES, Reserve
from pytest_resilience.store.run_store import RESERVE, RunStore

RUN = Run("resilience_test_1", "2025-01-02T03:04:05Z", 7, "medium", 60.0, "pytest", "{}", "{}")

HOLDER = """
import os, sys, time
from pathlib import Path
from pytest_resilience.store.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.take()
if os.fork() == 0:
    os.close(1)
    time.sleep(60)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_the_lock_goes_with_its_process_not_with_its_children(tmp_path: Path) -> None:
    """While the process lives nobody else has the lock; a child that it forked does not keep it."""
    path = tmp_path / "run" / "run.lock"
    path.parent.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, start_new_session=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            with pytest.raises(StoreError) as told:
                RunLock(path).take()
            assert str(told.value) == (
                f"run is not over: process {holder.pid} is running it. Wait for its end, or end it."
            )
            holder.kill()
            holder.wait()
            with RunLock(path):
                assert path.read_text() == f"{os.getpid()}\n"
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    assert not path.exists()


def test_releasing_twice_is_releasing_once(tmp_path: Path) -> None:
    """And what was never taken can be released."""
    lock = RunLock(tmp_path / "run.lock")
    lock.release()
    lock.take()
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_place_without_a_folder_is_told(tmp_path: Path) -> None:
    """With the fix."""
    with pytest.raises(StoreError, match=r"run.lock cannot be made: .* Choose another --resilience-dir.$"):
        RunLock(tmp_path / "none" / "run.lock").take()


def test_the_reserve_is_really_there_until_it_is_given_up(tmp_path: Path) -> None:
    """A sparse file would keep nothing."""
    reserve = Reserve(tmp_path / RESERVE)
    assert not reserve.give_up()
    reserve.take()
    stat = (tmp_path / RESERVE).stat()
    assert stat.st_size == RESERVE_BYTES
    assert stat.st_blocks * 512 >= RESERVE_BYTES
    assert reserve.give_up()
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_its_reserve_while_it_goes_on(tmp_path: Path) -> None:
    """It is gone with the end of the run."""
    store = RunStore(tmp_path / "run.db", first=[RUN])
    assert (tmp_path / RESERVE).stat().st_size == RESERVE_BYTES
    assert store.trouble == ""
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run.db"]
