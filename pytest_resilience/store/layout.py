"""Where runs are kept: `<root>/runs/<test_id>/`, and `<root>/latest`, which points to the newest."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pytest_resilience.errors import StoreError
from pytest_resilience.option_values import LATEST

RUNS = "runs"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run and the files in it."""

    path: Path

    @property
    def test_id(self) -> str:
        return self.path.name

    @property
    def database(self) -> Path:
        return self.path / "run.db"

    @property
    def report_json(self) -> Path:
        return self.path / "report.json"

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    @property
    def lock(self) -> Path:
        return self.path / "run.lock"


def new_test_id(now: datetime, entropy: str) -> str:
    """Return `resilience_test_<UTC>_<entropy>`; `entropy` is four hexadecimal digits."""
    return f"resilience_test_{now.astimezone(UTC):%Y%m%dT%H%M%SZ}_{entropy}"


def create_folder(root: Path, test_id: str) -> RunFolder:
    """Make the folder of a new run and let `latest` point to it; raise StoreError if that is impossible."""
    folder = RunFolder(root / RUNS / test_id)
    try:
        folder.path.mkdir(parents=True)
        _keep_out_of_git(root)
        _point_latest(root, test_id)
    except OSError as reason:
        raise StoreError(
            f"{folder.path} cannot be created: {reason}. Choose another --resilience-dir."
        ) from reason
    return folder


def latest_folder(root: Path) -> RunFolder | None:
    """Return the folder that `latest` points to, if it exists."""
    pointer = root / LATEST
    try:
        target = pointer.readlink() if pointer.is_symlink() else Path(pointer.read_text("utf-8").strip())
    except OSError:
        return None
    folder = root / target
    return RunFolder(folder) if folder.is_dir() else None


def find_folder(root: Path, test_id: str) -> RunFolder | None:
    """Return the folder of a run by its id, if it exists."""
    return next((folder for folder in newest_first(root) if folder.test_id == test_id), None)


def newest_first(root: Path) -> list[RunFolder]:
    """Return the folders of all runs; ids begin with the time."""
    try:
        paths = [path for path in (root / RUNS).iterdir() if path.is_dir()]
    except OSError:
        return []
    return [RunFolder(path) for path in sorted(paths, reverse=True)]


def _keep_out_of_git(root: Path) -> None:
    ignore = root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "utf-8")


def _point_latest(root: Path, test_id: str) -> None:
    target = Path(RUNS) / test_id
    waiting = root / f".{LATEST}.{test_id}"
    try:
        waiting.symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError):  # a file system without symbolic links
        waiting.write_text(f"{target.as_posix()}\n", "utf-8")
    waiting.replace(root / LATEST)
