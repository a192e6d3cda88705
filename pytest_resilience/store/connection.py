"""Open the file of a run: with write-ahead logging where that is possible, read-only for readers."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pytest_resilience.errors import StoreError
from pytest_resilience.store.schema import TABLES, VERSION

# Readers hold no transaction longer than a second; ten times that means that something is wrong.
WAIT_FOR_LOCK_SECONDS = 10.0

CACHE_KIB = 64

PRIMARY_CODE = 0xFF
"""The part of SQLite's error codes that tells the kind."""


def create(path: Path, fill: Callable[[sqlite3.Connection], None]) -> str:
    """Create the file and its tables, or open what is there, and let `fill` write, all in one transaction.

    Return a warning if readers may make the run wait, else nothing. Raise StoreError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(open_to_write(path)) as connection:
            check_version(connection, path)
            warning = choose_journal(connection)
            connection.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                connection.execute(table.create)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            fill(connection)
            connection.execute("COMMIT")
    except (OSError, sqlite3.Error) as reason:
        raise StoreError(f"{path} cannot be created: {reason}. Choose another --resilience-dir.") from reason
    return warning


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open for the one writer: each transaction is begun and committed by hand."""
    connection = sqlite3.connect(path, timeout=WAIT_FOR_LOCK_SECONDS, isolation_level=None)
    # A commit survives the death of any process. A power cut may cost what the system had not written to the
    # disk (on Linux about half a minute), never the file; FULL would make a commit wait for the slowest disk.
    _begun(connection, "PRAGMA synchronous = NORMAL")
    # By default it keeps 2 MB of pages in memory, and would look like a leak of the program while it fills.
    return _begun(connection, f"PRAGMA cache_size = -{CACHE_KIB}")


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open without the right to write; raise StoreError if there is no such file."""
    if not path.is_file():
        raise StoreError(f"{path} does not exist. Run a soak first, for example: pytest --soak-duration=60s")
    try:
        return _begun(_open_read_only(path), "PRAGMA schema_version")
    except sqlite3.OperationalError as reason:
        if reason.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_READONLY:
            raise
    _roll_back(path)
    return _open_read_only(path)


def _begun(connection: sqlite3.Connection, statement: str) -> sqlite3.Connection:
    """Return the connection after its first statement; close it if that fails."""
    try:
        connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_read_only(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=WAIT_FOR_LOCK_SECONDS, isolation_level=None)


def _roll_back(path: Path) -> None:
    """Undo the transaction that a killed writer has left in a rollback journal: readers may not."""
    with closing(open_to_write(path)) as connection:
        connection.execute("PRAGMA schema_version")


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError if the tables are those of another version; a file without any has none.

    The version is read last: where a run begins just now, whoever sees its tables must see their version.
    """
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and version != VERSION:
        raise StoreError(
            f"{path} was written by another version of pytest-resilience. Use the version that wrote it."
        )


def choose_journal(connection: sqlite3.Connection) -> str:
    """Switch to write-ahead logging; where the file system cannot, to a rollback journal, with a warning."""
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode == "wal":
            return ""
    except sqlite3.OperationalError as reason:
        mode = str(reason)
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    return (
        f"Write-ahead logging is impossible here ({mode}): whoever reads the run makes its writer wait. "
        "Choose a --resilience-dir on a local disk."
    )


def fold_journal(connection: sqlite3.Connection) -> None:
    """Make the database one plain file that opens anywhere, also read-only; not while somebody reads it."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        return
