"""Injections: one scenario active on one service, and the evidence of what it did."""

from collections.abc import Sequence

from pytest_resilience.chaos.countdown import Countdown
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.plans import Plan
from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.taps import Evidence, FaultTap
from pytest_resilience.chaos.targets import CallSite
from pytest_resilience.chaos.trampoline import Kind
from pytest_resilience.clock import Clock
from pytest_resilience.units import counted

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

_GENERATORS = (Kind.GENERATOR, Kind.ASYNC_GENERATOR)

Normals = Sequence[tuple[CallSite, float | None]]
"""The calls to reach, with their normal latency in seconds if it is known."""

Taps = tuple[tuple[CallSite, FaultTap], ...]


class Injection:
    """A scenario on a service: armed until removed, and then the record of what it did.

    A context manager that removes the fault at its end. Times are in seconds of the engine's clock.
    """

    def __init__(
        self,
        plan: Plan,
        sites: Normals,
        *,
        event_id: str,
        seed: int,
        clock: Clock,
        duration: float | None = None,
        must_fire: bool = True,
    ) -> None:
        self.event_id = event_id
        self.seed = seed
        self.must_fire = must_fire
        self.armed_at = clock.now()
        self.removed_at: float | None = None
        self.injection_seconds = 0.0
        self._plan = plan
        self._clock = clock
        self._evidence = Evidence()
        self._release = Release()
        self._taps: Taps = self._make_taps(sites)
        self._targets = tuple(site.label for site, _ in sites)
        self._armed = False
        self._countdown = None if duration is None else Countdown(duration, self.remove, self._release, clock)

    @property
    def scenario(self) -> str:
        return self._plan.scenario.name

    @property
    def service(self) -> str:
        return self._plan.service.name

    @property
    def impact(self) -> str:
        return self._plan.scenario.impact

    @property
    def parameters(self) -> str:
        return self._plan.parameters

    @property
    def reached(self) -> int:
        """How many calls came by while it was armed."""
        return self._evidence.reached.value

    @property
    def fired(self) -> int:
        """How many of them it hit."""
        return self._evidence.fired.value

    @property
    def first_fired_at(self) -> float | None:
        return self._evidence.first_fired_at

    @property
    def last_fired_at(self) -> float | None:
        return self._evidence.last_fired_at

    @property
    def active(self) -> bool:
        return self.removed_at is None

    def arm(self) -> "Injection":
        """Put the fault in place, once: doing it again, or after the removal, changes nothing."""
        if not self._armed:
            try:
                self._attach()
            except BaseException:
                self.remove()
                raise
        return self

    def remove(self) -> None:
        """Take the fault away and end its waits; doing it again changes nothing."""
        if self.removed_at is None:
            self._release.set()
            _detach(self._taps)
            self.removed_at = self._clock.now()
        self._taps = ()
        if self._countdown:
            self._countdown.finish()

    def __repr__(self) -> str:
        return f"<{self.event_id} on {self.service}: reached {self.reached}, fired {self.fired}>"

    def __enter__(self) -> "Injection":
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def record(self, origin: float) -> ChaosEvent:
        """Return the event as plain data, its times in seconds since `origin` of the clock."""

        def since(instant: float | None) -> float | None:
            return None if instant is None else instant - origin

        return ChaosEvent(
            event_id=self.event_id,
            scenario=self.scenario,
            service=self.service,
            impact=self.impact,
            seed=self.seed,
            parameters=self.parameters,
            armed_at=self.armed_at - origin,
            injection_seconds=self.injection_seconds,
            reached=self.reached,
            fired=self.fired,
            first_fired_at=since(self.first_fired_at),
            last_fired_at=since(self.last_fired_at),
            removed_at=since(self.removed_at),
        )

    def explain(self) -> str:
        """Say in one line what the fault hit, and if nothing, why and what to do."""
        reached, fired, trigger = self.reached, self.fired, self._plan.trigger
        found = f"{self.event_id} on {self.service} reached {counted(reached, 'time')}"
        if fired:
            return f"{found}, fired {fired}."
        if not reached:
            return (
                f"{found}: nothing called {' or '.join(self._targets)} "
                f"while it was armed. Call it, or correct calls= of Service({self.service!r}, …)."
            )
        return (
            f"{found}, {trigger}: the first hit comes by call {trigger.fires_by}. "
            "Call it more often, or hit every call with probability=1."
        )

    def _make_taps(self, sites: Normals) -> Taps:
        seed = f"{self.seed}/{self.event_id}/{self.service}"
        schedule = self._plan.trigger.schedule(seed)
        return tuple(
            (
                site,
                FaultTap(
                    self._plan.fault_for(_measurable(site, normal)),
                    schedule,
                    seed,
                    self._evidence,
                    self._release,
                    self._clock,
                ),
            )
            for site, normal in sites
        )

    def _attach(self) -> None:
        started, taps = self._clock.now(), self._taps
        for site, tap in taps:
            LEDGER.attach(site.function, site.slot, tap)
        if self._release.is_set():  # another thread removed it meanwhile
            _detach(taps)
        if self._countdown:
            self._countdown.start()
        self._armed = True
        self.injection_seconds = self._clock.now() - started


def _detach(taps: Taps) -> None:
    for site, tap in taps:
        LEDGER.detach(site.function, tap)


def _measurable(site: CallSite, normal: float | None) -> float | None:
    """A generator's time is its consumer's too: its normal latency counts as 0, which leaves the floor."""
    return 0.0 if site.kind in _GENERATORS else normal
