"""Watching: every seam armed without firing, to learn what is reached and how long it normally takes."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from pytest_resilience.chaos.counting import AtomicCounter
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.network.specs import TrafficSpec
from pytest_resilience.chaos.outside import Outside
from pytest_resilience.chaos.records import Seam
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.chaos.taps import Token
from pytest_resilience.chaos.targets import CallSite
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.chaos.triggers import share
from pytest_resilience.clock import Clock
from pytest_resilience.endpoints import Endpoint
from pytest_resilience.services import Service

KEPT_LATENCIES = 1024
"""The median of a call is that of its latest calls, as many as these."""


class WatchTap:
    """Counts and times every call, and changes nothing."""

    def __init__(self, clock: Clock) -> None:
        self.schedule = share(1).schedule("")
        self.reached = AtomicCounter()
        self.latencies: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._clock = clock

    def enter(self, index: int) -> Token:
        return self._clock.now()

    def leave(self, token: Token) -> None:
        assert isinstance(token, float)
        self.latencies.append(self._clock.now() - token)

    async def enter_async(self, index: int) -> Token:
        return self.enter(index)

    async def leave_async(self, token: Token) -> None:
        self.leave(token)

    def normal_seconds(self) -> float | None:
        """The median latency of calls that returned; None if none did, and for generators."""
        latencies = self.latencies.copy()
        return median(latencies) if latencies else None


class TrafficTap:
    """Counts and times the exchanges at the proxy of an endpoint, and changes nothing."""

    def __init__(self, service: str, endpoint: Endpoint, outside: Outside) -> None:
        self._id, self._service = "", service
        self._endpoint, self._outside = endpoint, outside
        self._seen = Touched()
        self._running = False

    def start(self) -> None:
        """Begin to count, if anybody connects through the proxy at all."""
        if not self._running and self._outside.has_proxy(self._endpoint):
            self._id = self._outside.new_id(f"traffic of {self._service}")
            self._running = True
            self._outside.supervisor.start(self._id, TrafficSpec(self._outside.proxy(self._endpoint)))

    def stop(self) -> None:
        if self._running:
            self._seen = self._outside.supervisor.stop(self._id)
            self._running = False

    def touched(self) -> Touched:
        return self._outside.supervisor.touched(self._id) if self._running else self._seen

    def normal_seconds(self) -> float | None:
        """The median latency of an exchange in seconds; None if there was none."""
        median_seconds = self.touched().detail
        return float(median_seconds) if median_seconds else None


class Watch:
    """Watches the seams of services from `start` to `stop`, once; a context manager."""

    def __init__(
        self,
        services: Iterable[Service],
        sites: Mapping[str, Sequence[CallSite]],
        outside: Outside,
        clock: Clock,
    ) -> None:
        self._traffic = {
            (service.name, str(endpoint)): TrafficTap(service.name, endpoint, outside)
            for service in services
            if (endpoint := service.listens_at) is not None
        }
        self._taps = {
            (service, site.label): (site, WatchTap(clock)) for service, own in sites.items() for site in own
        }
        self._stopping = self._stopped = False

    @property
    def active(self) -> bool:
        return not self._stopped

    @property
    def seams(self) -> tuple[Seam, ...]:
        """What was seen so far, per service and target."""
        calls = [
            Seam(service, label, tap.reached.value, tap.normal_seconds())
            for (service, label), (_, tap) in self._taps.items()
        ]
        endpoints = [
            Seam(service, label, tap.touched().reached, tap.normal_seconds(), SeamKind.ENDPOINT.value)
            for (service, label), tap in self._traffic.items()
        ]
        return (*calls, *endpoints)

    def start(self) -> "Watch":
        """Begin; doing it again changes nothing."""
        for site, tap in self._taps.values():
            LEDGER.attach(site.function, site.slot, tap)
        for traffic in self._traffic.values():
            traffic.start()
        if self._stopping:  # by another thread, meanwhile
            self.stop()
        return self

    def stop(self) -> tuple[Seam, ...]:
        """Detach from every seam; return what was seen. Doing it again changes nothing."""
        self._stopping = True
        for site, tap in self._taps.values():
            LEDGER.detach(site.function, tap)
        for traffic in self._traffic.values():
            traffic.stop()
        self._stopped = True
        return self.seams

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def normal_seconds(self, service: str, label: str) -> float | None:
        """The normal latency of a call or an endpoint in seconds; None if it is not known."""
        if (service, label) in self._traffic:
            return self._traffic[service, label].normal_seconds()
        watched = self._taps.get((service, label))
        return watched[1].normal_seconds() if watched else None
