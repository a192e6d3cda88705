"""Toxics of data in their places: which stage each one has on which connection."""

from pytest_resilience.chaos.network.connections import Connection
from pytest_resilience.chaos.network.cuts import LimitStage, ResetStage, TimeoutStage
from pytest_resilience.chaos.network.delays import BandwidthStage, LatencyStage, SlicerStage, SlowCloseStage
from pytest_resilience.chaos.network.flows import Flow
from pytest_resilience.chaos.network.hits import Hits
from pytest_resilience.chaos.network.proxy import ProxyEffect
from pytest_resilience.chaos.network.stages import Site, ToxicStage
from pytest_resilience.chaos.network.tally import Count, Tally
from pytest_resilience.chaos.network.toxics import (
    Bandwidth,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
)


class Placed:
    """One toxic of data, wherever it stands: each connection has its own stage."""

    def __init__(self, toxic: Toxic, hits: Hits, proxy: ProxyEffect, tally: Tally, count: Count) -> None:
        self.toxic = toxic
        self._hits = hits
        self._proxy = proxy
        self._tally = tally
        self._count = count
        self._stages: dict[Connection, tuple[Flow, ToxicStage[Toxic]]] = {}

    def place(self, connection: Connection) -> None:
        """Stand in a connection's way, if it is hit or its exchanges may be."""
        per_exchange = self.toxic.per == "exchange"
        if not self.toxic.toxicity or not (per_exchange or self._hits.next()):
            return
        flow = connection.flow(self.toxic.stream)
        site = Site(connection, flow, self._proxy.loop, self._hits.draws(), self._tally, self._count)
        stage = stage_of(self.toxic, site)
        self._stages[connection] = flow, stage
        flow.add(stage)
        if not per_exchange:
            stage.decide(hit=True)

    def ask(self, connection: Connection) -> None:
        """Decide for a question that begins."""
        if self.toxic.per == "exchange" and connection in self._stages:
            self._stages[connection][1].decide(self._hits.next())

    def forget(self, connection: Connection) -> None:
        self._stages.pop(connection, None)

    def release(self) -> None:
        """Leave all connections; what is held goes on at once."""
        for flow, stage in tuple(self._stages.values()):
            flow.remove(stage)
        self._stages.clear()


def stage_of(toxic: Toxic, site: Site) -> ToxicStage[Toxic]:
    """Return what a toxic does to data; a toxic that acts on whole connections has none (KeyError)."""
    return _STAGES[type(toxic)](toxic, site)


_STAGES: dict[type[Toxic], type[ToxicStage[Toxic]]] = {  # a stage is made of its own kind of toxic only
    Latency: LatencyStage,  # type: ignore[dict-item]
    Bandwidth: BandwidthStage,  # type: ignore[dict-item]
    SlowClose: SlowCloseStage,  # type: ignore[dict-item]
    Timeout: TimeoutStage,  # type: ignore[dict-item]
    ResetPeer: ResetStage,  # type: ignore[dict-item]
    Slicer: SlicerStage,  # type: ignore[dict-item]
    LimitData: LimitStage,  # type: ignore[dict-item]
}
