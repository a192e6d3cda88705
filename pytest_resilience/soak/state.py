"""What the conductor knows: the latest of what the runner reported."""

import threading
from dataclasses import replace

from pytest_resilience.chaos.records import ChaosEvent, Seam
from pytest_resilience.memory.records import ITSELF, Sample
from pytest_resilience.soak import messages
from pytest_resilience.soak.messages import Message
from pytest_resilience.store.records import Worker


class RunnerState:
    """Filled by `take` on the runner's threads, read on the conductor's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.progress = messages.Progress(0.0, 0, 0, 0, 0, 0.0)
        self.declared: messages.Declared | None = None
        self.broken: messages.Broken | None = None
        self.mistaken: messages.Mistaken | None = None
        self.troubles: list[str] = []
        self.finished: set[str] = set()
        self.events: dict[str, ChaosEvent] = {}
        self.seams: list[Seam] = []
        self._rss: dict[str, int] = {}
        self._system_percent: dict[str, float] = {}

    @property
    def rss(self) -> int:
        """The resident memory of all processes that loop the tests, in bytes."""
        return sum(self._rss.copy().values())

    @property
    def system_percent(self) -> float:
        """The use of the machine's memory; of the fullest, where several machines take part."""
        return max(self._system_percent.copy().values(), default=0.0)

    def take(self, message: Message) -> ChaosEvent | None:
        """Remember a message; return the event if it changed one."""
        match message:
            case messages.Progress():
                self.progress = message
            case messages.Declared():
                self.declared = message
            case messages.Broken():
                self.broken = self.broken or message
            case messages.Mistaken():
                self.mistaken = self.mistaken or message
            case messages.Trouble(text):
                self.troubles.append(text)
            case messages.Finished(task):
                self.finished.add(task)
            case Seam() | Sample() | Worker():
                self._take_reading(message)
            case _:
                return self._take_event(message)
        return None

    def _take_reading(self, message: Seam | Sample | Worker) -> None:
        match message:
            case Seam():
                known = [(seam.service, seam.target) for seam in self.seams]
                if (key := (message.service, message.target)) in known:
                    self.seams[known.index(key)] = message
                else:
                    self.seams.append(message)
            case Sample(process=process) if process == ITSELF:
                self._rss[message.worker] = message.rss
                if message.system_percent:
                    self._system_percent[message.worker] = message.system_percent
            case Worker(status=status) if status != "running":
                self._rss.pop(message.name, None)
                self._system_percent.pop(message.name, None)

    def _take_event(self, message: Message) -> ChaosEvent | None:
        match message:
            case ChaosEvent(event_id):
                self.events[event_id] = message
                return message
            case messages.Fired(event_id, reached, fired) if self._is_armed(event_id):
                return self.update_event(event_id, reached=reached, fired=fired)
            case messages.Recovered(event_id, at):
                return self.update_event(event_id, recovered_at=at, waited_seconds=self._since(event_id, at))
        return None

    def _is_armed(self, event_id: str) -> bool:
        """Tell whether an event still counts; the record of one that is removed has its last counts."""
        event = self.events.get(event_id)
        return event is not None and event.removed_at is None

    def update_event(self, event_id: str, **changes: float) -> ChaosEvent:
        """Change an event that is known, and return it."""
        with self._lock:
            self.events[event_id] = replace(self.events[event_id], **changes)  # type: ignore[arg-type]
            return self.events[event_id]

    def awaited(self) -> ChaosEvent | None:
        """Return the event that is removed and whose recovery is still open."""
        return next((event for event in self._over() if event.waited_seconds is None), None)

    def unrecovered(self) -> ChaosEvent | None:
        """Return the event that the suite has not come back from, still awaited or given up."""
        return next((event for event in self._over() if event.recovered_at is None), None)

    def _over(self) -> list[ChaosEvent]:
        """Return the events that fired and are removed; after the others there is nothing to recover from."""
        events = list(self.events.values())
        return [event for event in events if event.removed_at is not None and event.fired]

    def active(self) -> list[ChaosEvent]:
        """Return the events whose faults are armed."""
        return [event for event in list(self.events.values()) if event.removed_at is None]

    def _since(self, event_id: str, at: float) -> float:
        removed_at = self.events[event_id].removed_at
        return at - (at if removed_at is None else removed_at)
