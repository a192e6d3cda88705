"""Functions that hand out an awaitable: their faults act when that is awaited, and block no event loop."""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import FunctionType
from typing import Any, Protocol, get_origin

from pytest_resilience.chaos.twists import Twist

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line


class AsyncTap(Protocol):
    """What stands at a call that is awaited."""

    async def enter_async(self, index: int) -> object: ...
    async def leave_async(self, token: object) -> None: ...


class Deferral:
    """One firing that waits for the result of the call: it acts once that is awaited."""

    __slots__ = ("_index", "_tap")
    skips = False

    def __init__(self, tap: AsyncTap, index: int) -> None:
        self._tap, self._index = tap, index

    def finish(self, result: Any) -> Any:
        """Return what stands in for the awaitable that the call gave; anything else is let through."""
        return Later(result, self._tap, self._index) if hasattr(result, "__await__") else result


class Later(Coroutine[Any, Any, Any]):
    """Stands in for an awaitable, also as an async context manager, as that of `aiohttp` is both."""

    def __init__(self, inner: Any, tap: AsyncTap, index: int) -> None:
        self._inner, self._tap, self._index = inner, tap, index
        self._coroutine: Coroutine[Any, Any, Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._begun().__await__()

    def send(self, value: Any) -> Any:
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        return self._begun().throw(*error)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()
        self._drop()

    async def __aenter__(self) -> Any:
        return await self._run(self._inner.__aenter__)

    async def __aexit__(self, *error: object) -> Any:
        return await self._inner.__aexit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _begun(self) -> Coroutine[Any, Any, Any]:
        if self._coroutine is None:
            self._coroutine = self._run(lambda: self._inner)
        return self._coroutine

    async def _run(self, go: Callable[[], Awaitable[Any]]) -> Any:
        """Do what a trampoline does around a coroutine."""
        try:
            token = await self._tap.enter_async(self._index)
        except BaseException:
            self._drop()
            raise
        if isinstance(token, Twist):
            if token.skips:
                self._drop()
                return token.answer()
            return token.finish(await go())
        result = await go()
        await self._tap.leave_async(token)
        return result

    def _drop(self) -> None:
        """Close what will never be awaited, so that nobody warns of it."""
        close = getattr(self._inner, "close", None)
        if callable(close):
            close()


def hands_out_awaitable(function: FunctionType) -> bool:
    """Tell whether a function says so by the annotation of what it returns."""
    hint = function.__annotations__.get("return")
    if isinstance(hint, str):
        try:
            hint = eval(hint, function.__globals__)  # noqa: S307 (as typing.get_type_hints does)
        except Exception:  # a name that only type checkers know
            return False
    kind = get_origin(hint) or hint
    return isinstance(kind, type) and hasattr(kind, "__await__")
