"""What --soak-plan shows before anything runs."""

import pytest
from soak_stage import ODDS, fetch

from pytest_resilience.chaos.scenarios import TEN
from pytest_resilience.report.plan import Plan, absent_subjects, lines
from pytest_resilience.services import Service
from pytest_resilience.settings import Settings
from pytest_resilience.soak.candidates import candidates
from pytest_resilience.soak.criteria import limits_of
from pytest_resilience.soak.phases import PHASES, divide
from pytest_resilience.store.records import SoakTest
from pytest_resilience.units import format_duration

SHOP = Service("shop", needs=["odds"])
SERVICES = (SHOP, ODDS)


def plan_of(
    *services: Service,
    breakers: tuple[str, ...] = (),
    settings: Settings | None = None,
    seconds: float = 14400.0,
    marks: tuple[SoakTest, ...] = (SoakTest("test_shop.py::test_bet", 1, "latency_spike"),),
    workers: int = 0,
) -> list[str]:
    """Return the lines of a plan, if nothing else is asked for of four hours."""
    chosen = settings or Settings(duration_seconds=seconds, seed=7)
    return list(
        lines(
            Plan(
                duration=seconds,
                seed=7,
                intensity="medium",
                tests=("test_shop.py::test_quote", "test_shop.py::test_bet"),
                services=services,
                breakers=breakers,
                candidates=tuple(candidates(services, TEN)),
                budgets=divide(seconds, {}),
                limits=limits_of(chosen),
                absent=absent_subjects(chosen, services, breakers, workers),
                workers=workers,
                marks={mark.test: mark for mark in marks},
                settings=chosen,
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
        "  test_shop.py::test_bet: must pass under latency_spike",
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


def test_each_scenario_can_run_or_says_what_is_missing() -> None:
    """With the fix."""
    shown = plan_of(Service("odds", calls=["soak_stage:fetch"]))
    assert row(shown, "latency_spike", "odds") == "latency_spike odds calls can run"
    assert row(shown, "cpu_saturation") == "cpu_saturation host host can run"
    assert row(shown, "scenario") == "scenario target seam in this suite why"
    missing = row(shown, "provider_timeout", "odds")
    assert missing.startswith("provider_timeout odds calls cannot run service 'odds' declares no timeout")
    assert missing.endswith("Add it in resilience_services: Service('odds', timeout=2.0, …).")
    assert row(shown, "cascading_failure").startswith(
        "cascading_failure topology topology cannot run no failure can spread, as no service with a seam"
    )


def test_each_seam_of_a_service_is_shown_and_is_a_target() -> None:
    """An endpoint and a process too, in words."""
    shown = plan_of(Service("db", calls=["soak_stage:fetch"], endpoint="127.0.0.1:5432", process=1))
    assert row(shown, "db") == "db soak_stage:fetch, endpoint 127.0.0.1:5432, its process -"
    for seam in ("calls", "endpoint"):
        assert row(shown, "latency_spike", "db", seam) == f"latency_spike db {seam} can run"
    assert row(shown, "provider_timeout", "db", "process") == "provider_timeout db process can run"
    assert row(shown, "provider_timeout", "db", "calls").startswith("provider_timeout db calls cannot run")


def test_a_cascade_is_shown_at_each_service_where_it_can_start() -> None:
    """Its target is the service that goes down first."""
    shown = plan_of(Service("shop", calls=["soak_stage:fetch"], needs=["odds"]), ODDS)
    assert row(shown, "cascading_failure") == "cascading_failure odds topology can run"


def test_all_phases_are_shown_with_their_times() -> None:
    """Those that take what they take have none."""
    shown = plan_of(*SERVICES, breakers=("test_circuit",))
    budgets = divide(14400.0, {})
    for kind in PHASES:
        time = [format_duration(budgets[kind.name])] if kind.name in budgets else []
        assert row(shown, kind.name, *time) == " ".join([kind.name, *time, kind.purpose])


def test_a_phase_without_a_subject_is_skipped() -> None:
    """And what would give it one is said."""
    shown = plan_of(ODDS)
    assert (
        row(shown, "CIRCUIT_BREAKER") == "CIRCUIT_BREAKER_TESTING skipped: no circuit breaker is registered"
    )
    assert row(shown, "CASCADING_FAILURE").endswith(
        "skipped: needs a circuit breaker and services with needs"
    )


def test_criteria_without_data_say_why() -> None:
    """Before four hours are spent on them."""
    shown = plan_of()
    assert row(shown, "failures_outside_faults") == "failures_outside_faults == 0"
    for criterion, why in {
        "recovery_success_rate": "no service is declared",
        "circuit_breakers": "no circuit breaker is registered",
        "cascade_recovery": "needs a circuit breaker and services with needs",
    }.items():
        assert row(shown, criterion).endswith(f"no data: {why}")


def test_with_everything_declared_nothing_lacks_data() -> None:
    """And the breakers are named."""
    shown = plan_of(*SERVICES, breakers=("test_circuit",), workers=2)
    assert shown[0].endswith(", 2 workers of pytest-xdist")
    assert "circuit breakers: test_circuit" in shown
    assert not any("no data" in line for line in shown)


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (14400, "CHAOS_INJECTION has 1h24m for 9 possible faults; a fault takes at least 2.0s."),
        (20, "CHAOS_INJECTION has 7.0s: room for at most 3 of these 9 in one pass."),
        (5, "CHAOS_INJECTION has 1.8s: room for none of these, as a fault takes at least 2.0s."),
    ],
)
def test_the_plan_says_how_many_faults_have_room(seconds: float, line: str) -> None:
    """That a scenario can run does not mean that it will."""
    assert line in plan_of(*SERVICES, seconds=seconds)


def test_without_services_the_fixture_to_override_is_named() -> None:
    """With a service that has no seams, the host can still be hit."""
    shown = plan_of()
    assert (
        "No service is declared: override the fixture resilience_services, so that faults can be injected."
        in shown
    )
    assert "No fault will be injected: no service is declared." in shown
    shown = plan_of(Service("odds"))
    assert row(shown, "odds") == "odds - -"
    assert "CHAOS_INJECTION has 1h24m for 3 possible faults; a fault takes at least 2.0s." in shown


SWITCHED_OFF = {
    "enable_chaos_testing": {
        "survives",
        "recovery_success_rate",
        "mean_recovery_seconds",
        "injection_seconds",
    },
    "enable_circuit_breaker_testing": {"circuit_breakers", "breaker_transition_seconds"},
    "enable_cascading_failure_testing": {"cascade_recovery"},
    "enable_memory_monitoring": {"memory_growth_percent", "memory_leak_detected", "system_memory_percent"},
}


@pytest.mark.parametrize(("field", "criteria"), SWITCHED_OFF.items())
def test_what_is_switched_off_has_no_data(field: str, criteria: set[str]) -> None:
    """Exactly the criteria of that subject, and the option is named."""
    off = Settings(**{field: False})  # type: ignore[arg-type]
    shown = plan_of(*SERVICES, breakers=("test_circuit",), settings=off)
    ends = f"no data: switched off by resilience_{field} = false"
    assert {name for name in limits_of(off) if row(shown, f"{name} ").endswith(ends)} == criteria


@pytest.mark.parametrize(
    ("field", "phase"),
    [
        ("enable_chaos_testing", "CHAOS_INJECTION"),
        ("enable_circuit_breaker_testing", "CIRCUIT_BREAKER_TESTING"),
        ("enable_cascading_failure_testing", "CASCADING_FAILURE_TESTING"),
    ],
)
def test_a_phase_that_is_switched_off_gives_its_time_to_the_memory_soak(field: str, phase: str) -> None:
    """As it does in the run."""
    everything = Settings()
    off = Settings(**{field: False})  # type: ignore[arg-type]
    times = [plan_of(*SERVICES, breakers=("b",), settings=one) for one in (everything, off)]
    assert row(times[1], phase) == f"{phase} skipped: switched off by resilience_{field} = false"
    assert row(times[0], "MEMORY_SOAK_TESTING") != row(times[1], "MEMORY_SOAK_TESTING")


def test_switched_off_chaos_and_memory_say_so_where_they_would_act() -> None:
    """Below the scenarios, and in the phase that loops all the same."""
    off = Settings(enable_chaos_testing=False, enable_memory_monitoring=False)
    shown = plan_of(*SERVICES, settings=off)
    assert "No fault will be injected: switched off by resilience_enable_chaos_testing = false." in shown
    assert row(shown, "MEMORY_SOAK_TESTING") == (
        "MEMORY_SOAK_TESTING 3h12m loop without faults; memory monitoring is switched off by "
        "resilience_enable_memory_monitoring = false"
    )
