"""The report of a run: one model that every form of it shows, built from what the run recorded."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from pytest_resilience.breakers.costs import TransitionCost, transition_costs
from pytest_resilience.breakers.records import BreakerResult, Cascade, HazardResult
from pytest_resilience.chaos.records import ChaosEvent, EventMetrics, NotRun, Seam
from pytest_resilience.memory.records import ITSELF, Leak
from pytest_resilience.report.attempts import AttemptRow, attempt_rows
from pytest_resilience.report.rate import Rate, rate_of
from pytest_resilience.soak.criteria import Overall, overall
from pytest_resilience.soak.event_recovery import recovery_of
from pytest_resilience.soak.evidence import failures_under_survived, unreached_fix
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.tallies import merged, merged_failures
from pytest_resilience.store.records import Failure, Hang, Phase, Run, SoakTest, Tally, Verdict
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import MIB, SECONDS

REPEATED = re.compile("^inconclusive(: |, because )")
"""How a detail begins that says its verdict once more."""


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A phase, and when it really ran; `seconds` is None if it did not."""

    name: str
    status: str
    planned_seconds: float
    started: float | None
    ended: float | None
    seconds: float | None
    iterations: int
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class CriterionRow:
    """A judged criterion; `observed` is a boolean where the limit is a yes or a no."""

    criterion: str
    verdict: str
    observed: float | bool | None
    limit: str
    detail: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An injection; `outcome` is recovered, not recovered, undecided, unknown or never fired.

    It is unknown where the process of the run ended before the suite was back.
    `reached` and `fired` count what the `seam` says (see ChaosEvent); `metrics` are of the test process.
    `recovery_seconds` is from the removal to recovery, `waited_seconds` the time waited for it in vain.
    """

    event_id: str
    scenario: str
    service: str
    impact: str
    seed: int
    parameters: str
    armed_at: float
    removed_at: float | None
    reached: int
    fired: int
    outcome: str
    recovery_seconds: float | None
    waited_seconds: float | None
    seam: str
    detail: str
    observed: str
    metrics: tuple[EventMetrics, ...]


@dataclass(frozen=True, slots=True)
class UnreachedSeam:
    """A seam that the suite never uses, so that no fault can fire there."""

    service: str
    target: str
    fix: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of the faults (a scenario on a target's seam) that were possible, how many the run really injected.

    `never_broken` are the targets that no fault hit, though one could have.
    """

    possible: int
    injected: int
    never_broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestRow:
    """What a soak test did in the whole run.

    In seconds: all its passes together, its longest iteration, its latencies in the baseline and after chaos.
    `weight` is how often a round ran it, `failures_to_survive` those under scenarios that it `survives`.
    """

    __test__ = False

    test: str
    iterations: int
    failures: int
    failures_in_faults: int
    skipped: int
    seconds: float
    longest: float
    median: float | None
    p95: float | None
    median_after: float | None
    p95_after: float | None
    weight: int
    survives: tuple[str, ...]
    failures_to_survive: int


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A process that looped the tests; times in seconds of the run; see store.records.Worker."""

    name: str
    machine: str
    pid: int
    python: str
    status: str
    joined_at: float
    ended_at: float | None
    iterations: int
    replaces: str
    reason: str
    stacks: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told about a run; None is a value that could not be measured."""

    test_id: str
    overall_result: Overall
    exit_criteria_met: bool
    test_duration_hours: float
    memory_leak_detected: bool | None
    phases_completed: tuple[str, ...]
    chaos_events_triggered: int
    successful_recoveries: int
    recovery_success_rate: float | None
    memory_growth_percent: float | None
    max_memory_usage_mb: float | None
    circuit_breaker_tests_passed: int
    cascading_failure_recovery: bool | None
    started_utc: str
    status: str
    reason: str
    seed: int
    intensity: str
    command: str
    attempts: tuple[AttemptRow, ...]
    planned_seconds: float
    seconds: float
    iterations: int
    settings: str
    environment: str
    phases: tuple[PhaseRow, ...]
    criteria: tuple[CriterionRow, ...]
    events: tuple[EventRow, ...]
    seams: tuple[Seam, ...]
    seams_never_reached: tuple[UnreachedSeam, ...]
    not_run: tuple[NotRun, ...]
    coverage: Coverage
    tests: tuple[TestRow, ...]
    failures: tuple[Failure, ...]
    breakers: tuple[BreakerResult, ...]
    hazards: tuple[HazardResult, ...]
    breaker_transitions: tuple[TransitionCost, ...]
    cascades: tuple[Cascade, ...]
    leaks: tuple[Leak, ...]
    rate: Rate | None
    hangs: tuple[Hang, ...]
    workers: tuple[WorkerRow, ...]


def build(data: RunData) -> Report:
    """Build the report of a run, also of one that was killed: then its criteria are not judged yet."""
    run, events, criteria = data.run, _events(data), tuple(map(_criterion, data.verdicts))
    observed = {row.criterion: row.observed for row in criteria}
    return _begun(run)(
        overall_result=overall(data.verdicts, run),
        exit_criteria_met=overall(data.verdicts, run) == "PASSED",
        test_duration_hours=data.elapsed / SECONDS["h"],
        memory_leak_detected=_answer(observed.get("memory_leak_detected")),
        phases_completed=tuple(phase.name for phase in data.phases if phase.status == "done"),
        chaos_events_triggered=sum(event.fired > 0 for event in events),
        successful_recoveries=sum(event.outcome == "recovered" for event in events),
        recovery_success_rate=observed.get("recovery_success_rate"),
        memory_growth_percent=observed.get("memory_growth_percent"),
        max_memory_usage_mb=_most_memory(data),
        circuit_breaker_tests_passed=_passed_scenarios(data.breaker_results),
        cascading_failure_recovery=_answer(observed.get("cascade_recovery")),
        attempts=attempt_rows(data),
        seconds=data.elapsed,
        iterations=sum(tally.iterations for tally in data.tallies),
        phases=_phases(data),
        criteria=criteria,
        events=events,
        seams=data.seams,
        seams_never_reached=_unreached(data),
        not_run=data.not_run,
        coverage=_coverage(data),
        tests=_tests(data),
        failures=_failures(data),
        breakers=data.breaker_results,
        hazards=data.hazards,
        breaker_transitions=transition_costs(data.transitions),
        cascades=data.cascades,
        leaks=data.leaks,
        rate=rate_of(data),
        hangs=data.hangs,
        workers=_workers(data),
    )


def _begun(run: Run) -> Callable[..., Report]:
    """Return the report with what the run itself says filled in."""
    return partial(
        Report,
        test_id=run.test_id,
        started_utc=run.started_utc,
        status=run.status,
        reason=run.reason,
        seed=run.seed,
        intensity=run.intensity,
        command=run.command,
        planned_seconds=run.duration_seconds,
        settings=run.settings,
        environment=run.environment,
    )


def to_survive(failure: Failure, report: Report) -> bool:
    """Tell whether a failure happened under a fault that its test must survive."""
    scenario = next((one.scenario for one in report.events if one.event_id == failure.event_id), "")
    return any(scenario in test.survives for test in report.tests if test.test == failure.test)


def _criterion(verdict: Verdict) -> CriterionRow:
    observed: float | bool | None = verdict.observed
    if observed is not None and verdict.limit.endswith(("yes", "no")):
        observed = bool(observed)
    detail = REPEATED.sub("", verdict.detail)
    return CriterionRow(verdict.criterion, verdict.verdict, observed, verdict.limit, detail)


def _unreached(data: RunData) -> tuple[UnreachedSeam, ...]:
    """Return the seams that a whole baseline never reached; after a shorter one nothing can be said."""
    baseline = data.phase(PhaseName.BASELINE)
    if baseline is None or baseline.status != "done":
        return ()
    return tuple(
        UnreachedSeam(one.service, one.target, unreached_fix(one.kind))
        for one in data.seams
        if not one.reached
    )


def _coverage(data: RunData) -> Coverage:
    injected = {(event.scenario, event.service, event.seam) for event in data.events if event.fired}
    possible = {(event.scenario, event.service, event.seam) for event in data.events}
    possible |= {(one.scenario, one.service, one.seam) for one in data.not_run if one.possible}
    spared = {service for _, service, _ in possible} - {service for _, service, _ in injected}
    return Coverage(len(possible), len(injected), tuple(sorted(spared)))


def _passed_scenarios(results: Iterable[BreakerResult]) -> int:
    """Count the scenarios that some breaker passed and none failed."""
    verdicts: dict[str, set[str]] = {}
    for one in results:
        verdicts.setdefault(one.scenario, set()).add(one.verdict)
    return sum("passed" in found and "failed" not in found for found in verdicts.values())


def _most_memory(data: RunData) -> float | None:
    """Return the most MiB that a process which loops the tests had resident."""
    return max((one.rss / MIB for one in data.samples if one.process == ITSELF), default=None)


def _answer(observed: float | bool | None) -> bool | None:
    return None if observed is None else bool(observed)


def _phases(data: RunData) -> tuple[PhaseRow, ...]:
    return tuple(
        _phase(phase, [tally for tally in data.tallies if tally.phase == phase.name], data.elapsed)
        for phase in sorted(data.phases, key=lambda phase: phase.position)
    )


def _phase(phase: Phase, tallies: Iterable[Tally], elapsed: float) -> PhaseRow:
    ended = elapsed if phase.ended is None else phase.ended
    counted = [(tally.iterations, tally.failures) for tally in tallies]
    return PhaseRow(
        name=phase.name,
        status=phase.status,
        planned_seconds=phase.budget_seconds,
        started=phase.started,
        ended=phase.ended,
        seconds=None if phase.started is None else max(0.0, ended - phase.started),
        iterations=sum(iterations for iterations, _ in counted),
        failures=sum(failures for _, failures in counted),
        reason=phase.reason,
    )


def _events(data: RunData) -> tuple[EventRow, ...]:
    return tuple(_event(event, data) for event in data.events)


def _event(event: ChaosEvent, data: RunData) -> EventRow:
    recovery = recovery_of(event, data.elapsed)
    back = event.recovered_at is not None
    return EventRow(
        event_id=event.event_id,
        scenario=event.scenario,
        service=event.service,
        impact=event.impact,
        seed=event.seed,
        parameters=event.parameters,
        armed_at=event.armed_at,
        removed_at=event.removed_at,
        reached=event.reached,
        fired=event.fired,
        outcome=recovery.outcome if event.fired else "never fired",
        recovery_seconds=recovery.seconds if back and event.fired else None,
        waited_seconds=recovery.seconds if event.fired and not back and not event.cut else None,
        seam=event.seam,
        detail=event.detail,
        observed=event.observed,
        metrics=tuple(one for one in data.event_metrics if one.event_id == event.event_id),
    )


def _failures(data: RunData) -> tuple[Failure, ...]:
    """Return each kind of failure, those outside faults first, and of them the most frequent."""
    kinds = merged_failures(data.failures)
    return tuple(sorted(kinds, key=lambda failure: (bool(failure.event_id), -failure.count)))


def _workers(data: RunData) -> tuple[WorkerRow, ...]:
    iterations: Counter[str] = Counter()
    for tally in data.tallies:
        iterations[tally.worker] += tally.iterations
    return tuple(
        WorkerRow(
            one.name,
            one.machine,
            one.pid,
            one.python,
            one.status,
            one.joined_at,
            one.ended_at,
            iterations[one.name],
            one.replaces,
            one.reason,
            one.stacks,
        )
        for one in data.workers
    )


def _tests(data: RunData) -> tuple[TestRow, ...]:
    by_test: dict[str, dict[str, Tally]] = {}
    for tally in merged(data.tallies):
        by_test.setdefault(tally.test, {})[tally.phase] = tally
    declared = {one.test: one for one in data.soak_tests}
    return tuple(
        _test(declared.get(test, SoakTest(test)), by_phase, _to_survive(test, data))
        for test, by_phase in by_test.items()
    )


def _to_survive(test: str, data: RunData) -> int:
    """Count the failures of a test under faults that it must survive."""
    return sum(failure.count for failure in failures_under_survived(data) if failure.test == test)


def _test(declared: SoakTest, by_phase: Mapping[str, Tally], failures_to_survive: int) -> TestRow:
    before, after = by_phase.get(PhaseName.BASELINE), by_phase.get(PhaseName.RECOVERY)
    return TestRow(
        test=declared.test,
        iterations=sum(tally.iterations for tally in by_phase.values()),
        failures=sum(tally.failures for tally in by_phase.values()),
        failures_in_faults=sum(tally.failures_in_faults for tally in by_phase.values()),
        skipped=sum(tally.skipped for tally in by_phase.values()),
        seconds=sum(tally.seconds for tally in by_phase.values()),
        longest=max(tally.longest for tally in by_phase.values()),
        median=before.median if before else None,
        p95=before.p95 if before else None,
        median_after=after.median if after else None,
        p95_after=after.p95 if after else None,
        weight=declared.weight,
        survives=tuple(sorted(declared.survived)),
        failures_to_survive=failures_to_survive,
    )
