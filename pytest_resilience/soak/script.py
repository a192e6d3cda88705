"""What a script of the conductor waits for."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Until:
    """A wait: until `ready`, or the deadline (run seconds)."""

    deadline: float
    ready: Callable[[], bool] = lambda: False


Script: TypeAlias = Generator[Until, None, None]


class Abort(Exception):  # noqa: N818
    """The run cannot go on; the message says why."""
