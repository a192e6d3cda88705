"""Watching: every seam armed without firing, to learn what is reached and how long it normally takes."""

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median

from pytest_resilience.chaos.counting import AtomicCounter
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.records import Seam
from pytest_resilience.chaos.taps import Token
from pytest_resilience.chaos.targets import CallSite
from pytest_resilience.chaos.triggers import share
from pytest_resilience.clock import Clock

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


class Watch:
    """Watches the calls of services from `start` to `stop`; a context manager."""

    def __init__(self, sites: Mapping[str, Sequence[CallSite]], clock: Clock) -> None:
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
        return tuple(
            Seam(service, label, tap.reached.value, tap.normal_seconds())
            for (service, label), (_, tap) in self._taps.items()
        )

    def start(self) -> "Watch":
        for site, tap in self._taps.values():
            LEDGER.attach(site.function, site.slot, tap)
        if self._stopping:  # by another thread, meanwhile
            self.stop()
        return self

    def stop(self) -> tuple[Seam, ...]:
        """Detach from every call; return what was seen. Doing it again changes nothing."""
        self._stopping = True
        for site, tap in self._taps.values():
            LEDGER.detach(site.function, tap)
        self._stopped = True
        return self.seams

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def normal_seconds(self, service: str, label: str) -> float | None:
        """The normal latency of one call in seconds; None if it is not known."""
        return self._taps[service, label][1].normal_seconds()
