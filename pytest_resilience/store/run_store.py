"""The file of a run, written by a thread of its own while the run goes on."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue

from pytest_resilience.clock import SystemClock
from pytest_resilience.descriptors import exhausted
from pytest_resilience.errors import StoreError
from pytest_resilience.store.connection import create, fold_journal, open_to_write
from pytest_resilience.store.records import Note, Record
from pytest_resilience.store.reserve import Reserve
from pytest_resilience.store.run_log import RunLog
from pytest_resilience.store.schema import TABLES, row
from pytest_resilience.store.thinner import Thinner

COMMIT_SECONDS = 0.25

_DESCRIPTOR_CHECK_SECONDS = 0.05
_PATIENCE_SECONDS = 10.0
"""Faults are removed before anybody waits for the file: descriptors that are missing then were leaked."""

_ALIVE_CHECK_SECONDS = 0.1
_WRITE = {table.kind: table.write for table in TABLES}
_NAMES = {table.kind: table.name for table in TABLES}

RESERVE = "run.reserve"
FIX = "Free space, or choose another --resilience-dir."
PRIMARY_CODE = 0xFF
"""SQLite's extended codes carry the kind of the error in the lowest byte."""


class _Barrier(threading.Event):
    """Set when everything that was put before it is on disk; the last one ends the thread."""

    def __init__(self, *, last: bool = False) -> None:
        super().__init__()
        self.last = last


class RunStore:
    """Keeps the records of one run in `path`; notes also go to `log`, as lines of text.

    `warning` says what is wrong with the place, or is empty.

    Args:
        first: records that are in the file from the beginning: a process that dies early leaves all or none.
        forget: kinds of records that are deleted before, where a run is resumed.

    Raises:
        StoreError: the file cannot be created, or, from the next call on, could not be written.
    """

    def __init__(
        self,
        path: Path,
        log: Path | None = None,
        *,
        first: Sequence[Record] = (),
        forget: Sequence[type[Record]] = (),
    ) -> None:
        self._reserve = Reserve(path.with_name(RESERVE))
        self.warning = create(path, lambda connection: _begin(connection, first, forget))
        self._take_reserve(path)
        self._path = path
        self._short = ""
        self._thinner = Thinner()
        self._log = RunLog(log)
        self._queue: SimpleQueue[Record | _Barrier] = SimpleQueue()
        self._failure: Exception | None = None
        self._closed = False
        self._awaited_since = float("inf")
        self._thread = threading.Thread(target=self._work, name="resilience-store", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Say why the run should end while it can be recorded, or why it no longer can be; else nothing."""
        return self._explained(self._failure) if self._failure else self._short

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
            raise StoreError(self._explained(self._failure)) from self._failure

    def _explained(self, failure: Exception) -> str:
        reason = f"{type(failure).__name__}: {failure}"
        return f"{self._path} could not be written ({reason}); the run's record ends there. {FIX}"

    def _take_reserve(self, path: Path) -> None:
        try:
            self._reserve.take()
        except OSError as reason:
            self._reserve.give_up()
            raise StoreError(f"{path.parent} has too little space for a run: {reason}. {FIX}") from reason

    def _wait_for(self, barrier: _Barrier) -> None:
        self._awaited_since = SystemClock.now()
        self._queue.put(barrier)
        while not barrier.wait(_ALIVE_CHECK_SECONDS) and self._thread.is_alive():
            pass
        self._awaited_since = float("inf")

    def _work(self) -> None:
        try:
            with closing(open_to_write(self._path)) as connection, self._log:
                self._write_all(connection)
                if self._failure is None:
                    fold_journal(connection)
        except Exception as failure:
            self._failure = self._failure or failure
        self._reserve.give_up()

    def _write_all(self, connection: sqlite3.Connection) -> None:
        """Commit until the last batch; once that is impossible, wait for it with the file open.

        Readers need what only an open connection keeps beside the file: on a full disk they cannot make it.
        """
        last = False
        while not last:
            records, barrier = self._next_batch()
            self._record(connection, records)
            if barrier is not None:
                barrier.set()
                last = barrier.last

    def _record(self, connection: sqlite3.Connection, records: Sequence[Record]) -> None:
        if self._failure is not None or not records:
            return
        try:
            self._commit(connection, records)
            self._log_notes(record for record in records if isinstance(record, Note))
            self._thin(connection, records)
        except Exception as failure:  # told to whoever calls next
            self._failure = failure

    def _commit(self, connection: sqlite3.Connection, records: Sequence[Record]) -> None:
        """Commit all records; while a fault has taken the process's descriptors, wait until they are back."""
        while True:
            starved = exhausted()
            try:
                return _commit(connection, records)
            except sqlite3.OperationalError as failure:
                if self._give_up_reserve(failure):
                    continue
                in_vain = SystemClock.now() - self._awaited_since > _PATIENCE_SECONDS
                if in_vain or not (starved or exhausted()):  # the fault may have ended in between
                    raise
            time.sleep(_DESCRIPTOR_CHECK_SECONDS)

    def _give_up_reserve(self, failure: sqlite3.OperationalError) -> bool:
        """On a full disk, make room for the end of the record, once; tell whether there is some now."""
        full = failure.sqlite_errorcode & PRIMARY_CODE in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
        if not (full and self._reserve.give_up()):
            return False
        self._short = f"there is no space left for {self._path} ({failure}). {FIX}"
        return True

    def _log_notes(self, notes: Iterable[Note]) -> None:
        """Write notes to the log as well; a log that cannot grow loses nothing, as the file has them."""
        try:
            self._log.write(notes)
        except OSError as failure:
            self._short = self._short or f"{self._path.parent} cannot be written ({failure}). {FIX}"

    def _thin(self, connection: sqlite3.Connection, records: Sequence[Record]) -> None:
        """Thin old samples; what cannot be thinned now stays."""
        try:
            self._thinner.committed(connection, records)
        except sqlite3.OperationalError:
            _roll_back(connection)

    def _next_batch(self) -> tuple[list[Record], _Barrier | None]:
        """Wait for something to come, then take what follows until it is time to commit."""
        records: list[Record] = []
        item = self._queue.get()
        commit_at = SystemClock.now() + COMMIT_SECONDS
        while not isinstance(item, _Barrier):
            records.append(item)
            left = commit_at - SystemClock.now()
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
        _roll_back(connection)
        raise


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _begin(connection: sqlite3.Connection, first: Sequence[Record], forget: Sequence[type[Record]]) -> None:
    for kind in forget:
        connection.execute(f'DELETE FROM "{_NAMES[kind]}"')  # noqa: S608
    for record in first:
        connection.execute(_WRITE[type(record)], row(record))
