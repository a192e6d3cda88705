"""Thins the samples in a run's file as they grow old."""

import sqlite3
from collections.abc import Iterable
from math import isfinite

from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.thinning import due, thin
from pytest_resilience.store.records import Record
from pytest_resilience.store.schema import TABLES

PASS_SECONDS = 60.0
"""Run time between two passes: more at once would show in the memory of the process."""

_SAMPLES = next(table for table in TABLES if table.kind is Sample)
_SELECT = _SAMPLES.select.replace("SELECT ", "SELECT rowid, ", 1).replace(
    " ORDER BY", ' WHERE "at" >= ? AND "at" < ? ORDER BY'
)
_DELETE = f'DELETE FROM "{_SAMPLES.name}" WHERE rowid = ?'  # noqa: S608


class Thinner:
    """Told of each commit, on the writer's thread; a pass follows when a minute of samples has become old."""

    def __init__(self) -> None:
        self._newest: float | None = None
        self._thinned_until = 0.0

    def committed(self, connection: sqlite3.Connection, records: Iterable[Record]) -> None:
        """Look at what was committed, and thin what has become old; raise sqlite3.Error."""
        times = [record.at for record in records if isinstance(record, Sample) and isfinite(record.at)]
        if not times:
            return
        if self._newest is None:  # whoever wrote before has thinned but for its last pass
            self._thinned_until = max(0.0, due(min(times)) - 2 * PASS_SECONDS)
        self._newest = max(times)
        if due(self._newest) - self._thinned_until >= PASS_SECONDS:
            self._pass(connection, due(self._newest))

    def _pass(self, connection: sqlite3.Connection, until: float) -> None:
        since, self._thinned_until = self._thinned_until, until
        rows = connection.execute(_SELECT, (since, self._thinned_until)).fetchall()
        samples = {number: _SAMPLES.record(row) for number, *row in rows}
        kept = set(map(id, thin([one for one in samples.values() if isinstance(one, Sample)])))
        old = [(number,) for number, sample in samples.items() if id(sample) not in kept]
        if old:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_DELETE, old)
            connection.execute("COMMIT")
