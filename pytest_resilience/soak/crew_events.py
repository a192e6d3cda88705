"""One event out of what every worker reports of it: one record, one recovery."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.soak import messages
from pytest_resilience.soak.messages import Message

MOST_NAMED = 4


@dataclass
class SharedEvent:
    """An event and who takes part in it.

    Args:
        inject: the command that began it.
        actors: the workers that injected it.
        members: these, and those whose tests may suffer from it.
        parts: the newest record of each actor, kept also when it dies.
        removed: it is removed everywhere.
        back: when each member recovered, in run seconds.
        over: it has recovered or was settled.
    """

    inject: messages.Inject
    actors: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    parts: dict[str, ChaosEvent] = field(default_factory=dict)
    removed: bool = False
    back: dict[str, float] = field(default_factory=dict)
    over: bool = False

    def record(self, now: float) -> ChaosEvent:
        """Return all parts as one record; while it is active, `removed_at` is None."""
        parts = list(self.parts.values())
        first = parts[0]
        removed = [part.removed_at for part in parts if part.removed_at is not None]
        return replace(
            first,
            armed_at=min(part.armed_at for part in parts),
            injection_seconds=max(part.injection_seconds for part in parts),
            reached=sum(part.reached for part in parts),
            fired=sum(part.fired for part in parts),
            first_fired_at=_best(min, (part.first_fired_at for part in parts)),
            last_fired_at=_best(max, (part.last_fired_at for part in parts)),
            removed_at=max(removed, default=now) if self.removed else None,
            detail=_together({name: part.detail for name, part in self.parts.items()}),
            observed=next((part.observed for part in parts if part.observed), ""),
        )


class EventBook:
    """All events of a distributed soak; the caller sees to it that one thread at a time is in it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._events: dict[str, SharedEvent] = {}

    def begin(self, inject: messages.Inject, actors: Iterable[str], members: Iterable[str]) -> SharedEvent:
        """Begin an event."""
        event = SharedEvent(inject, set(actors), {*actors, *members})
        self._events[inject.event_id] = event
        return event

    def get(self, event_id: str) -> SharedEvent | None:
        return self._events.get(event_id)

    def forget(self, event_id: str) -> None:
        """Undo `begin`: no worker could inject it."""
        del self._events[event_id]

    def active(self) -> list[SharedEvent]:
        """Return the events that are armed."""
        return [event for event in self._events.values() if not event.removed and not event.over]

    def open(self) -> list[SharedEvent]:
        """Return the events that are removed and that the suite has not come back from."""
        return [event for event in self._events.values() if event.removed and not event.over]

    def take(self, worker: str, message: Message) -> Iterator[Message]:
        """Have what a worker reports of an event; yield what is to be told of all of them."""
        match message:
            case ChaosEvent(event_id):
                self._events[event_id].parts[worker] = message
            case messages.Fired(event_id, reached, fired):
                yield from self._count(worker, event_id, reached, fired)
            case messages.Recovered(event_id, at):
                event = self._events.get(event_id)
                if event is not None and not event.over:
                    event.back[worker] = at
                    yield from self._judge(event)

    def gone(self, worker: str) -> Iterator[Message]:
        """Let a worker leave: what it has done stays, its recovery is waited for no longer."""
        for event in self._events.values():
            if worker in event.members and not event.over:
                event.members.discard(worker)
                event.actors.discard(worker)
                if event.removed:
                    yield from self._judge(event)

    def _count(self, worker: str, event_id: str, reached: int, fired: int) -> Iterator[Message]:
        event = self._events.get(event_id)
        if event is None or event.removed or worker not in event.parts:
            return
        event.parts[worker] = replace(event.parts[worker], reached=reached, fired=fired)
        parts = event.parts.values()
        yield messages.Fired(event_id, sum(part.reached for part in parts), sum(part.fired for part in parts))

    def _judge(self, event: SharedEvent) -> Iterator[Message]:
        """Say that an event has recovered once every member that is left has; the latest counts."""
        if event.removed and event.back and event.members <= event.back.keys():
            event.over = True
            at = max(max(event.back.values()), self._removed_at(event))
            yield messages.Recovered(event.inject.event_id, at)

    def _removed_at(self, event: SharedEvent) -> float:
        return event.record(self._now()).removed_at or 0.0

    def removed(self, event: SharedEvent) -> Iterator[Message]:
        """Close an event that is removed everywhere; some members may have recovered by now."""
        event.removed = True
        if event.parts:
            yield event.record(self._now())
        yield from self._judge(event)


def _best(choose: Callable[[Iterable[float]], float], times: Iterable[float | None]) -> float | None:
    known = [time for time in times if time is not None]
    return choose(known) if known else None


def _together(details: dict[str, str]) -> str:
    """Say once what is the same in all workers, else of each worker what is its own."""
    told = {worker: detail for worker, detail in details.items() if detail}
    if len(set(told.values())) <= 1:
        return next(iter(told.values()), "")
    named = [f"{worker}: {detail}" for worker, detail in told.items()]
    more = len(named) - MOST_NAMED
    return " | ".join([*named[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])
