"""Injections: one scenario active on one target, and the evidence of what it did."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from pytest_resilience.chaos.actions import Action
from pytest_resilience.chaos.countdown import Countdown
from pytest_resilience.chaos.plans import Plan
from pytest_resilience.chaos.records import ChaosEvent, EventMetrics
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock
from pytest_resilience.units import counted

if TYPE_CHECKING:
    from pytest_resilience.chaos.host.metrics import HostMetrics  # brings psutil

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

Measure: TypeAlias = "Callable[[], HostMetrics]"


class Injection:
    """A scenario on a target: armed until removed, and then the record of what it did.

    A context manager that removes the fault at its end. Times are in seconds of the engine's clock.
    `measure` reads the test process; `changed` is told "armed" and "removed".
    """

    def __init__(
        self,
        plan: Plan,
        make_action: Callable[[Release], Action],
        *,
        event_id: str,
        seed: int,
        clock: Clock,
        measure: Measure,
        duration: float | None = None,
        must_fire: bool = True,
        changed: "Callable[[Injection, str], None]" = lambda injection, change: None,
    ) -> None:
        self.event_id = event_id
        self.seed = seed
        self.must_fire = must_fire
        self.armed_at = clock.now()
        self.removed_at: float | None = None
        self.injection_seconds = 0.0
        self.metrics: tuple[EventMetrics, ...] = ()
        self._plan = plan
        self._clock = clock
        self._measure_now = measure
        self._changed = changed
        self._release = Release()
        self._action = make_action(self._release)
        self._armed = False
        self._failure: Exception | None = None
        self._countdown = None if duration is None else Countdown(duration, self._end, self._release, clock)

    @property
    def scenario(self) -> str:
        return self._plan.scenario.name

    @property
    def service(self) -> str:
        """The name of the service, "host" or "topology"."""
        return self._plan.target

    @property
    def seam(self) -> str:
        """Where it acts: calls, endpoint, process, host or topology."""
        return self._plan.seam.value

    @property
    def impact(self) -> str:
        return self._plan.scenario.impact

    @property
    def parameters(self) -> str:
        return self._plan.parameters

    @property
    def touched(self) -> Touched:
        """All evidence at once."""
        return self._action.touched()

    @property
    def reached(self) -> int:
        """How many calls (exchanges, checks, services: as the seam counts) came by while it was armed."""
        return self.touched.reached

    @property
    def fired(self) -> int:
        """How many of them it hit."""
        return self.touched.fired

    @property
    def first_fired_at(self) -> float | None:
        return self.touched.first_fired_at

    @property
    def last_fired_at(self) -> float | None:
        return self.touched.last_fired_at

    @property
    def observed(self) -> str:
        """Where the code under test caught the injected error; an empty string if that is not known."""
        return self._action.observed

    @property
    def mistake(self) -> str:
        """What a function that was given with the fault did wrong, in one line; empty if nothing."""
        return self._action.mistake

    @property
    def failed_to_fire(self) -> bool:
        """Whether it had to fire, and can be seen not to have."""
        touched = self.touched
        return self.must_fire and not touched.fired and not touched.blind

    @property
    def active(self) -> bool:
        return self.removed_at is None

    def arm(self) -> "Injection":
        """Put the fault in place, once: doing it again, or after the removal, changes nothing."""
        if not self._armed:
            try:
                self._start()
            except BaseException:
                self.remove()
                raise
        return self

    def remove(self) -> None:
        """Take the fault away and end its waits; doing it again changes nothing.

        Raises:
            ScenarioError: something could not be undone, also when that was at the end of its duration.
        """
        if self._countdown:
            self._countdown.cancel()
        self._take_away()
        if self._countdown:
            self._countdown.finish()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def settle(self) -> None:
        """Learn where injected errors were caught; call it where none is on its way, as between two tests."""
        self._action.settle()

    def __repr__(self) -> str:
        touched = self.touched
        return f"<{self.event_id} on {self.service}: reached {touched.reached}, fired {touched.fired}>"

    def __enter__(self) -> "Injection":
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def record(self, origin: float) -> ChaosEvent:
        """Return the event as plain data, its times in seconds since `origin` of the clock."""

        def since(instant: float | None) -> float | None:
            return None if instant is None else instant - origin

        touched = self.touched
        return ChaosEvent(
            event_id=self.event_id,
            scenario=self.scenario,
            service=self.service,
            impact=self.impact,
            seed=self.seed,
            parameters=self.parameters,
            armed_at=self.armed_at - origin,
            injection_seconds=self.injection_seconds,
            reached=touched.reached,
            fired=touched.fired,
            first_fired_at=since(touched.first_fired_at),
            last_fired_at=since(touched.last_fired_at),
            removed_at=since(self.removed_at),
            seam=self.seam,
            detail=touched.detail,
            observed=self.observed,
        )

    def explain(self) -> str:
        """Say in one line what the fault hit, and if nothing, why and what to do."""
        touched = self.touched
        found = f"{self.event_id} on {self.service} reached {counted(touched.reached, 'time')}"
        if touched.fired:
            return f"{found}, fired {touched.fired}."
        return f"{found}{', ' if touched.reached else ': '}{self._action.unfired()}"

    def _end(self) -> None:
        """Take it away after its duration; what goes wrong is told by `remove`, which tries again."""
        try:
            self._take_away()
        except Exception as failure:
            self._failure = failure

    def _take_away(self) -> None:
        if self.removed_at is not None:
            return
        self._measure("during")
        self._release.set()
        self._action.stop()
        self._action.settle()
        self.removed_at = self._clock.now()
        self._measure("after")
        self._changed(self, "removed")

    def _start(self) -> None:
        self._measure("before")
        started = self._clock.now()
        self._action.start()
        if self._countdown:
            self._countdown.start()
        self._armed = True
        self.injection_seconds = self._clock.now() - started
        self._changed(self, "armed")

    def _measure(self, moment: str) -> None:
        """Read the test process, once; without a free descriptor the moment is left out."""
        if not self._armed and moment != "before":
            return
        if any(one.moment == moment for one in self.metrics):  # in a removal that was interrupted
            return
        try:
            seen = self._measure_now()
        except OSError:
            return
        self.metrics += (
            EventMetrics(
                self.event_id,
                moment,
                seen.cpu_percent,
                seen.rss,
                seen.threads,
                seen.fds,
                seen.connections,
            ),
        )
