"""The engine: injects scenarios, keeps the evidence, and takes everything away again."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FunctionType
from typing import Unpack

from pytest_resilience.chaos.injection import Injection
from pytest_resilience.chaos.outside import Address, Outside, address_of
from pytest_resilience.chaos.parameters import Parameters, seconds
from pytest_resilience.chaos.plans import Plan, Planner
from pytest_resilience.chaos.scenario import CustomScenario, Scenario
from pytest_resilience.chaos.scenarios import Catalogue, choose
from pytest_resilience.chaos.shares import Shares, shares_at
from pytest_resilience.chaos.targets import CallSite, resolve
from pytest_resilience.chaos.watch import Watch
from pytest_resilience.chaos.workshop import Workshop
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.errors import ResilienceError, ScenarioError
from pytest_resilience.services import Service, check_hosts, index_services

__all__ = ["Chaos", "Injection", "Watch"]

Changed = Callable[[Injection, str], None]


class Chaos:
    """Injects faults into declared services and the machine.

    Args:
        services: the dependencies that faults may hit.
        seed: decides which calls are hit; the same seed hits the same ones.
        intensity: low, medium, high or extreme: how strong scenarios are unless told otherwise.
        shares: these strengths, instead of an intensity's.
        clock: where times come from.
        max_concurrent: how many injections may be active at once.
        auto_recovery: remove a fault after its duration.
        allow_hosts: hosts beside this machine whose endpoints faults may hit.
        critical_percent: use of the machine's memory above which memory_pressure lets go.
        event_prefix: stands before the id of each event.
        scenarios: of your own, beside the built-in ones.
        chosen: names of those that a soak injects, or, after "not ", of those that it does not.
        outside: shared with other engines; else one of its own, which `close` ends.
        changed: told of each injection when it was "armed" and "removed".

    Raises:
        ServiceError, TargetError: a service is wrong, or one of its calls is out of reach.
        ScenarioError: a custom scenario is wrong.
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
        auto_recovery: bool = True,
        allow_hosts: Iterable[str] = (),
        critical_percent: float = 90.0,
        event_prefix: str = "",
        scenarios: Iterable[CustomScenario] = (),
        chosen: Sequence[str] = (),
        outside: Outside | None = None,
        changed: Changed = lambda injection, change: None,
    ) -> None:
        from pytest_resilience.chaos.host.metrics import measure  # brings psutil: not before it is used

        self._measure = measure
        self._services = index_services(services)
        check_hosts(self._services.values(), allow_hosts)
        self._catalogue, self._chosen = Catalogue(scenarios), tuple(chosen)
        choose(self._catalogue, self._chosen)
        self._planner = Planner(self._services, shares or shares_at(intensity), critical_percent)
        self._seed = seed
        self._clock = clock or SystemClock()
        self._max_concurrent, self._auto_recovery = max_concurrent, auto_recovery
        self._event_prefix, self._changed = event_prefix, changed
        self._injections: list[Injection] = []
        self._count: Counter[str] = Counter()
        self._outside = outside or Outside()
        sites = {name: _resolve_calls(service) for name, service in self._services.items()}
        self._sites = sites
        self._watch: Watch | None = None
        self._known_seconds: dict[tuple[str, str], float] = {}
        self._workshop = Workshop(sites, self._outside, self._normal_seconds, seed, self._clock)

    @property
    def services(self) -> tuple[Service, ...]:
        """The declared services, in their order."""
        return tuple(self._services.values())

    @property
    def soaked(self) -> tuple[Scenario, ...]:
        """The scenarios that a soak injects: those chosen, else the ten, the user's, a full disk if used."""
        used = {*self._chosen, *(["disk_full"] if self._outside.has_disk else [])}
        chosen = choose(self._catalogue, self._chosen)
        return tuple(one for one in chosen if one.soaked or one.name in used)

    @property
    def at_once(self) -> int:
        """How many scenarios a soak injects together: what the intensity says, within `max_concurrent`."""
        return min(self._planner.shares.at_once, self._max_concurrent)

    @property
    def injections(self) -> tuple[Injection, ...]:
        """All injections so far, in order."""
        return tuple(self._injections)

    def active(self) -> tuple[Injection, ...]:
        """Return the injections that are not removed yet."""
        return tuple(injection for injection in self.injections if injection.active)

    def complaints(self, since: int = 0) -> tuple[str, ...]:
        """Say which injections had to fire and never did, and which functions given with them are wrong.

        The first `since` injections are left out.
        """
        wrong = (one for one in self.injections[since:] if one.mistake or one.failed_to_fire)
        return tuple(one.mistake or one.explain() for one in wrong)

    def settle(self) -> None:
        """Learn where injected errors were caught; call it where none is on its way, as after a test."""
        for injection in self.injections:
            injection.settle()

    def address(self, service: str) -> Address:
        """Return where the code under test must connect to, so that faults on the endpoint reach it.

        Raise ScenarioError for a service that is unknown or has no endpoint.
        """
        return address_of(service, self._services, self._outside)

    def disk(self) -> Path:
        """Return the folder of a disk of 16 MiB, which resource_exhaustion with resource="disk" fills."""
        return self._outside.disk()[1]

    def inject(
        self,
        scenario: str | CustomScenario,
        target: str | None = None,
        *,
        seam: str | None = None,
        duration: float | None = None,
        must_fire: bool = True,
        **parameters: Unpack[Parameters],
    ) -> Injection:
        """Make `scenario` happen to `target` from now on.

        Args:
            scenario: such as "latency_spike", or one of your own.
            target: the name of a service; scenarios of the host and the topology need none.
            seam: "calls", "endpoint" or "process", where a service has several; else the first that fits.
            duration: seconds after which the fault is removed by itself; else at the end of the `with` block.
            must_fire: a fault that hits nothing at all is a failure of the test.
            parameters: what each scenario takes is told by Parameters.

        Raises:
            ScenarioError: unknown names, wrong values, or too many at once. Nothing is touched.
        """
        __tracebackhide__ = True  # a wrong call in a test is told by its own line, without ours
        try:
            plan = self._plan(scenario, target, seam, duration, parameters)
        except ResilienceError as wrong:
            raise wrong.with_traceback(None) from None
        event_id = self._next_id(plan.scenario.name)
        injection = Injection(
            plan,
            lambda release: self._workshop.action(plan.work, event_id, release),
            event_id=event_id,
            seed=self._seed,
            clock=self._clock,
            measure=self._measure,
            duration=duration if self._auto_recovery else None,
            must_fire=must_fire,
            changed=self._changed,
        )
        self._injections.append(injection)  # before it acts, so that a sweep finds it
        return injection.arm()

    def watch(self) -> Watch:
        """Count and time every call and exchange, without any fault, until `stop()`; see Watch."""
        if self._watch is None or not self._watch.active:
            self._watch = Watch(self._services.values(), self._sites, self._outside, self._clock)
        return self._watch.start()

    def sweep(self) -> int:
        """Remove all that is still active, also if one of them fails to go, and then raise what it raised.

        What is just ending by itself, at the end of its duration, is waited for. Return how many injections
        and watches were active.
        """
        undos: list[Callable[[], object]] = [injection.remove for injection in self.injections]
        active = len(self.active())
        if self._watch is not None and self._watch.active:
            undos.append(self._watch.stop)
            active += 1
        with ExitStack() as stack:
            for undo in reversed(undos):
                stack.callback(undo)
        return active

    def close(self) -> None:
        """Remove all that is active, and end the proxies and the helper process; call it once at the end."""
        try:
            self.sweep()
        finally:
            self._outside.close()

    def __enter__(self) -> "Chaos":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _plan(
        self,
        scenario: str | CustomScenario,
        target: str | None,
        seam: str | None,
        duration: float | None,
        parameters: Parameters,
    ) -> Plan:
        named = (
            scenario.scenario() if isinstance(scenario, CustomScenario) else self._catalogue.named(scenario)
        )
        plan = self._planner.plan(named, target, seam, parameters)
        if duration is not None:
            seconds("duration", duration)
        self._check_room()
        return plan

    def _check_room(self) -> None:
        active = self.active()
        if len(active) >= self._max_concurrent:
            names = ", ".join(injection.event_id for injection in active)
            raise ScenarioError(
                f"At most {self._max_concurrent} scenarios may be active at once; these are: {names}. "
                "Remove one first."
            )

    def carry_on(
        self, normal_seconds: Iterable[tuple[str, str, float]], injected: Iterable[tuple[str, int]]
    ) -> None:
        """Go on from where other processes ended: from what they measured, and behind their injections.

        Args:
            normal_seconds: service, target, and what its calls take without a fault.
            injected: scenario, and how often it was injected.
        """
        self._known_seconds = {(service, target): took for service, target, took in normal_seconds}
        self._count.update(dict(injected))

    def _normal_seconds(self, service: str, label: str) -> float | None:
        watched = self._watch.normal_seconds(service, label) if self._watch is not None else None
        return self._known_seconds.get((service, label)) if watched is None else watched

    def _next_id(self, scenario: str) -> str:
        self._count[scenario] += 1
        return f"{self._event_prefix}{scenario}-{self._count[scenario]}"


def _resolve_calls(service: Service) -> tuple[CallSite, ...]:
    """Resolve the calls of a service; two names of one function are one call."""
    sites: dict[FunctionType, CallSite] = {}
    for target in service.calls:
        site = resolve(target)
        sites.setdefault(site.function, site)
    return tuple(sites.values())
