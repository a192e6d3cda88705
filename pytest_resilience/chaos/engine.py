"""The engine: injects scenarios into services, keeps the evidence, and takes everything away again."""

from collections import Counter
from collections.abc import Iterable
from types import FunctionType
from typing import Unpack

from pytest_resilience.chaos.injection import Injection
from pytest_resilience.chaos.parameters import Parameters, seconds
from pytest_resilience.chaos.plans import Plan, make_plan
from pytest_resilience.chaos.scenarios import Shares, shares_at
from pytest_resilience.chaos.targets import CallSite, resolve
from pytest_resilience.chaos.watch import Watch
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ResilienceError, ScenarioError, did_you_mean
from pytest_resilience.services import Service, index_services

__all__ = ["Chaos", "Injection", "Watch"]


class Chaos:
    """Injects faults into the calls of declared services.

    Args:
        services: the dependencies that faults may hit.
        seed: decides which calls are hit; the same seed hits the same ones.
        intensity: low, medium, high or extreme, the default shares of calls that are hit.
        shares: these shares, instead of an intensity's.
        clock: where times come from.
        max_concurrent: how many injections may be active at once.
        event_prefix: stands before the id of each event.

    Raises:
        ServiceError, TargetError: a service is wrong, or one of its calls is out of reach.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        seed: int,
        intensity: str = "medium",
        shares: Shares | None = None,
        clock: Clock | None = None,
        max_concurrent: int = 3,
        event_prefix: str = "",
    ) -> None:
        self._services = index_services(services)
        self._sites = {name: _resolve_calls(service) for name, service in self._services.items()}
        self._seed = seed
        self._shares = shares or shares_at(intensity)
        self._clock = clock or SystemClock()
        self._max_concurrent = max_concurrent
        self._event_prefix = event_prefix
        self._injections: list[Injection] = []
        self._count: Counter[str] = Counter()
        self._watch: Watch | None = None

    @property
    def services(self) -> tuple[Service, ...]:
        """The declared services, in their order."""
        return tuple(self._services.values())

    @property
    def injections(self) -> tuple[Injection, ...]:
        """All injections so far, in order."""
        return tuple(self._injections)

    def active(self) -> tuple[Injection, ...]:
        """Return the injections that are not removed yet."""
        return tuple(injection for injection in self.injections if injection.active)

    def unfired(self) -> tuple[Injection, ...]:
        """Return the injections that had to fire and never did."""
        return tuple(
            injection for injection in self.injections if injection.must_fire and not injection.fired
        )

    def inject(
        self,
        scenario: str,
        target: str,
        *,
        duration: float | None = None,
        must_fire: bool = True,
        **parameters: Unpack[Parameters],
    ) -> Injection:
        """Make `scenario` happen to the service `target` from now on.

        Args:
            scenario: such as "latency_spike".
            target: the name of a service.
            duration: seconds after which the fault is removed by itself; else at the end of the `with` block.
            must_fire: a fault that hits no call at all is a failure of the test.
            parameters: `probability` or `trigger`, and the scenario's own, see Parameters.

        Raises:
            ScenarioError: unknown names, wrong values, or too many at once. Nothing is patched.
        """
        __tracebackhide__ = True  # a wrong call in a test is told by its own line, without ours
        try:
            plan = self._checked_plan(scenario, target, parameters, duration)
        except ResilienceError as wrong:
            raise wrong.with_traceback(None) from None
        injection = Injection(
            plan,
            [(site, self._normal_seconds(target, site.label)) for site in self._sites[target]],
            event_id=self._next_id(scenario),
            seed=self._seed,
            clock=self._clock,
            duration=duration,
            must_fire=must_fire,
        )
        self._injections.append(injection)  # before it acts, so that a sweep finds it
        return injection.arm()

    def watch(self) -> Watch:
        """Count and time every call of every service, without any fault, until `stop()`; see Watch."""
        if self._watch is None or not self._watch.active:
            self._watch = Watch(self._sites, self._clock)
        return self._watch.start()

    def sweep(self) -> int:
        """Remove all that is still active; return how many injections and watches that were."""
        active = self.active()
        for injection in active:
            injection.remove()
        watch = self._watch
        if watch is None or not watch.active:
            return len(active)
        watch.stop()
        return len(active) + 1

    def _checked_plan(
        self, scenario: str, target: str, parameters: Parameters, duration: float | None
    ) -> Plan:
        plan = make_plan(scenario, self._service(target), parameters, self._shares)
        if duration is not None:
            seconds("duration", duration)
        self._check_room()
        return plan

    def _service(self, name: str) -> Service:
        if name not in self._services:
            hint = did_you_mean(name, self._services)
            raise ScenarioError(f"There is no service {name!r} in resilience_services. {hint}")
        return self._services[name]

    def _check_room(self) -> None:
        active = self.active()
        if len(active) >= self._max_concurrent:
            names = ", ".join(injection.event_id for injection in active)
            raise ScenarioError(
                f"At most {self._max_concurrent} scenarios may be active at once; these are: {names}. "
                "Remove one first."
            )

    def _next_id(self, scenario: str) -> str:
        self._count[scenario] += 1
        return f"{self._event_prefix}{scenario}-{self._count[scenario]}"

    def _normal_seconds(self, service: str, label: str) -> float | None:
        return self._watch.normal_seconds(service, label) if self._watch is not None else None


def _resolve_calls(service: Service) -> tuple[CallSite, ...]:
    """Resolve the calls of a service; two names of one function are one call."""
    sites: dict[FunctionType, CallSite] = {}
    for target in service.calls:
        site = resolve(target)
        sites.setdefault(site.function, site)
    return tuple(sites.values())
