"""What the supervisor holds: an effect on the world outside the test process, and its undo."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from pytest_resilience.chaos.touched import Touched

Info: TypeAlias = Mapping[str, str | int | float]
"""What a started effect tells the test process: a port, a path, a pid."""


class Effect(Protocol):
    """Something done to the world; lives in the supervisor's event loop, which it must never block."""

    async def start(self) -> Info:
        """Do it; the supervisor calls `stop` afterwards whatever happens, also when this raises.

        Raise ScenarioError (one line for the user: value, constraint, fix) where it cannot be done.
        """

    async def stop(self) -> None:
        """Undo it within a second; also when it was started by halves. Doing it again changes nothing."""

    def touched(self) -> Touched:
        """Return the evidence so far; after `stop`, the last one."""


Find: TypeAlias = Callable[[str], Effect]
"""Returns the running effect of an id: toxics find their proxy with it. Raises ScenarioError."""
