"""Where an injected error was caught, read from its traceback.

An error collects the frames that it passes; the outermost one is where it was caught. Where no Python frame
caught it (an event loop kept it as the result of a task), the outermost one is the last that it left.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

THE_TEST = "the test itself"

TEST_FRAMES = ("_pytest", "pluggy", "hypothesis", "unittest")
"""Packages that catch what a test lets out: an error that came so far reached the test."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How a frame is written: `shop/betting.py:78 in quote`.

    Paths are written as seen from `root`, else from the entry of the import path that they are under.
    Frames of a module of the packages `test_frames` are written as "the test itself".
    """

    test_frames: tuple[str, ...] = TEST_FRAMES
    root: str = field(default_factory=lambda: str(Path.cwd()))

    def catcher(self, error: BaseException) -> str | None:
        """Say where `error` was caught; None if it was never raised, or its traceback is gone."""
        if (passed := error.__traceback__) is None:
            return None
        frame = passed.tb_frame
        if self._is_of_the_test(frame):
            return THE_TEST
        code = frame.f_code
        return f"{self._path(code.co_filename)}:{passed.tb_lineno} in {code.co_qualname}"

    def _is_of_the_test(self, frame: FrameType) -> bool:
        module = str(frame.f_globals.get("__name__"))
        return any(module == name or module.startswith(f"{name}.") for name in self.test_frames)

    def _path(self, path: str) -> str:
        path = os.path.normpath(path)
        roots = sorted({entry for entry in sys.path if entry}, key=len, reverse=True)
        below = (root for root in (self.root, *roots) if Path(path).is_relative_to(root))
        root = next(below, None)
        return path if root is None else Path(path).relative_to(root).as_posix()


def is_on_its_way(error: BaseException) -> bool:
    """Tell whether a thread is still handling `error`, so that it may travel on.

    That is so within `except`, `finally` and `with`. It cannot be told of a task that waits in one of these.
    """
    return any(error is active for top in _handled() for active in _with_context(top))


def _handled() -> Iterator[BaseException]:
    for active in sys._current_exceptions().values():  # noqa: SLF001 - documented, and the only way
        error = active[1] if isinstance(active, tuple) else active  # a tuple up to Python 3.11
        if isinstance(error, BaseException):
            yield error


def _with_context(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__context__
