"""Toxics on a proxy: they meet each connection, and let go of all of them when they are removed."""

from contextlib import ExitStack
from functools import partial

from pytest_resilience.chaos.network.connections import Connection
from pytest_resilience.chaos.network.doors import Mode
from pytest_resilience.chaos.network.gates import Gate
from pytest_resilience.chaos.network.hits import Hits
from pytest_resilience.chaos.network.knocks import INVISIBLE_BY_PATH
from pytest_resilience.chaos.network.placed import Placed
from pytest_resilience.chaos.network.proxy import ProxyEffect
from pytest_resilience.chaos.network.specs import ToxicsSpec
from pytest_resilience.chaos.network.tally import Count, Tally
from pytest_resilience.chaos.network.toxics import Toxic, WholeConnection
from pytest_resilience.chaos.supervisor.effects import Effect, Find, Info
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError, requirement


def find_proxy(effect_id: str, find: Find) -> ProxyEffect:
    """Return the proxy of an id; raise ScenarioError if there is none."""
    effect: Effect = find(effect_id)
    if not isinstance(effect, ProxyEffect):
        raise ScenarioError(requirement("proxy", "the id of a proxy that runs", effect_id))
    return effect


class ToxicsEffect:
    """Toxics on the proxy of `spec.proxy`; others may be on it at the same time, and go in any order."""

    def __init__(self, spec: ToxicsSpec, find: Find) -> None:
        self.spec = spec
        self._find = find
        self._tally = Tally(tuple(Count(type(toxic).__name__) for toxic in spec.toxics))
        self._met: dict[Connection, None] = {}
        self._placed: list[Placed] = []
        self._gates: list[Gate] = []
        self._proxy: ProxyEffect | None = None
        self._undo = ExitStack()

    async def start(self) -> Info:
        """Act on all open connections and on those that come. Raise ScenarioError if there is no proxy."""
        proxy = self._proxy = find_proxy(self.spec.proxy, self._find)
        self._undo.callback(self._tally.end)
        self._undo.callback(self._leave)
        for number, (toxic, count) in enumerate(zip(self.spec.toxics, self._tally.counts, strict=True)):
            self._make(toxic, Hits.of(toxic, f"{self.spec.seed}/{number}"), proxy, count)
        self._close_doors(proxy)
        self._tally.begin(proxy.occasions)
        proxy.guests.append(self)
        self._undo.callback(proxy.guests.remove, self)
        for connection in tuple(proxy.connections):
            self._meet_open(connection)
        return {}

    async def stop(self) -> None:
        """Let go of all connections; doing it again changes nothing."""
        self._undo.close()

    def touched(self) -> Touched:
        if self._proxy is not None:
            self._proxy.doorkeeper.look()
        return self._tally.touched()

    def admit(self, connection: Connection) -> bool:
        """Meet a new connection."""
        self._meet(connection)
        admitted = [gate.admit(connection) for gate in self._gates if not connection.is_closed]
        self._place(connection)
        return all(admitted)

    def asked(self, connection: Connection) -> None:
        for placed in self._placed:
            placed.ask(connection)

    def answered(self, connection: Connection) -> None:
        """Nothing to do: toxics follow the questions."""

    def closed(self, connection: Connection) -> None:
        self._met.pop(connection, None)
        self._tally.forget(connection)
        for placed in self._placed:
            placed.forget(connection)
        for gate in self._gates:
            gate.forget(connection)

    def _make(self, toxic: Toxic, hits: Hits, proxy: ProxyEffect, count: Count) -> None:
        if isinstance(toxic, WholeConnection):
            gate = Gate(toxic, hits, proxy, self._tally, count)
            self._gates.append(gate)
            self._undo.callback(gate.release)
        else:
            placed = Placed(toxic, hits, proxy, self._tally, count)
            self._placed.append(placed)
            self._undo.callback(placed.release)

    def _close_doors(self, proxy: ProxyEffect) -> None:
        for mode in {gate.mode: None for gate in self._gates if gate.mode != "open"}:
            knocked = partial(self._knocked, mode)
            self._undo.callback(proxy.doorkeeper.let, mode, knocked)
            proxy.doorkeeper.hold(mode, knocked)
            self._gate_counts(mode)[0].note = self._doubt(mode, proxy)

    def _doubt(self, mode: Mode, proxy: ProxyEffect) -> str:
        """Say what cannot be seen of the clients that are turned away; empty if nothing."""
        if proxy.spec.upstream.path:  # then its clients most likely use the proxy's Unix socket
            return INVISIBLE_BY_PATH
        return proxy.doorkeeper.doubt if mode == "refusing" else ""

    def _knocked(self, mode: Mode, clients: int) -> None:
        """Clients were turned away, before there was a connection."""
        self._tally.fire(clients)
        for count in self._gate_counts(mode):
            count.turned_away += clients

    def _gate_counts(self, mode: Mode) -> list[Count]:
        return [gate.count for gate in self._gates if gate.mode == mode]

    def _meet_open(self, connection: Connection) -> None:
        self._meet(connection)
        for gate in self._gates:
            gate.meet_open(connection)
        self._place(connection)

    def _meet(self, connection: Connection) -> None:
        if not connection.is_closed:
            self._met[connection] = None
            connection.observers.append(self)

    def _place(self, connection: Connection) -> None:
        for placed in self._placed:
            if not connection.is_closed:
                placed.place(connection)

    def _leave(self) -> None:
        for connection in self._met:
            connection.observers.remove(self)
        self._met.clear()
