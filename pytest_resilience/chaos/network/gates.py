"""Gates: what toxics do that decide whether a client gets a connection."""

from dataclasses import dataclass, field

from pytest_resilience.chaos.network.connections import Connection
from pytest_resilience.chaos.network.doors import CAN_TURN_AWAY, Mode
from pytest_resilience.chaos.network.hits import Hits
from pytest_resilience.chaos.network.proxy import ProxyEffect
from pytest_resilience.chaos.network.tally import Count, Tally
from pytest_resilience.chaos.network.toxics import Down, FailFirst, NeverAccept, Refuse, Slots, Toxic


@dataclass(slots=True)
class Gate:
    """What one such toxic does. With a toxicity of 1, some turn clients away before they are connected."""

    toxic: Toxic
    hits: Hits
    proxy: ProxyEffect
    tally: Tally
    count: Count
    _mute: dict[Connection, None] = field(default_factory=dict)
    _met: int = 0

    @property
    def mode(self) -> Mode:
        """What the doors do meanwhile."""
        if self.toxic.toxicity < 1 or self.toxic.trigger is not None or not CAN_TURN_AWAY:
            return "open"
        return _DOORS.get(type(self.toxic), "open")

    def meet_open(self, connection: Connection) -> None:
        """Meet a connection that was open before."""
        if isinstance(self.toxic, Down) and self.hits.next():
            self._reset(connection)

    def admit(self, connection: Connection) -> bool:
        """Meet a new connection; tell whether it may have its upstream."""
        if not (self.hits.next() and self._hits_new()):
            return True
        if isinstance(self.toxic, NeverAccept):
            self._mute[connection] = None
            self._touch(connection)
        else:
            self._reset(connection)
        return False

    def release(self) -> None:
        """Let go of those that were never served: they are reset."""
        for connection in tuple(self._mute):
            connection.close(reset=True)
        self._mute.clear()

    def forget(self, connection: Connection) -> None:
        self._mute.pop(connection, None)

    def _hits_new(self) -> bool:
        match self.toxic:
            case FailFirst(connections=first):
                self._met += 1
                return self._met <= first
            case Slots(connections=most):
                return len(self.proxy.connections) > most
        return True

    def _reset(self, connection: Connection) -> None:
        self._touch(connection)
        connection.close(reset=True)

    def _touch(self, connection: Connection) -> None:
        self.count.connections += 1
        self.tally.touch(connection)


_DOORS: dict[type[Toxic], Mode] = {Down: "refusing", Refuse: "refusing", NeverAccept: "ignoring"}
