"""The tables of a run's file, derived from the record classes."""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import NoneType
from typing import get_args, get_type_hints

from pytest_resilience.store.codec import KINDS, Value, Wire, decode, encode
from pytest_resilience.store.records import Record

_SQL_TYPES = {str: "TEXT", int: "INT", float: "REAL", bool: "INT"}
"""Not INTEGER: as a primary key that would be the rowid, by which reading keeps the first order."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a record class."""

    name: str
    kind: type
    optional: bool

    @property
    def declaration(self) -> str:
        return f'"{self.name}" {_SQL_TYPES[self.kind]}'

    def load(self, value: Value) -> Value:
        """Undo what SQLite did to the value: it has no booleans, and stores nan as NULL."""
        if value is None:
            return None if self.optional else math.nan
        return bool(value) if self.kind is bool else value


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one record class: a record replaces the one with its key, or is appended."""

    kind: type[Record]
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.kind.__name__).lower()

    @property
    def create(self) -> str:
        parts = [column.declaration for column in self.columns]
        if self.kind.KEY:
            parts.append(f"PRIMARY KEY ({_quoted(self.kind.KEY)})")
        return f'CREATE TABLE IF NOT EXISTS "{self.name}" ({", ".join(parts)})'

    @property
    def write(self) -> str:
        names = [column.name for column in self.columns]
        insert = f'INSERT INTO "{self.name}" VALUES ({", ".join("?" * len(names))})'  # noqa: S608
        if not self.kind.KEY:
            return insert
        # Not INSERT OR REPLACE: an upsert leaves the row where it is, so that reading keeps the first order.
        updates = ", ".join(f'"{name}" = excluded."{name}"' for name in names)
        return f"{insert} ON CONFLICT ({_quoted(self.kind.KEY)}) DO UPDATE SET {updates}"

    @property
    def select(self) -> str:
        names = _quoted([column.name for column in self.columns])
        return f'SELECT {names} FROM "{self.name}" ORDER BY rowid'  # noqa: S608

    def record(self, row: Sequence[Value]) -> Record:
        """Return the record that a selected row holds."""
        values = (column.load(value) for column, value in zip(self.columns, row, strict=True))
        return decode((self.kind.__name__, *values))


def row(record: Record) -> Wire:
    """Return the values that the record's table holds."""
    return encode(record)[1:]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _table(kind: type[Record]) -> Table:
    hints = get_type_hints(kind)
    return Table(kind, tuple(_column(field.name, hints[field.name]) for field in fields(kind)))


def _column(name: str, hint: type) -> Column:
    kinds = get_args(hint) or (hint,)
    (kind,) = (each for each in kinds if each is not NoneType)
    return Column(name, kind, NoneType in kinds)


TABLES: tuple[Table, ...] = tuple(map(_table, KINDS))

VERSION = zlib.crc32("\n".join(table.create for table in TABLES).encode()) >> 1
"""Of the tables, kept in each file: 31 bits, so that SQLite's user_version holds it."""
