"""Acting: while a fault waits or asks a user's function, calls of the same task or thread are not hit.

Else a fault on `asyncio.sleep` would delay its own delay, and a predicate that makes a call would ask itself.
"""

from contextlib import suppress
from contextvars import ContextVar, Token

_ACTING: ContextVar[bool] = ContextVar("resilience_fault_acting", default=False)


class Acting:
    """A context manager around what a fault does."""

    __slots__ = ("_reset",)

    def __enter__(self) -> None:
        self._reset: Token[bool] = _ACTING.set(True)

    def __exit__(self, *error: object) -> None:
        with suppress(ValueError):  # a task that was thrown away while it waited ends in another's context
            _ACTING.reset(self._reset)


def is_acting() -> bool:
    """Tell whether the running code was called by a fault."""
    return _ACTING.get()
