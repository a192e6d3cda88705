"""Commands to workers: who gives one knows when it was carried out, or that the worker is gone."""

import threading
from collections.abc import Callable, Iterable
from itertools import count

from pytest_resilience.soak.member import Member, Standing
from pytest_resilience.soak.messages import Message

PATIENCE_SECONDS = 60.0
"""A worker whose process is alive has this long for a command."""

HURRY_SECONDS = 5.0
"""The same, once the run is being interrupted."""

LOOK_SECONDS = 0.5


class Orders:
    """`late` is told of a worker that is alive and does not answer; it is not waited for."""

    def __init__(self, now: Callable[[], float], late: Callable[[Member, Message], None]) -> None:
        self._now, self._late = now, late
        self._patience = PATIENCE_SECONDS
        self._changed = threading.Condition()
        self._numbers = count(1)
        self._unanswered: dict[int, str] = {}

    def give(self, members: Iterable[Member], command: Message, *, wait: bool = True) -> None:
        """Send a command to each, and wait until all have carried it out or are gone."""
        sent = {number: member for member in members if (number := self._send(member, command))}
        if not wait:
            return
        began = self._now()
        with self._changed:
            while (missing := sent.keys() & self._unanswered.keys()) and (
                self._now() < began + self._patience
            ):
                self._changed.wait(LOOK_SECONDS)
        for number in missing:
            self.drop(sent[number].name)
            self._late(sent[number], command)

    def hurry(self) -> None:
        """Have less patience from now on."""
        self._patience = HURRY_SECONDS

    def _send(self, member: Member, command: Message) -> int:
        """Return the number of the command, or 0 if the worker is gone."""
        with self._changed:
            if member.standing is Standing.GONE:
                return 0
            number = next(self._numbers)
            self._unanswered[number] = member.name
        try:
            member.port.send(number, command)
        except OSError:
            self.answered(number)
            return 0
        return number

    def answered(self, number: int) -> None:
        """Have an answer."""
        with self._changed:
            self._unanswered.pop(number, None)
            self._changed.notify_all()

    def drop(self, name: str) -> None:
        """Wait no longer for this worker."""
        with self._changed:
            self._unanswered = {number: owner for number, owner in self._unanswered.items() if owner != name}
            self._changed.notify_all()
