"""A run is read in the very instant when it begins."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.store.connection import check_version, create


@pytest.mark.parametrize("begins_before", [1, 2, 3])
def test_whoever_reads_while_a_run_begins_does_not_take_it_for_another_versions(
    tmp_path: Path, begins_before: int
) -> None:
    """Its tables and their version come in one commit, before any of the reader's statements."""
    path = tmp_path / "run.db"
    statements = 0

    class Reader(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            nonlocal statements
            statements += 1
            if statements == begins_before:
                create(path, lambda _: None)
            return super().execute(*args)

    with closing(sqlite3.connect(path, factory=Reader, isolation_level=None)) as reader:
        check_version(reader, path)
        assert statements == 2
