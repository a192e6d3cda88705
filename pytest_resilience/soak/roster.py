"""Who the workers of a distributed soak are: how they join, take over, fall silent and leave."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_resilience.soak.groups import GROUP_OF, share
from pytest_resilience.soak.member import Member, Port, Standing
from pytest_resilience.store.records import Worker
from pytest_resilience.units import counted, format_duration

SILENCE_SECONDS = 8.0
"""After this long without a heartbeat (one each second) a worker is taken for stopped."""

OWN_PAUSE_SECONDS = 2.0
"""Who looks this late was paused himself, and has not been able to hear anybody."""

JOIN_SECONDS = 30.0
"""Once one worker is ready, the others have this long until the run begins without them."""


class Roster:
    """All workers there ever were in this `attempt`.

    `now` is the leader's clock, `mode` how pytest-xdist distributes.
    """

    def __init__(self, now: Callable[[], float], mode: str, note: Callable[[str], None]) -> None:
        self._now, self._mode, self._note = now, mode, note
        self.attempt = 1
        self._members: dict[str, Member] = {}
        self._vacant: deque[str] = deque()
        self._shared = mode not in GROUP_OF
        self._looked_at = now()
        self._first_ready: float | None = None

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def get(self, name: str) -> Member:
        return self._members[name]

    def standing(self, *wanted: Standing) -> list[Member]:
        """Return the workers that stand there."""
        return [member for member in self if member.standing in wanted]

    def add(self, name: str, port: Port) -> Member:
        """Have a worker that is being started; it takes the place of one that crashed, if there is one."""
        replaces = self._vacant.popleft() if self._vacant else ""
        member = Member(name, port, replaces)
        self._members[name] = member
        return member

    def vacate(self, member: Member) -> None:
        """Let the next worker take the place of this one."""
        self._vacant.append(member.name)

    def silent(self) -> list[Member]:
        """Return the workers that were not heard of for too long."""
        now, paused = self._now(), self._now() - self._looked_at > OWN_PAUSE_SECONDS
        self._looked_at = now
        here = [
            member
            for member in self
            if member.standing is not Standing.GONE and member.heard and not member.blame
        ]
        if paused:
            for member in here:
                member.heard = now
        return [member for member in here if now - (member.heard or now) > SILENCE_SECONDS]

    def assign(self) -> list[Member]:
        """Give each worker that has joined its share of the tests; return those that got one now."""
        joined = self.standing(Standing.JOINED)
        if not self._shared:
            if self.standing(Standing.STARTING) and not self._overdue(joined):
                return []
            self._share(joined)
        for member in joined:
            if member.replaces:
                member.share = self._members[member.replaces].share
            elif self._mode in GROUP_OF and member.share is None:
                member.share = ()
            member.standing = Standing.IDLE if member.share == () else Standing.ASSIGNED
        return joined

    def _share(self, joined: list[Member]) -> None:
        if not joined or joined[0].joined is None:
            return
        self._shared = True
        first = joined[0].joined
        shares = share(first.tests, first.marks, len(joined), self._mode)
        for member, tests in zip(joined, shares, strict=True):
            member.share = tests
        if idle := sum(not tests for tests in shares):
            groups = len(joined) - idle
            self._note(
                f"--dist {self._mode} keeps a group of tests in one worker, and there "
                f"{'is' if groups == 1 else 'are'} only {counted(groups, 'group')}: "
                f"{counted(idle, 'worker')} of {len(joined)} will do nothing"
            )

    def _overdue(self, members: list[Member]) -> bool:
        """Tell whether the first of these has waited for the others for long enough."""
        if members and self._first_ready is None:
            self._first_ready = self._now()
        return self._first_ready is not None and self._now() - self._first_ready > JOIN_SECONDS

    @property
    def complete(self) -> bool:
        """Tell whether the run can begin: all are ready, or one is and the others take too long."""
        ready = self.standing(Standing.READY)
        coming = self.standing(Standing.STARTING, Standing.JOINED, Standing.ASSIGNED)
        return bool(ready) and (not coming or self._overdue(ready))

    def enrol(self, member: Member, at: float) -> Worker:
        """Return the record of a worker that begins to loop `at` seconds into the run."""
        joined = member.joined
        assert joined is not None
        member.record = Worker(
            member.name,
            joined.machine,
            joined.pid,
            joined.python,
            at,
            replaces=member.replaces,
            attempt=self.attempt,
        )
        return member.record

    def strike(self, member: Member, at: float, status: str, reason: str = "") -> Worker:
        """Return the record of a worker that has left; one that never looped gets its first."""
        joined = member.joined
        machine, pid, python = (joined.machine, joined.pid, joined.python) if joined else ("", 0, "")
        known = member.record or Worker(
            member.name, machine, pid, python, at, replaces=member.replaces, attempt=self.attempt
        )
        member.record = replace(known, status=status, ended_at=at, reason=reason, stacks=member.stacks)
        return member.record


def silence(member: Member, now: float) -> str:
    """Say for how long a worker was silent."""
    return f"it stopped answering for {format_duration(now - (member.heard or now))}"
