"""The lines of resilience_criteria."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.errors import SettingsError
from pytest_resilience.soak.criteria_lines import COMPARISONS, Limit, parse_line, parse_lines

DEFAULTS = {
    "memory_growth_percent": Limit("memory_growth_percent", "<", 10, warning_to=15),
    "recovery_success_rate": Limit("recovery_success_rate", ">=", 0.8),
    "memory_leak_detected": Limit("memory_leak_detected", "==", False),
}
ABORTS = st.none() | st.integers(min_value=1, max_value=10**8).map(lambda ms: ms / 1000)
LIMITS = st.one_of(
    st.builds(
        Limit,
        st.sampled_from(["memory_growth_percent", "recovery_success_rate"]),
        st.sampled_from(sorted(COMPARISONS)),
        st.floats(allow_nan=False, allow_infinity=False),
        st.none(),
        ABORTS,
    ),
    st.builds(Limit, st.just("memory_leak_detected"), st.just("=="), st.booleans(), st.none(), ABORTS),
)


@given(LIMITS)
def test_a_limit_reads_what_it_writes(limit: Limit) -> None:
    """Every limit survives being written as a line and read again."""
    assert parse_line(str(limit), DEFAULTS) == limit


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("memory_growth_percent < 10", Limit("memory_growth_percent", "<", 10.0)),
        ("  recovery_success_rate>=0.8 ", Limit("recovery_success_rate", ">=", 0.8)),
        ("memory_leak_detected == No", Limit("memory_leak_detected", "==", False)),
        (
            "memory_growth_percent < 10 abort after 3m",
            Limit("memory_growth_percent", "<", 10.0, abort_after=180.0),
        ),
    ],
)
def test_what_users_write(line: str, limit: Limit) -> None:
    """The documented lines are read; a user's limit has no warning band."""
    assert parse_line(line, DEFAULTS) == limit


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "memory_growth < 10",
            (
                "Each name in resilience_criteria must be a criterion, not 'memory_growth'. "
                "Did you mean 'memory_growth_percent'?"
            ),
        ),
        (
            "memory_growth_percent",
            (
                "Each line of resilience_criteria must be CRITERION COMPARISON VALUE, not "
                "'memory_growth_percent'. Write for example memory_growth_percent < 10, "
                "or memory_growth_percent < 10 abort after 3m."
            ),
        ),
        (
            "memory_growth_percent =< 10",
            (
                "resilience_criteria: memory_growth_percent comparison must be one of < <= == >= >, "
                "not '=<'. Write for example memory_growth_percent < 10."
            ),
        ),
        (
            "memory_growth_percent < nan",
            "resilience_criteria: memory_growth_percent must be a finite number without a unit, not 'nan'.",
        ),
        (
            "memory_growth_percent < inf",
            "resilience_criteria: memory_growth_percent must be a finite number without a unit, not 'inf'.",
        ),
        (
            "memory_growth_percent < 10%",
            "resilience_criteria: memory_growth_percent must be a finite number without a unit, not '10%'.",
        ),
        (
            "memory_leak_detected < 1",
            (
                "resilience_criteria: memory_leak_detected comparison must be one of ==, not '<'. "
                "Write for example memory_leak_detected == no."
            ),
        ),
        (
            "memory_leak_detected == 0",
            "resilience_criteria: memory_leak_detected must be yes or no, not '0'.",
        ),
        (
            "memory_growth_percent < 10 abort after soon",
            (
                "resilience_criteria: memory_growth_percent abort after must be a duration such as "
                "90s, 15m, 4h or 1h30m, not 'soon'. Give a number and a unit."
            ),
        ),
    ],
)
def test_a_wrong_line_is_told_in_one_line(line: str, message: str) -> None:
    """Every mistake names the value, the constraint and the fix."""
    with pytest.raises(SettingsError) as caught:
        parse_line(line, DEFAULTS)
    assert str(caught.value) == message


def test_a_criterion_is_limited_once() -> None:
    """Two lines for one criterion contradict each other."""
    lines = ["memory_growth_percent < 10", "memory_growth_percent < 20"]
    with pytest.raises(
        SettingsError, match=r"^resilience_criteria sets memory_growth_percent twice\. Keep one"
    ):
        parse_lines(lines, DEFAULTS)


@given(st.text(max_size=30))
def test_any_other_text_is_refused(text: str) -> None:
    """Text that names no criterion is told in one line, whatever it is."""
    with pytest.raises(SettingsError) as caught:
        parse_line(text, DEFAULTS)
    assert "\n" not in str(caught.value)
