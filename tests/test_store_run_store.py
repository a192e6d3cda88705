"""The file of a run: complete, readable while written, and alive after kill -9."""

import math
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_resilience.errors import StoreError
from pytest_resilience.store.codec import KINDS, encode
from pytest_resilience.store.connection import choose_journal, open_to_read, open_to_write
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Note, Phase, Record, Run
from pytest_resilience.store.run_data import gather
from pytest_resilience.store.run_store import RunStore

RUN = Run("resilience_test_1", "2025-01-02T03:04:05Z", 7, "medium", 60.0, "pytest", "{}", "{}")
SMALL = st.integers(min_value=-(2**63), max_value=2**63 - 1)
VALUES = {int: SMALL, float: st.floats(allow_nan=False), str: st.text(max_size=20)}
for plain, strategy in VALUES.items():
    st.register_type_strategy(plain, strategy)
RECORDS = st.lists(st.one_of([st.builds(kind) for kind in KINDS]), max_size=12)


@given(records=RECORDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_is_what_was_put(tmp_path: Path, records: list[Record]) -> None:
    """Any sequence of records comes back as the in-memory rule (replace by key, else append) says."""
    path = tmp_path / "run.db"
    path.unlink(missing_ok=True)
    store = RunStore(path)
    for record in [RUN, *records]:
        store.put(record)
    store.close()
    assert read(path) == gather([RUN, *records])


def test_a_keyed_record_replaces_the_earlier_one_in_its_place(tmp_path: Path) -> None:
    """The newest state of a phase is kept, in the order in which the phases were first put."""
    store = RunStore(tmp_path / "run.db")
    for record in (RUN, Phase("A", 0, "planned", 1.0), Phase("B", 1, "planned", 1.0)):
        store.put(record)
    store.flush()
    store.put(Phase("A", 0, "done", 1.0))
    store.close()
    assert [(phase.name, phase.status) for phase in read(tmp_path / "run.db").phases] == [
        ("A", "done"),
        ("B", "planned"),
    ]


def test_notes_are_appended_to_the_log(tmp_path: Path) -> None:
    """Each note becomes one line of run.log, also when its text has several."""
    store = RunStore(tmp_path / "run.db", tmp_path / "run.log")
    store.put(RUN)
    store.put(Note(1.5, "baseline\nbegins"))
    store.flush()
    assert (tmp_path / "run.log").read_text("utf-8") == "     1.500  baseline begins\n"
    store.close()


def test_nan_comes_back_as_nan(tmp_path: Path) -> None:
    """A measured nan is kept as such, though SQLite has none."""
    store = RunStore(tmp_path / "run.db")
    store.put(RUN)
    store.put(Note(math.nan, "x"))
    store.close()
    assert math.isnan(read(tmp_path / "run.db").notes[0].at)


def test_records_are_committed_without_a_flush(tmp_path: Path) -> None:
    """A put record is readable from outside within a second, and the reader does not disturb the writer."""
    store = RunStore(tmp_path / "run.db")
    store.put(RUN)
    store.flush()
    store.put(Note(1.0, "seen"))
    deadline = time.monotonic() + 5
    while not (notes := read(tmp_path / "run.db").notes) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert notes == (Note(1.0, "seen"),)
    store.close()


def test_put_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """While another process holds the file's lock, putting stays instant and nothing is lost."""
    path = tmp_path / "run.db"
    store = RunStore(path)
    store.put(RUN)
    store.flush()
    with closing(open_to_write(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for number in range(1000):
            store.put(Note(float(number), "x"))
        took = time.monotonic() - began
        time.sleep(0.4)
        other.execute("ROLLBACK")
    store.close()
    assert took < 0.2
    assert len(read(path).notes) == 1000


def test_many_threads_may_put(tmp_path: Path) -> None:
    """Records from several threads all arrive."""
    store = RunStore(tmp_path / "run.db")
    store.put(RUN)

    def put_many() -> None:
        for number in range(500):
            store.put(Note(float(number), "x"))

    threads = [threading.Thread(target=put_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert len(read(tmp_path / "run.db").notes) == 2000


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    """close() may be called again, flush() after it is harmless, put() after it is an error with the fix."""
    store = RunStore(tmp_path / "run.db")
    store.put(RUN)
    store.close()
    store.close()
    store.flush()
    with pytest.raises(StoreError, match=r"run.db is closed. Put every record before close\(\).$"):
        store.put(RUN)


def test_a_closed_run_is_one_plain_file(tmp_path: Path) -> None:
    """After close() no journal lies beside the file, so that it can be copied and opened read-only."""
    store = RunStore(tmp_path / "run.db")
    store.put(RUN)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run.db"]
    tmp_path.chmod(0o500)
    try:
        assert read(tmp_path / "run.db").run == RUN
    finally:
        tmp_path.chmod(0o700)


def test_closing_while_somebody_reads(tmp_path: Path) -> None:
    """A reader in the middle of a transaction neither delays the end of the run nor loses anything."""
    path = tmp_path / "run.db"
    store = RunStore(path)
    store.put(RUN)
    store.flush()
    with closing(open_to_read(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM run").fetchall()
        store.put(Note(1.0, "late"))
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 2
    assert read(path).notes == (Note(1.0, "late"),)


KILLED = """
import sys, time
from pathlib import Path
from pytest_resilience.store.run_store import RunStore
from pytest_resilience.store.records import Note, Run
store = RunStore(Path(sys.argv[1]))
store.put(Run("killed", "", 1, "low", 1.0, "", "", ""))
store.flush()
print("writing", flush=True)
while True:
    store.put(Note(time.time(), "x" * 200))
    time.sleep(0.0005)
"""


def test_kill_9_costs_at_most_the_last_second(tmp_path: Path) -> None:
    """A run whose process is killed can be opened: intact, and complete up to a second before."""
    path = tmp_path / "run.db"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        time.sleep(1.5)
        killed_at = time.time()
        child.kill()
    assert child.returncode == -signal.SIGKILL
    data = read(path)
    assert data.run.test_id == "killed"
    assert data.notes[-1].at > killed_at - 1
    assert [note.at for note in data.notes] == sorted(note.at for note in data.notes)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


FULL = """
import resource, sys, time
from pathlib import Path
from pytest_resilience.errors import StoreError
from pytest_resilience.store.run_store import RunStore
from pytest_resilience.store.records import Note, Run
store = RunStore(Path(sys.argv[1]))
store.put(Run("full", "", 1, "low", 1.0, "", "", ""))
store.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
for number in range(10_000):
    store.put(Note(float(number), "x" * 1000))
told = []
for call in (store.flush, store.close, store.close, lambda: store.put(Note(0.0, "late"))):
    try:
        call()
    except StoreError as error:
        told.append(str(error))
assert not store._thread.is_alive()
print(len(told), *set(told))
"""


def test_a_full_disk_is_told_at_every_later_call(tmp_path: Path) -> None:
    """When the file cannot grow, flush, close and put say so; what was committed before stays readable."""
    path = tmp_path / "run.db"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    count, text = done.stdout.split(" ", 1)
    assert count == "4"
    assert text.startswith(f"{path} could not be written (OperationalError: ")
    assert text.endswith("the run's record ends there. Free space, or choose another --resilience-dir.\n")
    assert read(path).run.test_id == "full"


def test_a_number_that_sqlite_cannot_hold_is_told(tmp_path: Path) -> None:
    """An integer beyond 64 bits ends the record with an error, not in silence."""
    store = RunStore(tmp_path / "run.db")
    store.put(Run("big", "", 2**64, "low", 1.0, "", "", ""))
    with pytest.raises(StoreError, match=r"run.db could not be written .OverflowError: "):
        store.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A path below a file is refused at once, with the fix."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"run.db cannot be created: .* Choose another --resilience-dir.$"):
        RunStore(tmp_path / "file" / "run.db")


def test_where_wal_is_impossible_there_is_a_warning(tmp_path: Path) -> None:
    """A file system without shared memory gets a rollback journal, and the user is told."""
    address = f"{(tmp_path / 'run.db').as_uri()}?vfs=unix-dotfile"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        warning = choose_journal(connection)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    assert warning.startswith("Write-ahead logging is impossible here (delete): ")
    assert warning.endswith("Choose a --resilience-dir on a local disk.")


def test_where_wal_is_possible_there_is_none(tmp_path: Path) -> None:
    """On an ordinary disk the store has nothing to warn of."""
    store = RunStore(tmp_path / "run.db")
    store.close()
    assert store.warning == ""


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    """A missing file is told with the command that makes one."""
    with pytest.raises(StoreError, match=r"none.db does not exist. Run a soak first, for example: "):
        read(tmp_path / "none.db")


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    """A file that is no database is told as such."""
    (tmp_path / "run.db").write_text("hello" * 500)
    with pytest.raises(StoreError, match=r"run.db cannot be read: .*It is no run, or one of another version"):
        read(tmp_path / "run.db")


def test_reading_a_run_that_never_began(tmp_path: Path) -> None:
    """A file without a run says that the run was stopped before it began."""
    RunStore(tmp_path / "run.db").close()
    with pytest.raises(StoreError, match=r"run.db cannot be read. There is no run in it yet"):
        read(tmp_path / "run.db")


def test_encode_is_what_the_tables_hold(tmp_path: Path) -> None:
    """The columns of a table are the fields of its record, in their order."""
    path = tmp_path / "run.db"
    store = RunStore(path)
    store.put(RUN)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM run").fetchone() == encode(RUN)[1:]
