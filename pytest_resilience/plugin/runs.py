"""The runs that options name: the newest, the newest unfinished, or one by its id."""

from collections.abc import Iterator
from pathlib import Path

from pytest_resilience.errors import StoreError, did_you_mean, requirement
from pytest_resilience.option_values import LATEST, RUN_WORDS
from pytest_resilience.soak.resume import UNFINISHED, check_unfinished
from pytest_resilience.store.layout import RUNS, RunFolder, newest_first
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

MOST_NAMED = 5


def named_run(root: Path, option: str, test_id: str) -> tuple[RunFolder, RunData]:
    """Return a run by its id, or the newest that has begun; raise StoreError if there is none."""
    if test_id != LATEST:
        folder = _folder(root, option, test_id)
        return folder, read(folder.database)
    newest = newest_run(root)
    if newest is None:
        raise StoreError(
            f"There is no run in {root / RUNS}. Run a soak first, for example: pytest --soak-hours=4"
        )
    return newest


def newest_run(root: Path) -> tuple[RunFolder, RunData] | None:
    """Return the newest run that has begun, if there is one."""
    return next(_begun(root), None)


def unfinished_run(root: Path, option: str, test_id: str) -> tuple[RunFolder, RunData]:
    """Return a run that can be resumed: by its id, or the newest; raise StoreError if there is none."""
    if test_id != LATEST:
        folder, data = named_run(root, option, test_id)
        check_unfinished(data.run)
        return folder, data
    unfinished = ((folder, data) for folder, data in _begun(root) if data.run.status in UNFINISHED)
    found = next(unfinished, None)
    if found is None:
        raise StoreError(
            f"There is no unfinished run in {root / RUNS}. Begin a new one, without {option}, "
            "or choose another --resilience-dir."
        )
    return found


def _folder(root: Path, option: str, test_id: str) -> RunFolder:
    folders = {folder.test_id: folder for folder in newest_first(root)}
    if test_id not in folders:
        hint = did_you_mean(test_id, list(folders)[:MOST_NAMED])
        raise StoreError(
            requirement(option, f"the id of a run in {root / RUNS}, or {RUN_WORDS[option]}", test_id, hint)
        )
    return folders[test_id]


def _begun(root: Path) -> Iterator[tuple[RunFolder, RunData]]:
    """Yield the runs that can be read, the newest first: one that was killed at once has no record."""
    for folder in newest_first(root):
        try:
            yield folder, read(folder.database)
        except StoreError:
            continue
