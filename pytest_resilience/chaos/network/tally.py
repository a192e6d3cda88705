"""Evidence: what toxics really touched, exactly."""

from dataclasses import dataclass, field
from time import monotonic

from pytest_resilience.chaos.network.connections import Connection, Occasions
from pytest_resilience.chaos.network.knocks import INVISIBLE, INVISIBLE_BY_PATH
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.units import counted


@dataclass(slots=True)
class Count:
    """What one toxic touched."""

    name: str
    connections: int = 0
    bytes: int = 0
    turned_away: int = 0
    note: str = ""

    @property
    def touched(self) -> bool:
        return bool(self.connections or self.bytes or self.turned_away or self.note)

    def __str__(self) -> str:
        parts = []
        if self.turned_away:
            parts.append(f"{counted(self.turned_away, 'attempt')} to connect")
        if self.connections or not self.turned_away:
            parts.append(f"{counted(self.connections, 'connection')}, {counted(self.bytes, 'byte')}")
        if self.note:
            parts.append(self.note)
        return ", ".join(parts)


@dataclass(slots=True)
class Tally:
    """What the toxics of one effect touched: which of the occasions since `begin` they acted on.

    An occasion is a new connection, also one that is not let in, or a question on a connection. One that
    began earlier, and is touched now, counts as well.
    """

    counts: tuple[Count, ...]
    _occasions: Occasions = field(default_factory=Occasions)
    _from: int = 0
    _until: int | None = None
    _earlier: int = 0
    _fired: int = 0
    _first: float | None = None
    _last: float | None = None
    _latest: dict[Connection, int] = field(default_factory=dict)

    def begin(self, occasions: Occasions) -> None:
        self._occasions = occasions
        self._from = occasions.count_from = occasions.count

    def end(self) -> None:
        """Count no further; doing it again changes nothing."""
        if self._until is None:
            self._until = self._occasions.count

    def touch(self, connection: Connection) -> None:
        """A toxic acts on the current occasion of a connection, which counts once."""
        if self._latest.get(connection) != connection.occasion:
            self._latest[connection] = connection.occasion
            self._earlier += connection.occasion <= self._from
            self.fire(1)
        self._last = monotonic()

    def fire(self, times: int) -> None:
        """A toxic has acted on as many new occasions."""
        self._fired += times
        self._last = monotonic()
        if self._first is None:
            self._first = self._last

    def forget(self, connection: Connection) -> None:
        self._latest.pop(connection, None)

    def touched(self) -> Touched:
        until = self._occasions.count if self._until is None else self._until
        reached = until - self._from + self._earlier
        blind = any(count.note in (INVISIBLE, INVISIBLE_BY_PATH) for count in self.counts)
        return Touched(reached, self._fired, self._first, self._last, self._detail(), blind)

    def _detail(self) -> str:
        """Tell of each toxic what it touched; those that touched nothing are told only if none did."""
        if len(self.counts) == 1:
            return str(self.counts[0])
        touching = [count for count in self.counts if count.touched] or self.counts
        return "; ".join(f"{count.name}: {count}" for count in touching)
