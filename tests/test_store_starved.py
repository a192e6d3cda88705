"""A store whose commits each open a journal: what becomes of it while the process is out of descriptors."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pytest_resilience.chaos.host.descriptors import Descriptors
from pytest_resilience.store.connection import open_to_write
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Note, Run
from pytest_resilience.store.run_store import COMMIT_SECONDS, RunStore

RUN = Run("t", "", 7, "medium", 1.0, "", "{}", "{}")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """Return a store where write-ahead logging is impossible, as on a network file system."""

    def rollback_journal(path: Path) -> sqlite3.Connection:
        connection = open_to_write(path)
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        return connection

    monkeypatch.setattr("pytest_resilience.store.run_store.open_to_write", rollback_journal)
    kept = RunStore(tmp_path / "run.db")
    kept.put(RUN)
    kept.flush()
    return kept


def committed(path: Path) -> int:
    """Return how many notes are on disk."""
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM note").fetchone()
    return int(count)


def test_commits_wait_for_the_end_of_the_fault_and_nothing_is_lost(store: RunStore, tmp_path: Path) -> None:
    """SQLite cannot open its journal; all that was put meanwhile is committed afterwards, in order."""
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("SELECT count(*) FROM note").fetchone()
        with Descriptors():
            for number in range(100):
                store.put(Note(float(number), "x"))
            time.sleep(4 * COMMIT_SECONDS)
            meanwhile = reader.execute("SELECT count(*) FROM note").fetchone()
    store.flush()
    assert meanwhile == (0,)
    assert committed(path) == 100
    store.close()
    assert [note.at for note in read(path).notes] == [float(number) for number in range(100)]


LEAK = """
import os, resource, sqlite3, sys
from pathlib import Path
from pytest_resilience.errors import StoreError
from pytest_resilience.store import run_store
from pytest_resilience.store.records import Note, Run

run_store._PATIENCE_SECONDS = 0.5
open_to_write = run_store.open_to_write

def rollback_journal(path):
    connection = open_to_write(path)
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    return connection

run_store.open_to_write = rollback_journal
store = run_store.RunStore(Path(sys.argv[1]))
store.put(Run("leaking", "", 1, "low", 1.0, "", "", ""))
store.flush()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
leaked = []
try:
    while True:
        leaked.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
store.put(Note(1.0, "lost"))
try:
    store.close()
except StoreError as told:
    print(told)
"""


def test_a_suite_that_leaked_all_descriptors_does_not_hang_the_end_of_the_run(tmp_path: Path) -> None:
    """Nobody will give them back, so after a while the record ends with the reason."""
    path = tmp_path / "run.db"
    done = subprocess.run(
        [sys.executable, "-c", LEAK, str(path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.startswith(
        f"{path} could not be written (OperationalError: unable to open database file)"
    )
    assert read(path).run.test_id == "leaking"
