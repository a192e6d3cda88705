"""Faults among workers: who injects, who only suffers, and one event for all of it."""

import threading
from collections.abc import Callable, Iterable

from pytest_resilience.soak import messages
from pytest_resilience.soak.crew_events import EventBook, SharedEvent
from pytest_resilience.soak.crew_sums import told_once
from pytest_resilience.soak.member import Member, Standing
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.orders import Orders
from pytest_resilience.soak.roster import Roster

Parties = tuple[list[Member], list[Member]]
"""Who injects a fault, and who else may suffer from it."""


class CrewFaults:
    """Gives the commands about events to those concerned, and sums up what they report.

    `lock` guards what is reported; commands are given without it, as their answers need it.
    """

    def __init__(
        self,
        roster: Roster,
        orders: Orders,
        lock: threading.RLock,
        now: Callable[[], float],
        emit: Callable[[Message], None],
        note: Callable[[str], None],
    ) -> None:
        self._roster, self._orders, self._lock = roster, orders, lock
        self._now, self._emit, self._note = now, emit, note
        self._book = EventBook(now)
        self._troubles: dict[str, list[str]] = {}

    def inject(self, command: messages.Inject) -> None:
        """Inject once for each thing that would be hit; tell of one event, or why there is none."""
        acting, witnesses = self._parties(command, self._roster.standing(Standing.LOOPING), ())
        with self._lock:
            event = self._book.begin(command, _names(acting), _names(witnesses))
        self._orders.give(witnesses, messages.Overlap(command.event_id, command.scenario))
        self._orders.give(acting, command)
        trouble = self._take_troubles()
        with self._lock:
            for name in event.actors - event.parts.keys():
                event.actors.discard(name)
                event.members.discard(name)
            if event.parts:
                self._emit(event.record(self._now()))
            else:
                self._book.forget(command.event_id)
                self._emit(messages.Trouble(trouble or "no worker could inject it"))
        if not event.parts:
            self._orders.give(witnesses, messages.Settle(command.event_id))
        elif trouble:
            self._note(f"{command.event_id} was not injected everywhere: {trouble}")

    def _parties(self, command: messages.Inject, able: Iterable[Member], taken_by: Iterable[str]) -> Parties:
        key = command.scenario, command.target, command.seam
        taken = {self._roster.get(name).reach.get(key, "") for name in taken_by}
        acting: list[Member] = []
        witnesses: list[Member] = []
        for member in able:
            identity = member.reach.get(key)
            if identity is None:
                continue
            (witnesses if identity and identity in taken else acting).append(member)
            taken.add(identity)
        return acting, witnesses

    def join(self, member: Member) -> None:
        """Let a worker that came late take part in what is under way."""
        for event in self._book.active():
            self._join(member, event)
        for event in self._book.open():
            with self._lock:
                event.members.add(member.name)
            self._orders.give([member], messages.AwaitRecovery(event.inject.event_id))

    def _join(self, member: Member, event: SharedEvent) -> None:
        acting, witnesses = self._parties(event.inject, [member], event.actors)
        with self._lock:
            event.members.update(_names(acting), _names(witnesses))
            event.actors.update(_names(acting))
        self._orders.give(witnesses, messages.Overlap(event.inject.event_id, event.inject.scenario))
        self._orders.give(acting, event.inject)
        self.tell_troubles()

    def remove(self, event_id: str) -> None:
        """Remove an event: first the fault itself, then let those who suffered watch for recovery."""
        event = self._book.get(event_id)
        if event is None:
            return
        command = messages.Remove(event_id)
        self._orders.give(self._named(event.actors), command)
        self._orders.give(self._named(event.members - event.actors), command)
        self.tell_troubles()
        with self._lock:
            for message in self._book.removed(event):
                self._emit(message)

    def settle(self, event_id: str) -> None:
        """Let an event be over, recovered or not."""
        event = self._book.get(event_id)
        if event is None:
            return
        with self._lock:
            event.over = True
            waiting = event.members - event.back.keys()
        self._orders.give(self._named(waiting), messages.Settle(event_id))

    def take(self, worker: str, message: Message) -> None:
        """Have what a worker reports of an event."""
        for told in self._book.take(worker, message):
            self._emit(told)

    def gone(self, worker: str) -> None:
        """Go on without a worker."""
        for told in self._book.gone(worker):
            self._emit(told)

    def trouble(self, worker: str, text: str) -> None:
        """Have what went wrong in a worker."""
        self._troubles.setdefault(worker, []).append(text)

    def tell_troubles(self) -> None:
        """Tell what went wrong since the last time."""
        if text := self._take_troubles():
            self._emit(messages.Trouble(text))

    def _take_troubles(self) -> str:
        with self._lock:
            troubles, self._troubles = self._troubles, {}
        return told_once(troubles)

    def _named(self, names: Iterable[str]) -> list[Member]:
        return [self._roster.get(name) for name in sorted(names)]


def _names(members: Iterable[Member]) -> list[str]:
    return [member.name for member in members]
