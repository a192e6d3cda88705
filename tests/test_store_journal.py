"""The file of a run on a disk without shared memory: each commit needs a descriptor, and waits for one."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_resilience.chaos.host.descriptors import Descriptors
from pytest_resilience.errors import StoreError
from pytest_resilience.store import connection, run_store
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Note, Run
from pytest_resilience.store.run_store import COMMIT_SECONDS, RunStore

RUN = Run("resilience_test_1", "2025-01-02T03:04:05Z", 7, "medium", 60.0, "pytest", "{}", "{}")
LONG_ENOUGH = 2 * COMMIT_SECONDS


def open_without_wal(path: Path) -> sqlite3.Connection:
    """Open a file as it is on such a disk: each commit opens a rollback journal."""
    return sqlite3.connect(f"{path.as_uri()}?vfs=unix-dotfile", uri=True, isolation_level=None)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """A store there, whose writer has its file open already."""
    for module in connection, run_store:
        monkeypatch.setattr(module, "open_to_write", open_without_wal)
    store = RunStore(tmp_path / "run.db", tmp_path / "run.log")
    assert store.warning
    store.flush()
    yield store
    store.close()


class Flush:
    """A flush on a thread of its own; `end` returns when it is over and raises what it raised."""

    def __init__(self, store: RunStore) -> None:
        self.over = threading.Event()
        self._store = store
        self._failure: StoreError | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def end(self) -> None:
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            self._store.flush()
        except StoreError as failure:
            self._failure = failure
        self.over.set()


def test_what_is_put_while_nothing_can_be_opened_is_committed_afterwards(
    store: RunStore, tmp_path: Path
) -> None:
    """All of it, once, and in its order; meanwhile nobody is told of a failure."""
    notes = [Note(float(number), f"note {number}") for number in range(3)]
    with Descriptors():
        store.put(RUN)
        store.put(notes[0])
        flush = Flush(store)
        waits = not flush.over.wait(LONG_ENOUGH)
        for note in notes[1:]:
            store.put(note)
    flush.end()
    store.flush()
    assert waits
    data = read(tmp_path / "run.db")
    assert data.run == RUN
    assert list(data.notes) == notes
    assert (tmp_path / "run.log").read_text("utf-8").count("note ") == len(notes)


def test_a_second_fault_is_waited_for_as_the_first(store: RunStore, tmp_path: Path) -> None:
    """Each time nothing is lost."""
    store.put(RUN)
    for number in range(2):
        with Descriptors():
            store.put(Note(float(number), "x"))
            flush = Flush(store)
            waits = not flush.over.wait(LONG_ENOUGH)
        flush.end()
        assert waits
    assert [note.at for note in read(tmp_path / "run.db").notes] == [0.0, 1.0]
