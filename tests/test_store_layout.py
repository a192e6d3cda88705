"""Where runs lie on the disk."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pytest_resilience.errors import StoreError
from pytest_resilience.store import layout


def test_a_test_id_is_utc_and_entropy() -> None:
    """The id of a run has the UTC time, whatever the zone of the clock."""
    now = datetime(2025, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert layout.new_test_id(now, "ab12") == "resilience_test_20250102T010405Z_ab12"
    assert layout.new_test_id(now, "ab12") == layout.new_test_id(now.astimezone(UTC), "ab12")


def test_latest_points_to_the_newest(tmp_path: Path) -> None:
    """Each new run moves the relative link `latest`, which survives a move of the whole directory."""
    root = tmp_path / "before"
    layout.create_folder(root, "one")
    folder = layout.create_folder(root, "two")
    assert folder.path == root / "runs" / "two"
    assert (root / "latest").readlink() == Path("runs", "two")
    moved = root.rename(tmp_path / "after")
    assert layout.latest_folder(moved) == layout.RunFolder(moved / "runs" / "two")
    assert sorted(path.name for path in moved.iterdir()) == [".gitignore", "latest", "runs"]


def test_latest_is_a_text_file_without_symbolic_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where links are impossible, `latest` holds the path as text and is read the same way."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    layout.create_folder(tmp_path, "one")
    folder = layout.create_folder(tmp_path, "two")
    assert (tmp_path / "latest").read_text("utf-8") == "runs/two\n"
    assert layout.latest_folder(tmp_path) == folder


def test_no_latest(tmp_path: Path) -> None:
    """Without a run, or with a link to a deleted one, there is no latest."""
    assert layout.latest_folder(tmp_path) is None
    layout.create_folder(tmp_path, "one").path.rmdir()
    assert layout.latest_folder(tmp_path) is None


def test_the_files_of_a_run(tmp_path: Path) -> None:
    """The names of a run's files are fixed."""
    folder = layout.create_folder(tmp_path, "one")
    names = [path.name for path in (folder.database, folder.report_json, folder.log)]
    assert (folder.test_id, names) == ("one", ["run.db", "report.json", "run.log"])


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    """A second run of the same id is refused."""
    layout.create_folder(tmp_path, "one")
    with pytest.raises(StoreError, match=r"one cannot be created: .* Choose another --resilience-dir.$"):
        layout.create_folder(tmp_path, "one")


def test_git_ignores_the_runs_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    """The directory ignores itself; what the user writes there stays."""
    layout.create_folder(tmp_path, "one")
    assert (tmp_path / ".gitignore").read_text("utf-8") == "*\n"
    (tmp_path / ".gitignore").write_text("")
    layout.create_folder(tmp_path, "two")
    assert (tmp_path / ".gitignore").read_text("utf-8") == ""
