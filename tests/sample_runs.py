"""Runs, record by record, for tests of the criteria and of the report."""

from collections.abc import Iterable
from dataclasses import replace

from pytest_resilience.breakers.records import BreakerResult, Cascade, HazardResult, Transition
from pytest_resilience.chaos.records import ChaosEvent, NotRun, Seam
from pytest_resilience.memory.records import Observer, Sample
from pytest_resilience.soak.phases import PHASES
from pytest_resilience.store.records import Failure, Phase, Record, Run, SoakTest, Tally, Worker
from pytest_resilience.store.run_data import RunData, gather
from pytest_resilience.units import MIB

QUOTE, BET = "test_shop.py::test_quote", "test_shop.py::test_bet"
COMMAND = "pytest --soak-duration=100s --resilience-seed=7"
RUN = Run(
    "resilience_test_20250102T030405Z_ab12",
    "2025-01-02T03:04:05Z",
    7,
    "medium",
    100.0,
    COMMAND,
    '{"seed": 7}',
    "{}",
    "complete",
    "",
    100.0,
)
TIMES = {
    "INITIALIZATION": (0.0, 0.0),
    "BASELINE_ESTABLISHMENT": (0.0, 10.0),
    "CHAOS_INJECTION": (10.0, 45.0),
    "CIRCUIT_BREAKER_TESTING": (45.0, 47.0),
    "CASCADING_FAILURE_TESTING": (47.0, 48.0),
    "MEMORY_SOAK_TESTING": (48.0, 90.0),
    "RECOVERY_VALIDATION": (90.0, 100.0),
    "FINAL_ANALYSIS": (100.0, 100.0),
    "CLEANUP": (100.0, 100.0),
}
PHASE_RECORDS = tuple(
    Phase(kind.name.value, position, "done", 100 * kind.share, *TIMES[kind.name])
    for position, kind in enumerate(PHASES)
)
SEAM = Seam("odds_provider", "shop.odds:OddsClient.fetch", 40, 0.002)


def event(number: int, scenario: str, **changes: float | None) -> ChaosEvent:
    """Return an event that fired and recovered after 1.5 s."""
    usual = ChaosEvent(
        event_id=f"{scenario}-{number}",
        scenario=scenario,
        service="odds_provider",
        impact="medium",
        seed=7,
        parameters="share=0.1",
        armed_at=10.0 * number,
        injection_seconds=0.001,
        reached=40,
        fired=4,
        first_fired_at=10.0 * number + 1,
        last_fired_at=10.0 * number + 4,
        removed_at=10.0 * number + 5,
        recovered_at=10.0 * number + 6.5,
        waited_seconds=1.5,
        limit_seconds=30.0,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def tally(test: str, phase: str, **changes: float) -> Tally:
    """Return 100 iterations of a test that passes in about 2 ms."""
    usual = Tally(test, phase, 100, 0, 0, 0, 0.2, 0.002, 0.003, 0.004)
    return replace(usual, **changes)  # type: ignore[arg-type]


def samples(grown: float = 0.0) -> Iterable[Sample]:
    """Yield checkpoints of a process of 100 MiB that grows evenly, by `grown` percent in the memory soak."""
    for tick in range(1001):
        at = tick / 10
        share = min(1.0, max(0.0, (at - 48) / 42))
        rss = int(100 * MIB * (1 + grown / 100 * share))
        phase = next(name for name, (_, ended) in TIMES.items() if at <= ended)
        yield Sample(at, phase, checkpoint=True, iteration=tick, rss=rss, system_percent=40.0 + share)


def failure(test: str, event_id: str = "", count: int = 1, text: str = "E   assert 0") -> Failure:
    """Return a failure in the memory soak."""
    return Failure(
        test,
        "test_shop.py:12: AssertionError",
        event_id,
        "MEMORY_SOAK_TESTING",
        "call",
        count,
        50.0,
        60.0,
        text,
    )


WORKER = Worker("gw0", "boot:pid", 4711, "3.11.7", 0.05, "ended", 100.0)


def good_records() -> tuple[Record, ...]:
    """Return a run in which all is well."""
    return (
        RUN,
        *PHASE_RECORDS,
        SEAM,
        SoakTest(QUOTE, 1, "latency_spike"),
        SoakTest(BET),
        *(tally(test, phase) for test in (QUOTE, BET) for phase in list(TIMES)[1:7]),
        event(1, "provider_timeout"),
        event(2, "intermittent_errors"),
        event(3, "latency_spike"),
        failure(QUOTE, "provider_timeout-1", count=4),
        NotRun("network_partition", "odds_provider", "it has no endpoint", "Service(endpoint=…)."),
        NotRun("database_slowdown", "odds_provider", "it has no endpoint", "Service(endpoint=…)."),
        BreakerResult("test_circuit", "failure_threshold", "passed", "opened at 5"),
        BreakerResult("test_circuit", "error_rate_threshold", "not_applicable", "counts failures only"),
        HazardResult("test_circuit", "late_success_while_open", "wrong", "passed", "call A enters"),
        HazardResult("test_circuit", "herd_in_half_open", "strict", "failed", "All 8 entered"),
        Transition("test_circuit", "closed>open", 0.00002),
        Cascade("linear", "passed", 2, 1, 1, 1.0, "database_service down, back after 1 s"),
        Observer("sampler", 100.0, 0.4),
        Observer("conductor", 100.0, 0.1),
        *samples(),
    )


def run_data(*changes: Record, without: tuple[type, ...] = ()) -> RunData:
    """Return the good run with some records added or replaced by key, and some kinds left out."""
    kept = [record for record in good_records() if not isinstance(record, without)]
    return gather([*kept, *changes])
