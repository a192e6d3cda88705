"""News of events: what changed, told on the tests' thread whichever thread learned it."""

from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeAlias

from pytest_resilience.chaos.records import ChaosEvent

Tell: TypeAlias = Callable[[ChaosEvent, str], None]
"""Told an event and its change: armed, fired, removed, recovered or gave up."""


class News:
    """Collects records of events on any thread; `tell_all` tells the changes on its own."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._records: SimpleQueue[ChaosEvent] = SimpleQueue()
        self._known: dict[str, ChaosEvent] = {}
        self._untold: deque[tuple[ChaosEvent, str]] = deque()

    def take(self, event: ChaosEvent) -> None:
        """Have the newest record of an event."""
        self._records.put(event)

    def tell_all(self) -> None:
        """Tell what changed since the last time; what is left when `tell` raises is told the next time."""
        self._look()
        while self._untold:
            self._tell(*self._untold.popleft())
            self._look()

    def _look(self) -> None:
        """Compare the records that came with those that were known."""
        while not self._records.empty():
            try:
                event = self._records.get_nowait()
            except Empty:
                return
            news = changes(self._known.get(event.event_id), event)
            self._untold.extend((event, change) for change in news)
            self._known[event.event_id] = event


def changes(before: ChaosEvent | None, event: ChaosEvent) -> Iterator[str]:
    """Yield what is new in a record, in the order in which it happened."""
    if before is None:
        yield "armed"
    if event.fired and not (before and before.fired):
        yield "fired"
    if event.removed_at is not None and (before is None or before.removed_at is None):
        yield "removed"
    if event.recovered_at is not None and (before is None or before.recovered_at is None):
        yield "recovered"
    elif event.waited_seconds is not None and (before is None or before.waited_seconds is None):
        yield "gave up"
