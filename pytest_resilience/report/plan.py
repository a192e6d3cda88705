"""What a soak would do, as lines for `--soak-plan`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_resilience.chaos.targets import resolve
from pytest_resilience.report.table import table
from pytest_resilience.services import Service
from pytest_resilience.settings import Settings
from pytest_resilience.soak.candidates import Candidate
from pytest_resilience.soak.criteria import CRITERIA, Subject, switched_off
from pytest_resilience.soak.criteria_lines import Limit
from pytest_resilience.soak.phases import PHASES, PhaseName
from pytest_resilience.units import format_duration


@dataclass(frozen=True)
class Plan:
    """A soak before it runs.

    Args:
        duration: in seconds; budgets: seconds of each timed phase.
        unjudged: criteria that will have no data, and why.
    """

    duration: float
    seed: int
    intensity: str
    tests: Sequence[str]
    services: Sequence[Service]
    breakers: Sequence[str]
    candidates: Sequence[Candidate]
    budgets: Mapping[PhaseName, float]
    limits: Mapping[str, Limit]
    unjudged: Mapping[str, str]


def without_subject(
    settings: Settings, services: Iterable[Service], breakers: Collection[str]
) -> dict[str, str]:
    """Return the criteria that this run cannot judge, and why."""
    off = switched_off(settings)
    edges = any(service.needs for service in services)
    absent = dict.fromkeys(off, "switched off")
    if not any(service.calls for service in services):
        absent.setdefault(Subject.CHAOS, "no service declares calls")
    if not breakers:
        absent.setdefault(Subject.BREAKERS, "no circuit breaker is registered")
    if not (breakers and edges):
        absent.setdefault(Subject.CASCADES, "needs a circuit breaker and services with needs")
    return {row.default.criterion: absent[row.subject] for row in CRITERIA if row.subject in absent}


def lines(plan: Plan) -> Iterator[str]:
    """Yield the plan for people."""
    yield f"soak of {format_duration(plan.duration)}, seed {plan.seed}, intensity {plan.intensity}"
    yield from ("", f"{len(plan.tests)} soak tests:", *(f"  {test}" for test in plan.tests))
    yield from _block(_services(plan.services))
    if plan.breakers:
        yield from ("", f"circuit breakers: {', '.join(plan.breakers)}")
    yield from _block(_scenarios(plan.candidates))
    yield from _block(_phases(plan.budgets))
    yield from _block(_criteria(plan))


def _block(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield from lines


def _services(services: Iterable[Service]) -> list[str]:
    rows = [(service.name, _calls(service) or "-", ", ".join(service.needs) or "-") for service in services]
    return table(("service", "calls", "needs"), rows)


def _calls(service: Service) -> str:
    return ", ".join(resolve(call).label for call in service.calls)


def _scenarios(candidates: Iterable[Candidate]) -> list[str]:
    rows = [
        (
            scenario,
            service or "-",
            "will run" if not reason else "will not run",
            ". ".join(filter(None, (reason, fix))),
        )
        for scenario, service, reason, fix in candidates
    ]
    return table(("scenario", "service", "", "why"), rows)


def _phases(budgets: Mapping[PhaseName, float]) -> list[str]:
    rows = [
        (kind.name, format_duration(budgets[kind.name]) if kind.name in budgets else "", kind.purpose)
        for kind in PHASES
    ]
    return table(("phase", "time", "what it does"), rows, numbers=("time",))


def _criteria(plan: Plan) -> list[str]:
    rows = [
        (name, limit.bound, f"no data: {plan.unjudged[name]}" if name in plan.unjudged else "")
        for name, limit in plan.limits.items()
    ]
    return table(("criterion", "limit", ""), rows)
