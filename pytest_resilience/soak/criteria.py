"""The exit criteria as one table, and how the evidence of a run is judged by them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias

from pytest_resilience.settings import Settings
from pytest_resilience.soak import evidence, memory_evidence
from pytest_resilience.soak.criteria_lines import Limit, parse_lines
from pytest_resilience.soak.evidence import Absent, Evidence, Finding, Missing
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.store.records import Run, Verdict
from pytest_resilience.store.run_data import RunData

Overall: TypeAlias = Literal["PASSED", "FAILED", "PARTIAL"]


class Subject(StrEnum):
    """What a criterion is about; without its subject it is not applicable."""

    RUN = "the run"
    CHAOS = "chaos"
    BREAKERS = "circuit breaker testing"
    CASCADES = "cascade testing"
    MEMORY = "memory monitoring"
    MEMORY_SOAK = "the memory soak"
    RECOVERY = "recovery validation"
    WORKERS = "distribution"


NOT_DISTRIBUTED = "the soak runs in one process"
GRADES = ("met", "warning", "inconclusive", "unmet")

# A skipped phase says why its subject is not there.
PHASES_OF: Mapping[Subject, PhaseName] = MappingProxyType(
    {
        Subject.CHAOS: PhaseName.CHAOS,
        Subject.BREAKERS: PhaseName.BREAKERS,
        Subject.CASCADES: PhaseName.CASCADES,
        Subject.MEMORY_SOAK: PhaseName.MEMORY,
        Subject.RECOVERY: PhaseName.RECOVERY,
    }
)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One row: its default limit, what it is about, and how the records of a run are read for it.

    Args:
        moves: "up" if the value never falls while the run goes on, "down" if it never rises, else nothing.
        final_after: the phase after which the value, once it is certain, changes no more.
    """

    default: Limit
    subject: Subject
    find: Callable[[RunData], Evidence]
    moves: Literal["up", "down", ""] = ""
    final_after: PhaseName | None = None

    @property
    def limit(self) -> Limit:
        """The default limit, which knows whether it is decided before the end."""
        return replace(self.default, decided_early=bool(self.moves or self.final_after))

    def lost(self, limit: Limit, data: RunData) -> bool:
        """Tell whether nothing that is still to come can make the criterion met."""
        found = self.find(data)
        if not isinstance(found, Finding) or limit.holds(found.low) or limit.holds(found.high):
            return False
        phase = data.phase(self.final_after) if self.final_after else None
        if phase is not None and phase.status in ("done", "cut") and found.low == found.high:
            return True
        return (self.moves == "up" and limit.exceeded_by(found.low)) or (
            self.moves == "down" and limit.missed_by(found.high)
        )


GROWTH = Limit(
    "memory_growth_percent",
    "<",
    Settings.memory_growth_threshold_percent,
    warning_to=Settings.max_memory_growth_percent,
)
SYSTEM_MEMORY = Limit("system_memory_percent", "<", Settings.max_system_memory_percent)
RECOVERY_RATE = Limit("recovery_success_rate", ">=", Settings.min_recovery_success_rate)

CRITERIA = (
    Criterion(
        Limit("failures_outside_faults", "==", 0), Subject.RUN, evidence.failures_outside_faults, moves="up"
    ),
    Criterion(Limit("survives", "==", 0), Subject.CHAOS, evidence.failures_to_survive, moves="up"),
    Criterion(
        Limit("fewest_iterations", ">=", Settings.min_iterations), Subject.RUN, evidence.fewest_iterations
    ),
    Criterion(RECOVERY_RATE, Subject.CHAOS, evidence.recovery_success_rate, final_after=PhaseName.CHAOS),
    Criterion(
        Limit("mean_recovery_seconds", "<", 30),
        Subject.CHAOS,
        evidence.mean_recovery_seconds,
        final_after=PhaseName.CHAOS,
    ),
    Criterion(GROWTH, Subject.MEMORY_SOAK, memory_evidence.memory_growth_percent),
    Criterion(
        Limit("memory_leak_detected", "==", False), Subject.MEMORY_SOAK, memory_evidence.memory_leak_detected
    ),
    Criterion(SYSTEM_MEMORY, Subject.MEMORY, memory_evidence.system_memory_percent, moves="up"),
    Criterion(
        Limit("circuit_breakers", "==", True), Subject.BREAKERS, evidence.circuit_breakers, moves="down"
    ),
    Criterion(
        Limit("cascade_recovery", "==", True), Subject.CASCADES, evidence.cascade_recovery, moves="down"
    ),
    Criterion(Limit("permanent_degradation", "==", False), Subject.RECOVERY, evidence.permanent_degradation),
    Criterion(Limit("injection_seconds", "<", 0.5), Subject.CHAOS, evidence.injection_seconds, moves="up"),
    Criterion(
        Limit("breaker_transition_seconds", "<", 0.1),
        Subject.BREAKERS,
        evidence.breaker_transition_seconds,
        final_after=PhaseName.BREAKERS,
    ),
    Criterion(
        Limit("monitoring_overhead_percent", "<", 5), Subject.RUN, memory_evidence.monitoring_overhead_percent
    ),
    Criterion(Limit("worker_crashes", "==", 0), Subject.WORKERS, evidence.worker_crashes),
)
DEFAULT_LIMITS: Mapping[str, Limit] = MappingProxyType({one.default.criterion: one.limit for one in CRITERIA})


def limits_of(settings: Settings) -> Mapping[str, Limit]:
    """Return the limit of each criterion: lines of resilience_criteria, else single options, else defaults.

    Raise SettingsError for a wrong line.
    """
    growth = replace(
        GROWTH,
        value=settings.memory_growth_threshold_percent,
        warning_to=settings.max_memory_growth_percent,
    )
    options = (
        growth,
        replace(DEFAULT_LIMITS["fewest_iterations"], value=settings.min_iterations),
        replace(DEFAULT_LIMITS["system_memory_percent"], value=settings.max_system_memory_percent),
        replace(DEFAULT_LIMITS["recovery_success_rate"], value=settings.min_recovery_success_rate),
    )
    lines = parse_lines(settings.criteria_lines, DEFAULT_LIMITS)
    limits = {**DEFAULT_LIMITS, **{limit.criterion: limit for limit in options}, **lines}
    return {name: _failing_fast(limit, settings) for name, limit in limits.items()}


def _failing_fast(limit: Limit, settings: Settings) -> Limit:
    """Let a criterion end the run early, if all that can be decided early shall, and it can be."""
    if settings.fail_fast and limit.decided_early and limit.abort_after is None:
        return replace(limit, abort_when_lost=True)
    return limit


def switched_off(settings: Settings) -> frozenset[Subject]:
    """Return the subjects that the user switched off."""
    switches = {
        Subject.CHAOS: settings.enable_chaos_testing,
        Subject.BREAKERS: settings.enable_circuit_breaker_testing,
        Subject.CASCADES: settings.enable_cascading_failure_testing,
        Subject.MEMORY: settings.enable_memory_monitoring,
        Subject.MEMORY_SOAK: settings.enable_memory_monitoring,
    }
    return frozenset(subject for subject, on in switches.items() if not on)


def judge(
    data: RunData,
    limits: Mapping[str, Limit] = DEFAULT_LIMITS,
    off: Collection[Subject] = (),
    criteria: Iterable[Criterion] = CRITERIA,
) -> tuple[Verdict, ...]:
    """Judge the records of a run by each criterion; one that `limits` does not name has its default."""
    rows = ((row, limits.get(row.default.criterion, row.default)) for row in criteria)
    return tuple(_verdict(row, limit, data, off) for row, limit in rows)


def lost_criteria(
    data: RunData, limits: Mapping[str, Limit], off: Collection[Subject] = ()
) -> tuple[Verdict, ...]:
    """Return the verdicts of the criteria that cannot be met any more, of those that end a run with that."""
    rows = [(row, limits[row.default.criterion]) for row in CRITERIA if not _absent(row.subject, data, off)]
    ending = [(row, limit) for row, limit in rows if limit.abort_when_lost]
    return tuple(_verdict(row, limit, data, off) for row, limit in ending if row.lost(limit, data))


def overall(verdicts: Collection[Verdict], run: Run) -> Overall:
    """Sum up a run that has ended."""
    grades = {verdict.verdict for verdict in verdicts}
    if "unmet" in grades:
        return "FAILED"
    partial = run.status != "complete" or not verdicts or "inconclusive" in grades
    return "PARTIAL" if partial else "PASSED"


def _verdict(row: Criterion, limit: Limit, data: RunData, off: Collection[Subject]) -> Verdict:
    absent = _absent(row.subject, data, off)
    if absent:
        return Verdict(limit.criterion, "not_applicable", None, limit.bound, absent)
    found = row.find(data)
    if isinstance(found, Absent):
        return Verdict(limit.criterion, "not_applicable", None, limit.bound, found.reason)
    if isinstance(found, Missing):
        return Verdict(limit.criterion, "inconclusive", None, limit.bound, found.reason)
    found, grade = _worst(limit, found)
    return Verdict(limit.criterion, grade, float(found.low), limit.bound, _sentence(limit, found, grade))


def _absent(subject: Subject, data: RunData, off: Collection[Subject]) -> str:
    """Return why the subject is not there, or an empty string."""
    if subject in off:
        return f"{subject} is switched off"
    if subject is Subject.WORKERS and not data.workers:
        return NOT_DISTRIBUTED
    name = PHASES_OF.get(subject)
    phase = data.phase(name) if name else None
    return phase.reason if phase and phase.status == "skipped" else ""


def _worst(limit: Limit, found: Finding) -> tuple[Finding, str]:
    """Return the finding of the worker for which the criterion holds least, and its grade."""
    graded = [(one, _grade(limit, one)) for one in (found, *found.others)]
    return max(graded, key=lambda pair: GRADES.index(pair[1]))


def _grade(limit: Limit, found: Finding) -> str:
    """Judge both ends of what the value may be; where they disagree, the run has not decided it."""
    if limit.holds(found.low) != limit.holds(found.high):
        return "inconclusive"
    if limit.holds(found.low):
        return "met"
    tolerated = limit.warning_to is not None and (found.fades or limit.warns(found.high))
    return "warning" if tolerated else "unmet"


def _lenience(limit: Limit, found: Finding, grade: str) -> str:
    """Say why a limit that is missed gives a warning only."""
    if grade != "warning":
        return ""
    return (
        ", only a warning where it fades" if found.fades else f", only a warning up to {limit.warning_to:g}"
    )


def _sentence(limit: Limit, found: Finding, grade: str) -> str:
    """Write the fact, by how much it misses the limit, and why."""
    numbers = ""
    if grade in ("unmet", "warning") and not isinstance(limit.value, bool):
        numbers = f" ({limit.show(found.low)}, limit {limit.bound}{_lenience(limit, found, grade)})"
    return f"{found.fact}{numbers}" + (f": {found.because}" if found.because else "")
