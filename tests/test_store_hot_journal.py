"""A writer is killed within a transaction with a rollback journal: who reads undoes what it began."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Note, Run
from pytest_resilience.store.run_store import RunStore

RUN = Run("resilience_test_1", "2025-01-02T03:04:05Z", 7, "medium", 60.0, "pytest", "{}", "{}")
NOTES = 200

KILLED = """
import os, signal, sqlite3, sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
connection.execute("BEGIN IMMEDIATE")
for table, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
    connection.execute(f"DELETE FROM {table}")
numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
connection.execute(f"CREATE TABLE more AS {numbers} SELECT i, randomblob(200) FROM n")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_began_is_undone_by_the_reader(tmp_path: Path) -> None:
    """As where there is no write-ahead log, and in the instant in which it is folded at the end of a run."""
    path = tmp_path / "run.db"
    store = RunStore(path, tmp_path / "run.log")
    store.put(RUN)
    for number in range(NOTES):
        store.put(Note(float(number), f"note {number}"))
    store.close()
    before = read(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.with_name("run.db-journal").stat().st_size > 0
    assert read(path) == before
    assert len(before.notes) == NOTES
