"""What a soak would do, as lines for `--soak-plan`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_resilience.chaos.targets import resolve
from pytest_resilience.report.table import table
from pytest_resilience.services import Service
from pytest_resilience.settings import Settings
from pytest_resilience.soak.candidates import Candidate
from pytest_resilience.soak.chaos_phase import MIN_WINDOW_SECONDS
from pytest_resilience.soak.criteria import CRITERIA, NOT_DISTRIBUTED, PHASES_OF, Subject, switched_off
from pytest_resilience.soak.criteria_lines import Limit
from pytest_resilience.soak.evidence import NO_SURVIVOR
from pytest_resilience.soak.led_run import SWITCHES
from pytest_resilience.soak.pacing import Load, most_rounds, rounds_wanted, too_few_rounds
from pytest_resilience.soak.phases import PHASES, PhaseKind, PhaseName
from pytest_resilience.store.records import SoakTest
from pytest_resilience.units import counted, format_duration

MEMORY_SWITCH = "enable_memory_monitoring"
NO_SERVICE = (
    "No service is declared: override the fixture resilience_services, so that faults can be injected."
)


@dataclass(frozen=True)
class Plan:
    """A soak before it runs.

    Args:
        duration: in seconds; budgets: seconds of each timed phase.
        absent: what the run cannot do or judge, and why.
        marks: what the markers of the tests say.
        settings: how fast the suite is to loop.
        workers: how many processes loop the tests; 0 is this one.
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
    absent: Mapping[Subject, str]
    marks: Mapping[str, SoakTest] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    workers: int = 0


def absent_subjects(
    settings: Settings, services: Collection[Service], breakers: Collection[str], workers: int = 0
) -> dict[Subject, str]:
    """Return what this run cannot do or judge, and why."""
    absent = {subject: f"switched off by {_switch(subject)} = false" for subject in switched_off(settings)}
    if not services:
        absent.setdefault(Subject.CHAOS, "no service is declared")
    if not breakers:
        absent.setdefault(Subject.BREAKERS, "no circuit breaker is registered")
    if not (breakers and any(service.needs for service in services)):
        absent.setdefault(Subject.CASCADES, "needs a circuit breaker and services with needs")
    if not workers:
        absent.setdefault(Subject.WORKERS, NOT_DISTRIBUTED)
    return absent


def _switch(subject: Subject) -> str:
    phase = PHASES_OF.get(subject)
    return f"resilience_{SWITCHES.get(phase, MEMORY_SWITCH) if phase else MEMORY_SWITCH}"


def lines(plan: Plan) -> Iterator[str]:
    """Yield the plan for people."""
    workers = f", {counted(plan.workers, 'worker')} of pytest-xdist" if plan.workers else ""
    yield f"soak of {format_duration(plan.duration)}, seed {plan.seed}, intensity {plan.intensity}{workers}"
    yield from ("", f"{counted(len(plan.tests), 'soak test')}:", *_tests(plan))
    yield from _block(_pace(plan))
    yield from _block(_services(plan.services) or [NO_SERVICE])
    if plan.breakers:
        yield from ("", f"circuit breakers: {', '.join(plan.breakers)}")
    yield from _block(_scenarios(plan))
    yield from _block(_phases(plan))
    yield from _block(_criteria(plan))


def _tests(plan: Plan) -> Iterator[str]:
    for test in plan.tests:
        said = ", ".join(_said(plan.marks.get(test, SoakTest(test))))
        yield f"  {test}: {said}" if said else f"  {test}"


def _said(mark: SoakTest) -> Iterator[str]:
    if mark.weight > 1:
        yield f"{mark.weight} times a round"
    if mark.survived:
        yield f"must pass under {', '.join(sorted(mark.survived))}"


def _pace(plan: Plan) -> list[str]:
    settings = plan.settings
    lines = [f"rate: {settings.rate}"] if settings.rate else []
    lines += [f"think time: {settings.think_time}"] if settings.think_time else []
    if settings.iteration_timeout:
        limit = format_duration(settings.iteration_timeout)
        lines.append(f"an iteration that takes longer than {limit} has hung")
    marks = [plan.marks.get(test, SoakTest(test)) for test in plan.tests]
    a_round = sum(mark.weight for mark in marks)
    most = most_rounds(plan.duration, a_round, Load.read(settings.rate, settings.think_time))
    wanted = rounds_wanted(plan.limits["fewest_iterations"].value, marks)
    return lines if most >= wanted else [*lines, too_few_rounds(wanted, most)]


def _block(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield from lines


def _services(services: Iterable[Service]) -> list[str]:
    rows = [(service.name, _seams(service) or "-", ", ".join(service.needs) or "-") for service in services]
    return table(("service", "seams", "needs"), rows)


def _seams(service: Service) -> str:
    endpoint = service.listens_at
    found = [resolve(call).label for call in service.calls]
    found += [] if endpoint is None else [f"endpoint {endpoint}"]
    return ", ".join(found if service.process is None else [*found, "its process"])


def _scenarios(plan: Plan) -> list[str]:
    rows = [
        (
            one.scenario,
            one.target,
            one.seam,
            "can run" if not one.reason else "cannot run",
            ". ".join(filter(None, (one.reason, one.fix))),
        )
        for one in plan.candidates
    ]
    return [*table(("scenario", "target", "seam", "in this suite", "why"), rows), _room(plan)]


def _room(plan: Plan) -> str:
    """Say how many of the faults that can run fit into the chaos phase."""
    if Subject.CHAOS in plan.absent:
        return f"No fault will be injected: {plan.absent[Subject.CHAOS]}."
    possible = sum(not one.reason for one in plan.candidates)
    most = int(plan.budgets[PhaseName.CHAOS] // MIN_WINDOW_SECONDS)
    has = f"{PhaseName.CHAOS} has {format_duration(plan.budgets[PhaseName.CHAOS])}"
    least = f"a fault takes at least {format_duration(MIN_WINDOW_SECONDS)}"
    if most >= possible:
        return f"{has} for {counted(possible, 'possible fault')}; {least}."
    if not most:
        return f"{has}: room for none of these, as {least}."
    return f"{has}: room for at most {most} of these {possible} in one pass."


def _phases(plan: Plan) -> list[str]:
    times, skipped = dict(plan.budgets), _skipped(plan.absent)
    for name in skipped:
        times[PhaseName.MEMORY] += times.pop(name)  # it gets all time that is not used
    rows = [
        (kind.name, format_duration(times[kind.name]) if kind.name in times else "", _purpose(kind, plan))
        for kind in PHASES
    ]
    return table(("phase", "time", "what it does"), rows, numbers=("time",))


def _skipped(absent: Mapping[Subject, str]) -> dict[PhaseName, str]:
    """Return the phases that have no subject; without memory monitoring the suite is soaked all the same."""
    return {
        PHASES_OF[one]: absent[one] for one in absent if one in PHASES_OF and one is not Subject.MEMORY_SOAK
    }


def _purpose(kind: PhaseKind, plan: Plan) -> str:
    why = _skipped(plan.absent).get(kind.name)
    if why:
        return f"skipped: {why}"
    if kind.name is PhaseName.MEMORY and Subject.MEMORY_SOAK in plan.absent:
        return f"loop without faults; memory monitoring is {plan.absent[Subject.MEMORY_SOAK]}"
    return kind.purpose


def _criteria(plan: Plan) -> list[str]:
    subjects = {row.default.criterion: row.subject for row in CRITERIA}
    absent = {name: plan.absent[subject] for name, subject in subjects.items() if subject in plan.absent}
    if not any(mark.survived for mark in plan.marks.values()):
        absent.setdefault("survives", NO_SURVIVOR)
    rows = [
        (name, f"{limit.bound}{limit.abort}", f"no data: {absent[name]}" if name in absent else "")
        for name, limit in plan.limits.items()
    ]
    return table(("criterion", "limit", ""), rows)
