"""What --soak-plan shows before anything runs."""

import pytest
from soak_stage import ODDS, fetch

from pytest_resilience.report.plan import Plan, lines, without_subject
from pytest_resilience.services import Service
from pytest_resilience.settings import Settings
from pytest_resilience.soak.candidates import candidates
from pytest_resilience.soak.criteria import limits_of
from pytest_resilience.soak.phases import PHASES, divide

SHOP = Service("shop", needs=["odds"])
SERVICES = (SHOP, ODDS)


def plan_of(
    *services: Service, breakers: tuple[str, ...] = (), settings: Settings | None = None
) -> list[str]:
    """Return the lines of a plan of four hours."""
    chosen = settings or Settings(duration_seconds=14400.0, seed=7)
    return list(
        lines(
            Plan(
                duration=14400.0,
                seed=7,
                intensity="medium",
                tests=("test_shop.py::test_quote", "test_shop.py::test_bet"),
                services=services,
                breakers=breakers,
                candidates=tuple(candidates(services)),
                budgets=divide(14400.0, {}),
                limits=limits_of(chosen),
                unjudged=without_subject(chosen, services, breakers),
            )
        )
    )


def row(shown: list[str], *starts: str) -> str:
    """Return the one row of a table whose first cells are these: unwrapped, its cells one space apart."""
    rows: list[str] = []
    for line in shown:
        if line.startswith("        ") and rows:
            rows[-1] += f" {line}"
        else:
            rows.append(line)
    words = [" ".join(line.split()) for line in rows]
    (found,) = [line for line in words if line.startswith(" ".join(starts))]
    return found


def test_the_head_says_how_to_repeat_it() -> None:
    """Duration, seed, intensity and the tests."""
    shown = plan_of(*SERVICES)
    assert shown[:5] == [
        "soak of 4h00m, seed 7, intensity medium",
        "",
        "2 soak tests:",
        "  test_shop.py::test_quote",
        "  test_shop.py::test_bet",
    ]


def test_each_service_has_its_calls_and_needs() -> None:
    """A dash where there are none."""
    shown = plan_of(*SERVICES)
    assert row(shown, "shop", "-") == "shop - odds"
    assert row(shown, "odds", "soak_stage:fetch") == "odds soak_stage:fetch -"


def test_a_callable_is_shown_by_its_path() -> None:
    """Not by where it lies in memory."""
    shown = plan_of(Service("odds", calls=[fetch]))
    assert row(shown, "odds", "soak_stage") == "odds soak_stage:fetch -"
    assert not any(" at 0x" in line for line in shown)


def test_each_scenario_will_run_or_says_what_is_missing() -> None:
    """With the fix."""
    shown = plan_of(Service("odds", calls=["soak_stage:fetch"]))
    assert row(shown, "latency_spike", "odds") == "latency_spike odds will run"
    missing = row(shown, "provider_timeout", "odds")
    assert missing.startswith("provider_timeout odds will not run service 'odds' declares no timeout")
    assert missing.endswith("Add it in resilience_services: Service('odds', timeout=2.0, …).")
    assert "will not run not available in this version" in row(shown, "network_partition")


def test_all_phases_are_shown_with_their_times() -> None:
    """Those that take what they take have none."""
    shown = plan_of(*SERVICES)
    for kind in PHASES:
        assert row(shown, kind.name).endswith(kind.purpose)
    assert row(shown, "CHAOS_INJECTION").startswith("CHAOS_INJECTION 1h24m inject")
    assert row(shown, "CLEANUP").startswith("CLEANUP tear down")


def test_criteria_without_data_say_why() -> None:
    """Before four hours are spent on them."""
    shown = plan_of()
    assert row(shown, "failures_outside_faults") == "failures_outside_faults == 0"
    for criterion, why in {
        "recovery_success_rate": "no service declares calls",
        "circuit_breakers": "no circuit breaker is registered",
        "cascade_recovery": "needs a circuit breaker and services with needs",
    }.items():
        assert row(shown, criterion).endswith(f"no data: {why}")


def test_with_everything_declared_nothing_lacks_data() -> None:
    """And the breakers are named."""
    shown = plan_of(*SERVICES, breakers=("test_circuit",))
    assert "circuit breakers: test_circuit" in shown
    assert not any("no data" in line for line in shown)


@pytest.mark.parametrize(
    ("field", "criteria"),
    [
        ("enable_chaos_testing", {"recovery_success_rate", "mean_recovery_seconds", "injection_seconds"}),
        ("enable_circuit_breaker_testing", {"circuit_breakers", "breaker_transition_seconds"}),
        ("enable_cascading_failure_testing", {"cascade_recovery"}),
        (
            "enable_memory_monitoring",
            {"memory_growth_percent", "memory_leak_detected", "system_memory_percent"},
        ),
    ],
)
def test_what_is_switched_off_has_no_data(field: str, criteria: set[str]) -> None:
    """Exactly the criteria of that subject."""
    settings = Settings(**{field: False})  # type: ignore[arg-type]
    assert without_subject(settings, SERVICES, ["test_circuit"]) == dict.fromkeys(criteria, "switched off")
