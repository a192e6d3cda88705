"""What a supervisor holds, on disk: should it be killed or stopped, `--resilience-cleanup` reads it there."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_resilience.chaos.supervisor.codec import Codec, encode
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.supervisor.identity import Identity, Place, here, identify
from pytest_resilience.option_table import DEFAULT_DIRECTORY

OUTSIDE = "outside"
"""The folder of all notes, beside those of the runs."""

SUFFIX, UNFINISHED = ".json", ".new"


@dataclass(frozen=True, slots=True)
class Noted:
    """An effect that acts or is about to.

    `process` is the one that it stops or kills, `restart` the command that brings that one back, `path`
    something that it made.
    """

    effect_id: str
    process: Identity | None = None
    restart: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class Notes:
    """A supervisor, the test process that it serves, and its effects, oldest first."""

    place: Place
    tests: Identity
    supervisor: Identity
    effects: tuple[Noted, ...] = ()


_CODEC = Codec([Notes])


class Notebook:
    """Keeps the notes of this process, in a file of its own in `folder`.

    `trouble` is told, once, why nothing can be written: faults are then undone as ever, but not found if this
    process is killed.
    """

    def __init__(
        self, folder: Path, notes: Notes, trouble: Callable[[str], None] = lambda text: None
    ) -> None:
        self._notes, self._trouble, self._told = notes, trouble, False
        self._effects: dict[str, Noted] = {}
        name = f"{notes.supervisor.pid}-{notes.supervisor.started:.0f}"
        self._path = folder / f"{name}{SUFFIX}"

    def open(self) -> None:
        """Note this process, before it holds anything."""
        self._write()

    def begin(self, effect_id: str, spec: object) -> None:
        """Note an effect before it acts."""
        pid = getattr(spec, "pid", None)
        process = None if pid is None else identify(pid)
        self._effects[effect_id] = Noted(effect_id, process, getattr(spec, "restart", ()))
        self._write()

    def acts(self, effect_id: str, info: Info) -> None:
        """Note what a started effect tells."""
        if effect_id in self._effects and "path" in info:
            self._effects[effect_id] = replace(self._effects[effect_id], path=str(info["path"]))
            self._write()

    def end(self, effect_id: str) -> None:
        """Forget an effect that is undone."""
        if self._effects.pop(effect_id, None) is not None:
            self._write()

    def close(self) -> None:
        """Remove the file; while effects are left, it stays."""
        if not self._effects:
            remove(self._path)

    def _write(self) -> None:
        notes = replace(self._notes, effects=tuple(self._effects.values()))
        try:
            _replace(self._path, json.dumps(encode(notes)))
        except OSError as reason:
            if not self._told:
                self._trouble(f"{self._path} cannot be written: {reason}. Choose another --resilience-dir.")
            self._told = True


def read_notes(path: Path) -> Notes:
    """Return the notes in a file; raise OSError, ValueError or ScenarioError if it has none."""
    notes = _CODEC.decode(json.loads(path.read_text("utf-8")))
    assert isinstance(notes, Notes)
    return notes


def notes_of(tests: int, supervisor: int) -> Notes | None:
    """Return the first notes of a supervisor; None if one of the two processes is gone."""
    served, own = identify(tests), identify(supervisor)
    if served is None or own is None:
        return None
    return Notes(here(), served, own)


def remove(path: Path) -> None:
    """Remove the file of notes, what a write left unfinished, and the folders if they are empty then.

    A folder that the user has chosen stays.
    """
    path.unlink(missing_ok=True)
    path.with_suffix(UNFINISHED).unlink(missing_ok=True)
    root = path.parent.parent
    with suppress(OSError):  # others are there
        path.parent.rmdir()
        if root.name == DEFAULT_DIRECTORY:
            root.rmdir()


def _replace(path: Path, text: str) -> None:
    """Write in one step: at any time the file is the old one or the new."""
    unfinished = path.with_suffix(UNFINISHED)
    try:
        unfinished.write_text(text, "utf-8")
    except FileNotFoundError:  # it is the first one, or the last one has just removed the folder
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, "utf-8")
    unfinished.replace(path)
