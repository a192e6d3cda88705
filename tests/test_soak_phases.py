"""The nine phases, and how time is divided among them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.errors import SettingsError
from pytest_resilience.soak.phases import PHASES, TIMED, Budget, PhaseName, divide, parse_budgets
from pytest_resilience.units import format_duration

TIMED_NAMES = [kind.name for kind in TIMED]
shares = st.dictionaries(
    st.sampled_from(TIMED_NAMES), st.floats(0, 1 / 6).map(lambda share: Budget(share=share))
)


def test_the_table_is_the_specifications() -> None:
    """Nine phases in this order, with these shares."""
    assert [kind.name for kind in PHASES] == list(PhaseName)
    assert len(PHASES) == 9
    assert {kind.name.value: kind.share for kind in TIMED} == {
        "BASELINE_ESTABLISHMENT": 0.10,
        "CHAOS_INJECTION": 0.35,
        "CIRCUIT_BREAKER_TESTING": 0.05,
        "CASCADING_FAILURE_TESTING": 0.05,
        "MEMORY_SOAK_TESTING": 0.35,
        "RECOVERY_VALIDATION": 0.10,
    }
    assert math.fsum(kind.share for kind in TIMED) == pytest.approx(1.0)
    assert all(kind.purpose for kind in PHASES)


@given(st.floats(1, 1e6), shares)
def test_the_whole_run_is_divided_and_budgets_are_kept(
    duration: float, budgets: dict[PhaseName, Budget]
) -> None:
    """What is asked for is given, the rest is shared by the default shares, nothing is left over."""
    seconds = divide(duration, budgets)
    assert list(seconds) == TIMED_NAMES
    assert math.fsum(seconds.values()) == pytest.approx(duration)
    others = [kind for kind in TIMED if kind.name not in budgets]
    for name, budget in budgets.items():
        if others or name is not PhaseName.MEMORY:
            assert seconds[name] == pytest.approx((budget.share or 0) * duration)
    scale = {round(seconds[kind.name] / kind.share / duration, 9) for kind in others}
    assert len(scale) <= 1


def test_what_all_budgets_together_leave_goes_to_the_memory_soak() -> None:
    """A run lasts as long as it was asked to."""
    seconds = divide(3600.0, {name: Budget(seconds=60.0) for name in TIMED_NAMES})
    assert seconds[PhaseName.MEMORY] == 60.0 + 3240.0
    assert {seconds[name] for name in TIMED_NAMES if name is not PhaseName.MEMORY} == {60.0}


def test_budgets_are_read_in_both_forms() -> None:
    """A share or a duration; in any case and spacing."""
    lines = ["CHAOS_INJECTION = 20%", "memory_soak_testing=2h", "RECOVERY_VALIDATION = 0%"]
    assert parse_budgets(lines) == {
        PhaseName.CHAOS: Budget(share=0.2),
        PhaseName.MEMORY: Budget(seconds=7200.0),
        PhaseName.RECOVERY: Budget(share=0.0),
    }


@given(st.sampled_from(TIMED_NAMES), st.floats(0.01, 1e5))
def test_a_budget_can_be_written_as_a_duration_is_shown(name: PhaseName, seconds: float) -> None:
    """The advice of the report can be pasted."""
    text = format_duration(seconds)
    assert parse_budgets([f"{name} = {text}"])[name].seconds == pytest.approx(seconds, rel=0.1, abs=60)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "CHAOS_INJECTION 20%",
            (
                "Each line of soak_phases must be PHASE = BUDGET, not 'CHAOS_INJECTION 20%'. "
                "Write for example CHAOS_INJECTION = 20%."
            ),
        ),
        (
            "CHAOS_INJECTON = 20%",
            (
                "Each name in soak_phases must be a phase that has a budget, not 'CHAOS_INJECTON'. "
                "Did you mean 'CHAOS_INJECTION'?"
            ),
        ),
        *(
            (
                f"CHAOS_INJECTION = {percent}",
                (
                    "soak_phases: CHAOS_INJECTION must be a percentage from 0 to 100, or a duration, "
                    f"not '{percent}'."
                ),
            )
            for percent in ("120%", "-1%", "nan%", "inf%", "%", "x%")
        ),
        (
            "CHAOS_INJECTION = 20",
            (
                "soak_phases: CHAOS_INJECTION must be a duration such as 90s, 15m, 4h or 1h30m, not '20'. "
                "Give a number and a unit."
            ),
        ),
    ],
)
def test_a_wrong_line_is_said_with_its_fix(line: str, text: str) -> None:
    """One line: value, constraint, fix."""
    with pytest.raises(SettingsError) as wrong:
        parse_budgets([line])
    assert str(wrong.value) == text


@pytest.mark.parametrize("name", ["INITIALIZATION", "FINAL_ANALYSIS", "CLEANUP"])
def test_a_phase_that_takes_what_it_takes_has_no_budget(name: str) -> None:
    """It is a phase, but not one that can be given time."""
    with pytest.raises(SettingsError, match="must be a phase that has a budget"):
        parse_budgets([f"{name} = 10s"])


def test_budgets_longer_than_the_run_are_refused() -> None:
    """With both numbers."""
    with pytest.raises(SettingsError) as wrong:
        divide(60.0, {PhaseName.CHAOS: Budget(seconds=50), PhaseName.MEMORY: Budget(share=0.5)})
    assert str(wrong.value) == "The sum of soak_phases must be at most the run's 1m00s, not '1m20s'."
