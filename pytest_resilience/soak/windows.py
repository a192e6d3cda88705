"""Which fault a failure belongs to: the times of events from armed to recovered."""


class EventWindows:
    """Times during which events own the failures; all in run seconds."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, float]] = {}

    def open(self, event_id: str, at: float) -> None:
        self._windows[event_id] = (at, float("inf"))

    def forget(self, event_id: str) -> None:
        """Undo `open`: the event never came to be."""
        self._windows.pop(event_id, None)

    def close(self, event_id: str, at: float) -> None:
        opened, _ = self._windows[event_id]
        self._windows[event_id] = (opened, at)

    def owner(self, started: float, ended: float) -> str:
        """Return the newest event that overlaps the time from `started` to `ended`, or an empty string."""
        for event_id, (opened, closed) in reversed(self._windows.copy().items()):
            if opened <= ended and started < closed:
                return event_id
        return ""
