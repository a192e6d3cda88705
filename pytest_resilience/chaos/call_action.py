"""Faults on calls, as an action: taps at every call of a service."""

from collections.abc import Sequence

from pytest_resilience.chaos.evidence import Evidence
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.scope import Scope
from pytest_resilience.chaos.taps import FaultTap
from pytest_resilience.chaos.targets import CallSite
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.chaos.trampoline import Kind
from pytest_resilience.chaos.works import CallWork
from pytest_resilience.clock import Clock

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

_GENERATORS = (Kind.GENERATOR, Kind.ASYNC_GENERATOR)

Normals = Sequence[tuple[CallSite, float | None]]
"""The calls to reach, with their normal latency in seconds if it is known."""


class CallAction:
    """Carries a fault out at the calls of a service; `seed` decides which ones it hits."""

    def __init__(self, work: CallWork, sites: Normals, seed: str, release: Release, clock: Clock) -> None:
        self._work, self._release = work, release
        self._labels = tuple(site.label for site, _ in sites)
        self._evidence = Evidence()
        self._scope = Scope() if work.own_task else None
        schedule = work.trigger.schedule(seed)
        self._taps = tuple(
            (
                site,
                FaultTap(
                    work.fault_for(_measurable(site, normal)),
                    schedule,
                    seed,
                    self._evidence,
                    release,
                    clock,
                    when=work.when,
                    scope=self._scope,
                    kind=site.kind,
                    target=site.label,
                ),
            )
            for site, normal in sites
        )

    @property
    def observed(self) -> str:
        return self._evidence.observed or ""

    @property
    def mistake(self) -> str:
        return self._evidence.mistake or ""

    def start(self) -> None:
        if self._scope is not None:
            self._scope.enter()
        taps = self._taps
        for site, tap in taps:
            LEDGER.attach(site.function, site.slot, tap)
        if self._release.is_set():  # another thread removed it meanwhile
            self._detach()

    def stop(self) -> None:
        self._release.set()
        if self._scope is not None:
            self._scope.leave()
        self._detach()

    def settle(self) -> None:
        self._evidence.settle()

    def touched(self) -> Touched:
        return self._evidence.touched()

    def unfired(self) -> str:
        trigger, service = self._work.trigger, self._work.service.name
        if self._evidence.reached.value:
            return (
                f"{trigger}: the first hit comes by call {trigger.fires_by}. "
                "Call it more often, or hit every call with probability=1."
            )
        return (
            f"nothing called {' or '.join(self._labels)} while it was armed. "
            f"Call it, or correct calls= of Service({service!r}, …)."
        )

    def _detach(self) -> None:
        for site, tap in self._taps:
            LEDGER.detach(site.function, tap)


def _measurable(site: CallSite, normal: float | None) -> float | None:
    """A generator's time is its consumer's too: its normal latency counts as 0, which leaves the floor.

    What an awaitable takes was not seen when it was handed out: that of each call itself counts.
    """
    if site.kind is Kind.AWAITABLE:
        return None
    return 0.0 if site.kind in _GENERATORS else normal
