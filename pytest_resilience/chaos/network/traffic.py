"""Traffic at a proxy: how many exchanges there are, and how long they take."""

from collections import deque
from contextlib import ExitStack
from statistics import median
from time import monotonic

from pytest_resilience.chaos.network.connections import Connection
from pytest_resilience.chaos.network.specs import TrafficSpec
from pytest_resilience.chaos.network.toxics_effect import find_proxy
from pytest_resilience.chaos.supervisor.effects import Find, Info
from pytest_resilience.chaos.touched import Touched

KEPT = 4096
"""The median is that of the latest exchanges, as many as these."""


class TrafficEffect:
    """Counts and times the exchanges at the proxy of `spec.proxy`, and changes nothing."""

    def __init__(self, spec: TrafficSpec, find: Find) -> None:
        self.spec = spec
        self._find = find
        self._undo = ExitStack()
        self._met: dict[Connection, None] = {}
        self._asked_at: dict[Connection, float] = {}
        self._seconds: deque[float] = deque(maxlen=KEPT)
        self._exchanges = 0
        self._first: float | None = None
        self._last: float | None = None

    async def start(self) -> Info:
        """Begin to look. Raise ScenarioError if the proxy is not there."""
        proxy = find_proxy(self.spec.proxy, self._find)
        self._undo.callback(self._leave)
        proxy.guests.append(self)
        self._undo.callback(proxy.guests.remove, self)
        for connection in proxy.connections:
            self.admit(connection)
        return {}

    async def stop(self) -> None:
        """Look no more; doing it again changes nothing."""
        self._undo.close()

    def touched(self) -> Touched:
        """Return the exchanges, and as `detail` their median seconds (empty if no answer was seen)."""
        detail = repr(median(self._seconds)) if self._seconds else ""
        return Touched(self._exchanges, self._exchanges, self._first, self._last, detail)

    def admit(self, connection: Connection) -> bool:
        """Look at a connection, and let it be."""
        if not connection.is_closed:
            self._met[connection] = None
            connection.observers.append(self)
        return True

    def asked(self, connection: Connection) -> None:
        self._exchanges += 1
        self._last = self._asked_at[connection] = monotonic()
        if self._first is None:
            self._first = self._last

    def answered(self, connection: Connection) -> None:
        if connection in self._asked_at:
            self._seconds.append(monotonic() - self._asked_at.pop(connection))

    def closed(self, connection: Connection) -> None:
        self._asked_at.pop(connection, None)
        self._met.pop(connection, None)

    def _leave(self) -> None:
        for connection in self._met:
            connection.observers.remove(self)
        self._met.clear()
