"""The file of a run, written by a thread of its own while the run goes on."""

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue

from pytest_resilience.descriptors import exhausted
from pytest_resilience.errors import StoreError
from pytest_resilience.store.connection import create, fold_journal, open_to_write
from pytest_resilience.store.records import Note, Record
from pytest_resilience.store.run_log import RunLog
from pytest_resilience.store.schema import TABLES, row

COMMIT_SECONDS = 0.25

_DESCRIPTOR_CHECK_SECONDS = 0.05
_PATIENCE_SECONDS = 10.0
"""Faults are removed before anybody waits for the file: descriptors that are missing then were leaked."""

_ALIVE_CHECK_SECONDS = 0.1
_WRITE = {table.kind: table.write for table in TABLES}


class _Barrier(threading.Event):
    """Set when everything that was put before it is on disk; the last one ends the thread."""

    def __init__(self, *, last: bool = False) -> None:
        super().__init__()
        self.last = last


class RunStore:
    """Keeps the records of one run in `path`; notes also go to `log`, as lines of text.

    `warning` says what is wrong with the place, or is empty.

    Raises:
        StoreError: the file cannot be created, or, from the next call on, could not be written.
    """

    def __init__(self, path: Path, log: Path | None = None) -> None:
        self.warning = create(path)
        self._path = path
        self._log = RunLog(log)
        self._queue: SimpleQueue[Record | _Barrier] = SimpleQueue()
        self._failure: Exception | None = None
        self._closed = False
        self._awaited_since = float("inf")
        self._thread = threading.Thread(target=self._work, name="resilience-store", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Hand a record to the writer, which commits it within half a second; never waits for the disk."""
        self._check()
        if self._closed:
            raise StoreError(f"{self._path} is closed. Put every record before close().")
        self._queue.put(record)

    def flush(self) -> None:
        """Wait until everything that was put so far is committed."""
        if not self._closed:
            self._wait_for(_Barrier())
        self._check()

    def close(self) -> None:
        """Commit what is left and end the writer; closing again does nothing more."""
        if not self._closed:
            self._closed = True
            self._wait_for(_Barrier(last=True))
        self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            reason = f"{type(self._failure).__name__}: {self._failure}"
            fix = "Free space, or choose another --resilience-dir."
            raise StoreError(
                f"{self._path} could not be written ({reason}); the run's record ends there. {fix}"
            ) from self._failure

    def _wait_for(self, barrier: _Barrier) -> None:
        self._awaited_since = time.monotonic()
        self._queue.put(barrier)
        while not barrier.wait(_ALIVE_CHECK_SECONDS) and self._thread.is_alive():
            pass
        self._awaited_since = float("inf")

    def _work(self) -> None:
        try:
            with closing(open_to_write(self._path)) as connection, self._log:
                while self._commit_next(connection):
                    pass
                fold_journal(connection)
        except Exception as failure:  # told to whoever calls next
            self._failure = failure

    def _commit_next(self, connection: sqlite3.Connection) -> bool:
        """Commit the next batch; tell whether there may be another."""
        records, barrier = self._next_batch()
        if records:
            self._commit(connection, records)
            self._log.write(record for record in records if isinstance(record, Note))
        if barrier is None:
            return True
        barrier.set()
        return not barrier.last

    def _commit(self, connection: sqlite3.Connection, records: Sequence[Record]) -> None:
        """Commit all records; while a fault has taken the process's descriptors, wait until they are back."""
        while True:
            starved = exhausted()
            try:
                return _commit(connection, records)
            except sqlite3.OperationalError:
                in_vain = time.monotonic() - self._awaited_since > _PATIENCE_SECONDS
                if in_vain or not (starved or exhausted()):  # the fault may have ended in between
                    raise
            time.sleep(_DESCRIPTOR_CHECK_SECONDS)

    def _next_batch(self) -> tuple[list[Record], _Barrier | None]:
        """Wait for something to come, then take what follows until it is time to commit."""
        records: list[Record] = []
        item = self._queue.get()
        commit_at = time.monotonic() + COMMIT_SECONDS
        while not isinstance(item, _Barrier):
            records.append(item)
            left = commit_at - time.monotonic()
            if left <= 0:
                return records, None
            try:
                item = self._queue.get(timeout=left)
            except Empty:
                return records, None
        return records, item


def _commit(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    """Commit all records, or none."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for record in records:
            connection.execute(_WRITE[type(record)], row(record))
        connection.execute("COMMIT")
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
