"""Read a run back, also while it is being written."""

import sqlite3
from contextlib import closing
from pathlib import Path

from pytest_resilience.errors import StoreError
from pytest_resilience.store.codec import Wire
from pytest_resilience.store.connection import check_version, open_to_read
from pytest_resilience.store.run_data import RunData, gather
from pytest_resilience.store.schema import TABLES


def read(path: Path) -> RunData:
    """Return everything in the file, as of one instant; raise StoreError if it holds no readable run."""
    try:
        with closing(open_to_read(path)) as connection:
            check_version(connection, path)
            tables = _rows(connection)
    except sqlite3.Error as reason:
        raise StoreError(
            f"{path} cannot be read: {reason}. It is no run, or one of another version of pytest-resilience."
        ) from reason
    try:
        return gather(table.record(row) for table, rows in zip(TABLES, tables, strict=True) for row in rows)
    except StoreError as reason:
        raise StoreError(f"{path} cannot be read. {reason}") from None


def _rows(connection: sqlite3.Connection) -> list[list[Wire]]:
    connection.execute("BEGIN")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    rows = (
        [connection.execute(table.select).fetchall() for table in TABLES] if tables else [[] for _ in TABLES]
    )
    connection.execute("COMMIT")
    return rows
