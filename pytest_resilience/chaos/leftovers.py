"""What killed test runs left outside of themselves: found through their supervisors' notes, and removed.

Whatever is touched is known by its number and its start, and belongs to this user; the run of a test process
that lives is left alone.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import psutil

from pytest_resilience.chaos.host import program
from pytest_resilience.chaos.supervisor.identity import Identity, Place, here, identify, started
from pytest_resilience.chaos.supervisor.notebook import SUFFIX, Noted, Notes, read_notes, remove
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ResilienceError

UNDO_SECONDS = 3.0
"""A supervisor that is asked to end undoes everything within this time, or is killed."""

SOON_SECONDS = 1.0
POLL_SECONDS = 0.01
PROGRAM = "/".join(Path(program.__file__).parts[-4:])


@dataclass(slots=True)
class Cleaned:
    """What became of one record: lines for the user, and whether something is left that should not be."""

    lines: list[str] = field(default_factory=list)
    left: bool = False

    def done(self, text: str) -> None:
        self.lines.append(text)

    def failed(self, text: str) -> None:
        self.lines.append(text)
        self.left = True


def clean(folder: Path, clock: Clock | None = None) -> list[Cleaned]:
    """Remove what the runs whose supervisors left notes in `folder` have left; say what was done."""
    return [_clean(path, clock or SystemClock()) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def _clean(path: Path, clock: Clock) -> Cleaned:
    cleaned, place = Cleaned(), here()
    try:
        notes = read_notes(path)
    except FileNotFoundError:  # its supervisor has just ended
        return cleaned
    except (OSError, ValueError, ResilienceError) as reason:
        cleaned.failed(f"{path} cannot be read: {reason}. Remove it by hand.")
        return cleaned
    if spared := _why_not(notes, place, path):
        cleaned.done(spared) if notes.place.user == place.user else cleaned.failed(spared)
        return cleaned
    cleaned.done(f"The run of process {notes.tests} has ended.")
    if notes.place.boot == place.boot:
        _Processes(notes, path, cleaned, clock).clean()
    _clean_folders(notes.effects, cleaned)
    if len(cleaned.lines) == 1:
        cleaned.done("  nothing was left of it")
    if not cleaned.left:
        remove(path)
    return cleaned


def _why_not(notes: Notes, place: Place, path: Path) -> str:
    """Return why a run must be left alone, or an empty string."""
    if notes.place.host != place.host or (
        notes.place.boot == place.boot and notes.place.namespace != place.namespace
    ):
        where = f"{notes.place.host}, {notes.place.namespace}"
        return f"Left alone: a run on another machine or in another container ({where}). See {path}."
    if notes.place.user != place.user:
        who = f"user {notes.place.user}, not {place.user}"
        return f"Left alone: the run of process {notes.tests} belongs to {who}. Clean up as that user."
    if notes.place.boot == place.boot and notes.tests.alive:
        end = f"End it first: kill {notes.tests.pid}"
        return f"Left alone: the run of process {notes.tests} is alive. {end}"
    return ""


class _Processes:
    """The processes of one run: its supervisor, the children of that, and those that it had stopped."""

    def __init__(self, notes: Notes, path: Path, cleaned: Cleaned, clock: Clock) -> None:
        self._notes, self._path, self._cleaned, self._clock = notes, path, cleaned, clock

    def clean(self) -> None:
        children = set(self._children())
        self._end_supervisor()
        self._end_children(children | set(self._children()))
        for effect in self._notes.effects:
            self._let_go_on(effect)
        for effect in self._not_undone():
            if effect.restart:
                self._tell_killed(effect)

    def _not_undone(self) -> tuple[Noted, ...]:
        """Return what the supervisor has not undone by itself: with nothing left it removes its notes."""
        return read_notes(self._path).effects if self._path.exists() else ()

    def _end_supervisor(self) -> None:
        """Let the supervisor undo all by itself, if it can."""
        supervisor = self._notes.supervisor
        if not supervisor.alive:
            return
        supervisor.send(signal.SIGTERM)
        supervisor.send(signal.SIGCONT)
        if not self._gone([supervisor], UNDO_SECONDS):
            supervisor.send(signal.SIGKILL)
            self._gone([supervisor], SOON_SECONDS)
        held = ", ".join(_name(effect) for effect in self._notes.effects) or "nothing"
        self._tell(supervisor, f"ended the supervisor, process {supervisor}, which held: {held}")

    def _end_children(self, children: set[Identity]) -> None:
        """Let those that undo something do it, and end the others."""
        for child in children:
            child.send(signal.SIGCONT)
        self._gone(children, SOON_SECONDS)
        for child in sorted(children, key=lambda one: one.pid):
            if child.alive:
                child.send(signal.SIGKILL)
                self._gone([child], SOON_SECONDS)
            self._tell(child, f"ended its child, process {child}")

    def _let_go_on(self, effect: Noted) -> None:
        """Let the process that an effect had stopped go on, and what it has started with it."""
        if effect.process is None or not effect.process.stopped:
            return
        for process in _family(effect.process):
            self._wake(process, _name(effect))

    def _wake(self, process: Identity, who: str) -> None:
        if not process.stopped:
            return
        process.send(signal.SIGCONT)
        text = f"process {process}, which {who} had stopped"
        if self._until(lambda: not process.stopped, SOON_SECONDS):
            self._cleaned.done(f"  let go on: {text}")
        else:
            self._cleaned.failed(f"  could not let go on: {text}. Run: kill -CONT {process.pid}")

    def _tell_killed(self, effect: Noted) -> None:
        command = " ".join(effect.restart)
        self._cleaned.failed(
            f"  {_name(effect)} had killed process {effect.process}, which was not restarted. Run: {command}"
        )

    def _tell(self, process: Identity, text: str) -> None:
        if process.alive:
            self._cleaned.failed(f"  could not be ended: process {process}. Run: kill -9 {process.pid}")
        else:
            self._cleaned.done(f"  {text}")

    def _gone(self, processes: Iterable[Identity], seconds: float) -> bool:
        return self._until(lambda: not any(process.alive for process in processes), seconds)

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline, never = self._clock.now() + seconds, Event()
        while not (met := condition()) and self._clock.now() < deadline:
            self._clock.wait(never, POLL_SECONDS)
        return met

    def _children(self) -> Iterator[Identity]:
        """Yield the supervisor's children, also those that have outlived it.

        One that bears its number, but is the child of another process with that number, is not among them.
        """
        supervisor = self._notes.supervisor
        process = supervisor.process
        if process is not None:
            with suppress(psutil.Error):
                yield from _identities(process.children(recursive=True))
        elif (other := identify(supervisor.pid)) is None or other.started == supervisor.started:
            yield from _identities(_orphans(supervisor))


def _orphans(supervisor: Identity) -> Iterator[psutil.Process]:
    """Yield the processes that a dead supervisor has started: the command line says whose they are."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            whose, _ = _origin(process)
            if whose == supervisor.pid and started(process) >= supervisor.started:
                yield process


def _origin(process: psutil.Process) -> tuple[int, str]:
    """Return which supervisor has started a process, and in which role; 0 if it is no child of one."""
    words = process.cmdline()
    for position, word in enumerate(words[:-2]):
        if word.endswith(PROGRAM):
            return int(words[position + 1]), words[position + 2]
    return 0, ""


def _family(first: Identity) -> list[Identity]:
    """Return a process and its descendants, children first, as they are let go on."""
    family = [first]
    if first.process is not None:
        with suppress(psutil.Error):
            family += _identities(first.process.children(recursive=True))
    return family[::-1]


def _identities(processes: Iterable[psutil.Process]) -> Iterator[Identity]:
    """Yield who lives, named by the role."""
    for process in processes:
        with suppress(psutil.Error):
            name = _origin(process)[1] or process.name()
            found = Identity(process.pid, started(process), name)
            if found.alive:
                yield found


def _clean_folders(effects: Iterable[Noted], cleaned: Cleaned) -> None:
    """Remove disks and the folders of sockets, unless another run has made one of the same name."""
    noted = {folder for effect in effects if (folder := _own_folder(effect.path)) is not None}
    for folder in sorted(noted):
        if _is_kept(folder):
            continue
        with suppress(OSError):
            program.remove_made(folder)
        if folder.exists():
            cleaned.failed(f"  could not be removed: {folder}")
        else:
            cleaned.done(f"  removed {folder}")


def _own_folder(path: str) -> Path | None:
    """Return the folder of ours that a noted path is, or is in, if it is there."""
    found = Path(path)
    return next((one for one in (found, found.parent) if _is_own(one)), None)


def _is_own(folder: Path) -> bool:
    with suppress(OSError):
        is_ours = folder.name.startswith(program.FOLDER) and folder.lstat().st_uid == os.geteuid()
        return is_ours and folder.is_dir() and not folder.is_symlink()
    return False


def _is_kept(folder: Path) -> bool:
    """Tell whether the process whose number the folder bears lives and keeps it: this run's are gone."""
    pid = folder.name.removeprefix(program.DISK).removeprefix(program.FOLDER).partition("-")[0]
    with suppress(psutil.Error, ValueError):
        return _origin(psutil.Process(int(pid)))[0] > 0
    return False


def _name(effect: Noted) -> str:
    """Return an effect's name without the number that makes its id unique."""
    return effect.effect_id.partition(" ")[2] or effect.effect_id
