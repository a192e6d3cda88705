"""The stacks of all threads and asyncio tasks of this process, as text: what a hang looked like."""

import linecache
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from pytest_resilience.frames import running_frames

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

LOOP_FUNCTIONS = frozenset({"run_forever", "run_until_complete", "_run_once"})
THREAD_STARTS = frozenset({"_bootstrap", "_bootstrap_inner"})
MOST_TASKS = 50
HIDDEN = ("_pytest", "pluggy", "pytest_resilience.plugin", "pytest_resilience.soak")
"""What stands between the start of a thread and a test: of no help to who looks for a hang."""


def all_stacks(hidden: Sequence[str] = ()) -> str:
    """Return the stacks of all threads but this one, the main one first, then of the tasks of running loops.

    A thread's outer frames up to the last one of a module in or below `hidden` are left out.
    """
    frames = running_frames()
    threads = {thread.ident: thread for thread in threading.enumerate()}
    main = threading.main_thread().ident
    others = sorted(ident for ident in frames if ident not in (main, threading.get_ident()))
    lines: list[str] = []
    for ident in [main, *others] if main in frames else others:
        assert ident is not None
        name = threads[ident].name if ident in threads else f"thread {ident}"
        lines += [f"{name}:", *_frames(_shown(_chain(frames[ident]), hidden))]
    for loop in _running_loops(frames.values()):
        lines += _tasks(loop)
    return "\n".join(lines)


def _chain(frame: FrameType | None) -> list[FrameType]:
    """Return a frame and its callers, the outermost first."""
    chain = []
    while frame is not None:
        chain.append(frame)
        frame = frame.f_back
    return chain[::-1]


def _shown(chain: Sequence[FrameType], hidden: Sequence[str]) -> Sequence[FrameType]:
    places = [place for place, frame in enumerate(chain) if _is_hidden(frame, hidden)]
    return chain[places[-1] + 1 :] or chain[-1:] if places else chain


def _is_hidden(frame: FrameType, hidden: Sequence[str]) -> bool:
    name = frame.f_globals.get("__name__", "")
    return frame.f_code.co_name in THREAD_STARTS or any(f"{name}.".startswith(f"{one}.") for one in hidden)


def _frames(chain: Iterable[FrameType]) -> Iterator[str]:
    for frame in chain:
        path, line = frame.f_code.co_filename, frame.f_lineno
        source = linecache.getline(path, line).strip()
        yield f"    {path}:{line} in {frame.f_code.co_qualname}" + (f": {source}" if source else "")


def _running_loops(frames: Iterable[FrameType]) -> "list[AbstractEventLoop]":
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return []
    owners = (
        frame.f_locals.get("self")
        for outermost in frames
        for frame in _chain(outermost)
        if frame.f_code.co_name in LOOP_FUNCTIONS
    )
    found: dict[int, Any] = {
        id(owner): owner for owner in owners if isinstance(owner, asyncio.AbstractEventLoop)
    }
    return list(found.values())


def _tasks(loop: "AbstractEventLoop") -> Iterator[str]:
    from asyncio import all_tasks

    try:
        tasks = sorted(all_tasks(loop), key=lambda task: task.get_name())
    except RuntimeError:  # another thread keeps making tasks meanwhile
        return
    for task in tasks[:MOST_TASKS]:
        yield f"task {task.get_name()}:"
        yield from _frames(_awaiting(task))
    if len(tasks) > MOST_TASKS:
        yield f"{len(tasks) - MOST_TASKS} more tasks"


def _awaiting(task: "Task[Any]") -> Iterator[FrameType]:
    """Yield the frames of a task, from its coroutine down to what it waits for."""
    step: Any = task.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        if frame is None:
            return
        yield frame
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None)
