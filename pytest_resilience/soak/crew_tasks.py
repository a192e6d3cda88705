"""Tasks that pause the suite, done by as few workers as can do them for all."""

from collections.abc import Iterable, Sequence

from pytest_resilience.soak.member import Member, Standing
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.roster import Roster


class Tasks:
    """Who does which task now; a task is a command, known by the name of its class."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._doing: dict[str, tuple[Message, set[str]]] = {}

    def share_out(self, command: Message) -> Sequence[Member]:
        """Return the workers that must do a task: together they have every breaker that is declared."""
        members = list(_covering(self._roster.standing(Standing.LOOPING)))
        self._doing[type(command).__name__] = command, {member.name for member in members}
        return members

    def abandoned(self) -> list[Message]:
        """Return the tasks whose workers died in the middle and that others can do."""
        return [command for command, doing in self._doing.values() if self._is_abandoned(doing)]

    def _is_abandoned(self, doing: Iterable[str]) -> bool:
        dead = any(self._roster.get(name).standing is Standing.GONE for name in doing)
        return dead and any(_covering(self._roster.standing(Standing.LOOPING)))

    def finished(self, worker: str, task: str) -> bool:
        """Have a worker's part done; tell whether that was the last."""
        if task not in self._doing:
            return False
        _, doing = self._doing[task]
        doing.discard(worker)
        if not doing:
            del self._doing[task]
        return not doing


def _covering(members: Iterable[Member]) -> Iterable[Member]:
    """Yield the first workers that have all the breakers that are declared anywhere."""
    covered: set[str] = set()
    for member in members:
        breakers = set(member.declared.breakers) if member.declared else set()
        if breakers - covered:
            covered |= breakers
            yield member
