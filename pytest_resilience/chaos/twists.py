"""Twists: what a firing does to the result of a call, instead of waiting or raising before it."""

from collections.abc import AsyncGenerator, Generator, Iterable
from typing import Any

from pytest_resilience.chaos.asking import Asking
from pytest_resilience.chaos.evidence import Evidence
from pytest_resilience.chaos.faults import Effect
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.streams import ChangedAsyncStream, ChangedStream, check_items, each, each_async
from pytest_resilience.clock import Clock
from pytest_resilience.service_errors import ErrorSpec, build_error

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line


class Twist:
    """One firing that answers a call, changes its result, or raises after it.

    It counts as fired when it acts: not if the call failed by itself, nor if the fault was removed meanwhile.
    """

    __slots__ = ("_acted", "_clock", "_effect", "_evidence", "_release", "skips")

    def __init__(self, effect: Effect, evidence: Evidence, release: Release, clock: Clock) -> None:
        self.skips = effect.answer is not None
        self._effect = effect
        self._evidence = evidence
        self._release = release
        self._clock = clock
        self._acted = False

    def answer(self) -> Any:
        """Return what stands for the result of a call that is not made (`skips`)."""
        value = self._made()
        self._act()
        return value

    def finish(self, result: Any) -> Any:
        """Take the result of the call and return the one to hand out, or raise."""
        self.at_end()
        return self.on_item(result)

    def stream(self, inner: Generator[Any, Any, Any]) -> Iterable[Any]:
        """Stand in for a generator that has not begun."""
        return each(self._items()) if self.skips else ChangedStream(inner, self)

    def stream_async(self, inner: AsyncGenerator[Any, Any]) -> object:
        """Stand in for an async generator that has not begun."""
        return each_async(self._items()) if self.skips else ChangedAsyncStream(inner, self)

    def on_item(self, item: Any) -> Any:
        """Return the item, or result, that the caller gets."""
        change = self._effect.change
        if change is None or self._release.is_set():
            return item
        with Asking(self._evidence, "Mutate(change)", change, "Let it take what the call hands out."):
            changed = change(item)
        self._act()
        return changed

    def at_end(self) -> None:
        """Raise the late error, if there is one."""
        late = self._effect.late_error
        if late is not None and not self._release.is_set():
            self._act()
            raise fresh_error(late, self._evidence)

    def _made(self) -> Any:
        factory = self._effect.answer
        assert factory is not None  # `skips` says so
        with Asking(self._evidence, "ReturnFrom(factory)", factory, "Let it take no argument and not fail."):
            return factory()

    def _items(self) -> Iterable[Any]:
        value = self._made()
        with Asking(self._evidence, "ReturnFrom(factory)", None, ""):
            items = check_items("What is returned for a generator", value, each_time=False)
        self._act()
        return items

    def _act(self) -> None:
        if not self._acted:
            self._acted = True
            self._evidence.note_firing(self._clock.now())


def fresh_error(spec: ErrorSpec, evidence: Evidence) -> BaseException:
    """Build the error that a fault raises now, and note it."""
    with Asking(evidence, "The error", spec, ""):
        error = build_error(spec)
    evidence.note_raised(error)
    return error
