"""A run's file while the process is out of descriptors, with write-ahead logging: nothing is lost."""

import errno
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from pytest_resilience.chaos.host.descriptors import Descriptors
from pytest_resilience.descriptors import exhausted
from pytest_resilience.errors import StoreError
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Note, Run
from pytest_resilience.store.run_store import COMMIT_SECONDS, RunStore

RUN = Run("t", "", 7, "medium", 1.0, "", "{}", "{}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the run is kept."""
    return tmp_path / "run.db"


def begun(path: Path, log: Path | None = None) -> RunStore:
    """Return a store whose run has begun."""
    store = RunStore(path, log)
    store.put(RUN)
    store.flush()
    return store


def test_a_process_knows_whether_it_is_out_of_descriptors() -> None:
    """At this moment, not for ever."""
    assert not exhausted()
    with Descriptors():
        out = exhausted()
        with pytest.raises(OSError, match="Too many open files") as refused:
            Path("/dev/null").read_bytes()
    assert out
    assert refused.value.errno == errno.EMFILE
    assert not exhausted()


def test_what_is_put_meanwhile_is_in_file_and_log(path: Path) -> None:
    """In order; both are open already, so that nothing has to wait."""
    log = path.with_suffix(".log")
    store = begun(path, log)
    with Descriptors() as fault:
        for number in range(200):
            store.put(Note(float(number), f"note {number}"))
        time.sleep(2 * COMMIT_SECONDS)
        fault.check()
    store.close()
    assert fault.touched().fired == fault.touched().reached, "it was out of descriptors all the time"
    texts = [f"note {number}" for number in range(200)]
    assert [note.text for note in read(path).notes] == texts
    assert [line.split("  ")[-1] for line in log.read_text("utf-8").splitlines()] == texts


def test_a_store_can_be_closed_while_the_fault_is_active(path: Path) -> None:
    """Whoever closes first: what was put is kept, and the file can be read."""
    store, fault = begun(path), Descriptors()
    fault.start()
    undo = threading.Timer(2 * COMMIT_SECONDS, fault.stop)
    undo.start()
    try:
        store.put(Note(1.0, "last"))
        store.close()
    finally:
        undo.join()
        fault.stop()
    assert [note.text for note in read(path).notes] == ["last"]


def test_what_descriptors_do_not_mend_is_told_at_once(path: Path) -> None:
    """A table that is gone stays gone."""
    store = begun(path)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DROP TABLE note")
    store.put(Note(1.0, "lost"))
    with pytest.raises(StoreError, match=r"could not be written \(OperationalError: no such table: note\)"):
        store.flush()
    with pytest.raises(StoreError):
        store.close()
