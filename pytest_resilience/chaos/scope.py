"""Scopes: a fault for the task or test that injected it, while others make the same calls undisturbed."""

from contextvars import ContextVar


class Scope:
    """The context that entered it, and every task and thread that inherits it, until it is left.

    asyncio tasks, trio tasks, `asyncio.to_thread` and `contextvars.copy_context().run` inherit the context in
    which they are started. A plain `threading.Thread` does not, before Python 3.14, nor does a thread of an
    executor. A coroutine or generator belongs to who runs it, not to who called for it.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = False

    def enter(self) -> "Scope":
        """Begin here, in the current context."""
        open_scopes = {scope for scope in _ENTERED.get() if not scope.is_left}  # others go
        _ENTERED.set(frozenset({*open_scopes, self}))
        return self

    def leave(self) -> None:
        """End everywhere, from any context; doing it again changes nothing."""
        self._left = True

    @property
    def is_left(self) -> bool:
        return self._left

    def contains_current(self) -> bool:
        """Tell whether the running code inherited the context that entered."""
        return not self._left and self in _ENTERED.get()


_ENTERED: ContextVar[frozenset[Scope]] = ContextVar("resilience_scopes", default=frozenset())
