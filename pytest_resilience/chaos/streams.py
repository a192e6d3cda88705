"""Streams: what stands between a generator and its consumer while a fault changes the items or the end."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from typing import Any, Protocol

from pytest_resilience.errors import ScenarioError, requirement

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line


class Changes(Protocol):
    """What happens to a stream."""

    def on_item(self, item: Any) -> Any:
        """Return the item that the consumer gets."""

    def at_end(self) -> None:
        """Raise, or do nothing, once the last item is gone."""


class ChangedStream:
    """A generator whose items, or whose end, are changed; what is sent or thrown in reaches it."""

    def __init__(self, inner: Generator[Any, Any, Any], changes: Changes) -> None:
        self._inner = inner
        self._changes = changes

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._hand_out(self._inner.__next__)

    def send(self, value: Any) -> Any:
        return self._hand_out(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        return self._hand_out(self._inner.throw, *error)

    def close(self) -> None:
        self._inner.close()

    def _hand_out(self, step: Callable[..., Any], *args: Any) -> Any:
        end = None
        try:
            item = step(*args)
        except StopIteration as stop:
            end = stop
        if end is None:
            return self._changes.on_item(item)
        self._changes.at_end()
        raise end


class ChangedAsyncStream:
    """An async generator whose items, or whose end, are changed; what is sent or thrown in reaches it."""

    def __init__(self, inner: AsyncGenerator[Any, Any], changes: Changes) -> None:
        self._inner = inner
        self._changes = changes

    async def __anext__(self) -> Any:
        return await self._hand_out(self._inner.__anext__())

    async def asend(self, value: Any) -> Any:
        return await self._hand_out(self._inner.asend(value))

    async def athrow(self, error: BaseException) -> Any:
        return await self._hand_out(self._inner.athrow(error))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _hand_out(self, step: Awaitable[Any]) -> Any:
        ended = False
        try:
            item = await step
        except StopAsyncIteration:
            ended = True
        if not ended:
            return self._changes.on_item(item)
        self._changes.at_end()
        raise StopAsyncIteration


def each(items: Iterable[Any]) -> Iterator[Any]:
    """Be a generator of `items`: it can be sent to and closed, as its consumer expects."""
    for item in items:  # noqa: UP028 - `yield from` would send on to an iterator that takes nothing
        yield item


async def each_async(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Be an async generator of `items`."""
    for item in items:
        yield item


def check_items(name: str, value: object, *, each_time: bool) -> Iterable[Any]:
    """Return `value` if it has items to hand out, `each_time` anew; else raise ScenarioError."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        fix = f"Write [{value!r}] for one item."
        raise ScenarioError(requirement(name, "a list of the items that it hands out", value, fix))
    if each_time and iter(value) is value:
        fix = "It can be used once only: give a list, or ReturnFrom(factory)."
        raise ScenarioError(requirement(name, "a list of the items that it hands out", value, fix))
    return value
