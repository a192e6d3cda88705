"""The nine phases as one table, and how a run's time is divided among them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pytest_resilience.errors import SettingsError, did_you_mean, requirement
from pytest_resilience.units import format_duration, parse_duration


class PhaseName(StrEnum):
    INITIALIZATION = "INITIALIZATION"
    BASELINE = "BASELINE_ESTABLISHMENT"
    CHAOS = "CHAOS_INJECTION"
    BREAKERS = "CIRCUIT_BREAKER_TESTING"
    CASCADES = "CASCADING_FAILURE_TESTING"
    MEMORY = "MEMORY_SOAK_TESTING"
    RECOVERY = "RECOVERY_VALIDATION"
    ANALYSIS = "FINAL_ANALYSIS"
    CLEANUP = "CLEANUP"


@dataclass(frozen=True)
class PhaseKind:
    """A phase, the share of the run that it gets by default, and what it is for."""

    name: PhaseName
    share: float
    purpose: str


PHASES = (
    PhaseKind(PhaseName.INITIALIZATION, 0.0, "run each soak test once, learn the declared services"),
    PhaseKind(PhaseName.BASELINE, 0.10, "measure the steady state; arm every seam without firing"),
    PhaseKind(PhaseName.CHAOS, 0.35, "inject scenarios, one or some at a time, and measure recovery"),
    PhaseKind(PhaseName.BREAKERS, 0.05, "verify the registered circuit breakers"),
    PhaseKind(PhaseName.CASCADES, 0.05, "fail a service under breakers on every edge of the topology"),
    PhaseKind(PhaseName.MEMORY, 0.35, "loop without faults and watch memory"),
    PhaseKind(PhaseName.RECOVERY, 0.10, "compare with the baseline"),
    PhaseKind(PhaseName.ANALYSIS, 0.0, "judge the criteria"),
    PhaseKind(PhaseName.CLEANUP, 0.0, "tear down and write the report"),
)
TIMED = tuple(kind for kind in PHASES if kind.share > 0)


@dataclass(frozen=True)
class Budget:
    """A phase's budget: a share of the run (0 to 1), or seconds."""

    share: float | None = None
    seconds: float | None = None


def parse_budgets(lines: Iterable[str]) -> Mapping[PhaseName, Budget]:
    """Read lines such as `CHAOS_INJECTION = 20%` or `MEMORY_SOAK_TESTING = 2h`; raise SettingsError."""
    budgets: dict[PhaseName, Budget] = {}
    for line in lines:
        name, equals, text = (part.strip() for part in line.partition("="))
        if not equals:
            fix = "Write for example CHAOS_INJECTION = 20%."
            raise SettingsError(requirement("Each line of soak_phases", "PHASE = BUDGET", line, fix))
        budgets[_phase(name)] = _budget(name, text)
    return budgets


def _phase(name: str) -> PhaseName:
    known = [kind.name.value for kind in TIMED]
    if name.upper() not in known:
        constraint = "a phase that has a budget"
        raise SettingsError(
            requirement("Each name in soak_phases", constraint, name, did_you_mean(name.upper(), known))
        )
    return PhaseName(name.upper())


def _budget(name: str, text: str) -> Budget:
    label = f"soak_phases: {name}"
    if not text.endswith("%"):
        return Budget(seconds=parse_duration(text, label))
    try:
        percent = float(text[:-1])
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise SettingsError(requirement(label, "a percentage from 0 to 100, or a duration", text))
    return Budget(share=percent / 100)


def divide(duration: float, budgets: Mapping[PhaseName, Budget]) -> Mapping[PhaseName, float]:
    """Return the seconds of each timed phase: budgets as given, the rest by the default shares.

    What is left when every phase has a budget goes to the memory soak, as all time that is not used does.
    Raise SettingsError if the budgets add up to more than `duration` seconds.
    """
    fixed = {name: _seconds(budget, duration) for name, budget in budgets.items()}
    left = duration - sum(fixed.values())
    if left < -1e-9:
        asked = format_duration(sum(fixed.values()))
        raise SettingsError(
            requirement("The sum of soak_phases", f"at most the run's {format_duration(duration)}", asked)
        )
    shares = {kind.name: kind.share for kind in TIMED if kind.name not in fixed} or {PhaseName.MEMORY: 1.0}
    whole = sum(shares.values())
    return {
        kind.name: fixed.get(kind.name, 0.0) + max(0.0, left) * shares.get(kind.name, 0.0) / whole
        for kind in TIMED
    }


def _seconds(budget: Budget, duration: float) -> float:
    if budget.seconds is not None:
        return budget.seconds
    return (budget.share or 0.0) * duration
