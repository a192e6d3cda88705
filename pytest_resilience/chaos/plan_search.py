"""The search for the plan of faults that breaks the code under test: strategies for hypothesis."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pytest_resilience.chaos.fault_plans import FaultParameters, FaultPlan, PlannedFault
from pytest_resilience.chaos.network.toxics import Timeout
from pytest_resilience.chaos.parameters import Parameters, seconds
from pytest_resilience.chaos.plans import Planner
from pytest_resilience.chaos.records import NotRun
from pytest_resilience.chaos.scenario import Scenario, Way
from pytest_resilience.chaos.scenarios import TEN, Catalogue, lacking, service_ways
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.chaos.shares import EVERY_CALL
from pytest_resilience.chaos.triggers import AnyTrigger, every, first, nth, window
from pytest_resilience.chaos.works import CallWork, ToxicWork, Work
from pytest_resilience.chaos.writing import code_of
from pytest_resilience.errors import ResilienceError, ScenarioError, did_you_mean, requirement
from pytest_resilience.services import Service, index_services

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SEAMS = (SeamKind.CALLS.value, SeamKind.ENDPOINT.value)
OFTEN = 3
"""Errors are tried this many times as often as waits."""
SHORT = 5
"""The shorter of the two delays that are tried is this part of the longest."""


def fault_plans(
    services: Sequence[Service],
    *,
    targets: Iterable[str] | None = None,
    scenarios: Iterable[str] | None = None,
    seams: Sequence[str] = ("calls",),
    max_faults: int = 3,
    max_call: int = 5,
    max_delay: float = 0.05,
) -> "SearchStrategy[FaultPlan]":
    """Let hypothesis find, shrink and print the smallest plan of faults that breaks the code under test.

        @settings(deadline=None)  # some faults take their time
        @given(plan=fault_plans(SERVICES))
        def test_checkout_survives(plan):
            with plan.active():
                checkout()

    The error that is reported carries the plan as decorators to paste. Plans shrink towards fewer faults
    (down to none: then the code fails by itself), fewer hits, earlier calls, and errors instead of waits.

    With endpoints in `seams`, the code must use the address that an engine gave, and the plan that engine:
    `with plan.active(chaos)`. For a fixture of one test, as `chaos` is, hypothesis wants to be told
    `@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])`.

    Args:
        services: the declared services.
        targets: names of the services to hit; else all.
        scenarios: names of the scenarios to try; else those of the ten that can act.
        seams: "calls", "endpoint" or both.
        max_faults: most faults of one plan; the engine's `max_concurrent` must allow as many.
        max_call: highest number in the triggers nth, first, window and every.
        max_delay: longest delay or time-out of one call, in seconds.

    Raises:
        ScenarioError: an argument is wrong, or no scenario can act on one of the targets.
        ResilienceError: hypothesis is not installed.
    """
    __tracebackhide__ = True
    declared = _declared(services)
    by_name = index_services(declared)
    for name, number in (("max_faults", max_faults), ("max_call", max_call)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ScenarioError(requirement(f"fault_plans({name})", "a whole number of at least 1", number))
    space = _Space(
        by_name, _seams(seams), _scenarios(scenarios), seconds("fault_plans(max_delay)", max_delay)
    )
    kinds = space.kinds(_targets(targets, by_name))
    return _strategy(kinds, max_call, max_faults, declared)


def trigger_of(hits: int, start: int, max_call: int) -> AnyTrigger:
    """Return the trigger that hits `hits` calls from number `start` on; above `max_call`, each start-th call.

    Two numbers instead of a list of triggers: hypothesis can then give up a fault for one more hit.
    """
    if hits > max_call:
        return every(start)
    stop = min(start + hits - 1, max_call)
    if start == stop:
        return nth(start)
    return first(stop) if start == 1 else window(start, stop)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A fault of a plan without its trigger, what it does, and how long one hit takes (seconds).

    Where a trigger cannot be given, everything is hit.
    """

    fault: PlannedFault
    does: object
    wait: float
    triggered: bool

    def at(self, trigger: AnyTrigger) -> PlannedFault:
        """Return the fault that hits what `trigger` picks."""
        if not self.triggered:
            return self.fault
        scenario, target, parameters = self.fault
        return PlannedFault(scenario, target, {"trigger": trigger, **parameters})


@dataclass(frozen=True, slots=True)
class _Space:
    """All faults that can act on the declared services."""

    services: Mapping[str, Service]
    seams: Collection[str]
    scenarios: Sequence[Scenario]
    max_delay: float

    def kinds(self, targets: Iterable[str]) -> Sequence[_Kind]:
        """Return those of the targets, errors before waits; raise ScenarioError for a target without any."""
        found = [kind for target in targets for kind in self._of(self.services[target])]
        return sorted(found, key=lambda kind: kind.wait)

    def _of(self, service: Service) -> Sequence[_Kind]:
        """Return those of a service; of scenarios that come to the same, the first counts."""
        kinds: list[_Kind] = []
        lacks: list[NotRun] = []
        for scenario in self.scenarios:
            for way in service_ways(scenario):
                if way.seam.value in self.seams:
                    lack = lacking(scenario, way, service)
                    lacks += [lack] if lack else []
                    kinds += [] if lack else self._kinds(scenario, way, service)
        done = [kind.does for kind in kinds]
        different = [kind for at, kind in enumerate(kinds) if kind.does not in done[:at]]
        if not different:
            raise ScenarioError(self._nothing(service, lacks))
        return different

    def _kinds(self, scenario: Scenario, way: Way, service: Service) -> Iterator[_Kind]:
        planner = Planner(self.services, EVERY_CALL)
        triggered = "trigger" in way.parameters
        some: Parameters = {"trigger": nth(1)} if triggered else {}
        for told in _told(way, service, self.max_delay):
            parameters: Parameters = {**some, **told}
            work = planner.plan(scenario, service.name, way.seam.value, parameters).work
            by_itself = planner.plan(scenario, service.name, None, parameters).seam
            seam = {} if way.seam is by_itself is SeamKind.CALLS else {"seam": way.seam.value}
            planned = PlannedFault(scenario.name, service.name, cast("FaultParameters", {**told, **seam}))
            yield _Kind(planned, *_effect(work), triggered)

    def _nothing(self, service: Service, lacks: Sequence[NotRun]) -> str:
        seams = " and ".join(self.seams)
        if not lacks:
            return f"fault_plans: none of the scenarios acts on {seams}. Give others, or other seams."
        lack = lacks[0]
        start = f"fault_plans: no scenario can act on {seams} of service {service.name!r}: {lack.reason}."
        return f"{start} {lack.fix} Or leave it out: fault_plans(targets=[…])."


def _told(way: Way, service: Service, max_delay: float) -> Iterator[Parameters]:
    """Yield the parameters to try: short waits, all errors in turn, and each error that code can name."""
    if "delay" in way.parameters:
        yield {"delay": round(max_delay / SHORT, 6)}
        yield {"delay": max_delay}
    elif "timeout" in way.parameters and (service.timeout or 0.0) > max_delay:
        yield {"timeout": max_delay}
    else:
        yield {}
    if "errors" in way.parameters:
        for error in service.errors:
            if code_of(error) is not None:
                yield {"errors": [error]}


def _effect(work: Work) -> tuple[object, float]:
    """Return what a work does to which seam, and how long one hit takes in seconds."""
    match work:
        case CallWork():
            fault = work.fault_for(None)
            return (SeamKind.CALLS, work.service.name, fault), fault.effect(0, 0.0).wait
        case ToxicWork():
            toxics = work.toxics_for(None)
            late = [math.inf if isinstance(one, Timeout) else getattr(one, "latency", 0.0) for one in toxics]
            return (SeamKind.ENDPOINT, work.service.name, toxics), max(late, default=0.0)
    raise AssertionError(f"{work} is on no seam of SEAMS")


def _declared(services: object) -> Sequence[Service]:
    if isinstance(services, str) or not isinstance(services, Sequence) or not services:
        fix = "Give it what resilience_services returns."
        raise ScenarioError(requirement("fault_plans(services)", "a list of services", services, fix))
    return services


def _seams(given: object) -> Sequence[str]:
    names = given if isinstance(given, Collection) and not isinstance(given, str) else ()
    if not names or not all(name in SEAMS for name in names):
        fix = 'Write seams=("calls",).'
        raise ScenarioError(requirement("fault_plans(seams)", '"calls", "endpoint" or both', given, fix))
    return [seam for seam in SEAMS if seam in names]


def _scenarios(given: object) -> Sequence[Scenario]:
    if given is None:
        return TEN
    names = _names("scenarios", given, "provider_timeout")
    return list(map(Catalogue().named, names))


def _targets(given: object, services: Mapping[str, Service]) -> Sequence[str]:
    if given is None:
        return list(services)
    names = _names("targets", given, next(iter(services)))
    for name in names:
        if name not in services:
            hint = did_you_mean(name, services)
            raise ScenarioError(f"fault_plans(targets): there is no service {name!r}. {hint}")
    return names


def _names(parameter: str, given: object, example: str) -> Sequence[str]:
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    if not names or not all(isinstance(name, str) for name in names):
        name, fix = f"fault_plans({parameter})", f'Write {parameter}=["{example}"].'
        raise ScenarioError(requirement(name, "a list of names", given, fix))
    return names


def _weighted(kinds: Sequence[_Kind]) -> Sequence[_Kind]:
    """Repeat the errors: more often than waits they are what breaks code, above all two at once."""
    return [kind for kind in kinds for _ in range(1 if kind.wait else OFTEN)]


def _strategy(
    kinds: Sequence[_Kind], max_call: int, max_faults: int, services: Sequence[Service]
) -> "SearchStrategy[FaultPlan]":
    try:
        from hypothesis import strategies as st
    except ModuleNotFoundError:
        install = "pip install 'pytest-resilience[hypothesis]'"
        raise ResilienceError(f"fault_plans needs hypothesis, which is not installed: {install}") from None
    counts, kind = st.integers(0, max_faults), st.sampled_from(_weighted(kinds))
    hits, start = st.integers(1, max_call + 1), st.sampled_from([1] * max_call + [*range(2, max_call + 1)])
    fault = st.builds(lambda hit, at, what: what.at(trigger_of(hit, at, max_call)), hits, start, kind)
    faults = counts.flatmap(lambda count: st.tuples(*[fault] * count))
    return faults.map(lambda drawn: FaultPlan({repr(one): one for one in drawn}.values(), services))
