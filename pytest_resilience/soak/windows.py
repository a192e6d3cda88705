"""Which fault a failure belongs to: the times of events from armed to recovered."""

from collections.abc import Collection
from dataclasses import dataclass, replace

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Window:
    scenario: str
    opened: float
    removed: float = NEVER
    closed: float = NEVER


class EventWindows:
    """Times during which events own the failures; all in run seconds."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}

    def open(self, event_id: str, at: float, scenario: str = "") -> None:
        self._windows[event_id] = _Window(scenario, at)

    def forget(self, event_id: str) -> None:
        """Undo `open`: the event never came to be."""
        self._windows.pop(event_id, None)

    def remove(self, event_id: str, at: float) -> None:
        """Note that the fault is gone; until the event is closed, failures still belong to it."""
        self._windows[event_id] = replace(self._windows[event_id], removed=at)

    def close(self, event_id: str, at: float) -> None:
        window = self._windows[event_id]
        self._windows[event_id] = replace(window, removed=min(window.removed, at), closed=at)

    def owner(self, started: float, ended: float, survived: Collection[str] = ()) -> str:
        """Return the newest event that overlaps the time from `started` to `ended`, or an empty string.

        One whose scenario is in `survived` owns a failure only if no other event explains it.
        """
        found = ""
        for event_id, window in reversed(self._windows.copy().items()):
            if window.opened <= ended and started < window.closed:
                if window.scenario not in survived:
                    return event_id
                found = found or event_id
        return found

    def calm_since(self) -> float:
        """Return since when no fault is armed; infinity while one is."""
        return max((window.removed for window in self._windows.copy().values()), default=0.0)
