"""Durations and sizes, as users write and read them."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_resilience.errors import SettingsError
from pytest_resilience.units import (
    KIB,
    MIB,
    SECONDS,
    counted,
    format_bytes,
    format_duration,
    parse_duration,
    parse_hours,
    positive,
)

UNITS = tuple(SECONDS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("15m", 900.0),
        ("4h", 14400.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        (" 1H 30M ", 5400.0),
    ],
)
def test_durations_that_users_write(text: str, seconds: float) -> None:
    """A duration is numbers with units, in any case, with or without spaces."""
    assert parse_duration(text) == pytest.approx(seconds)


@given(st.lists(st.tuples(st.integers(1, 999), st.sampled_from(UNITS)), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    """Any chain of parts adds up."""
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(number * SECONDS[unit] for number, unit in parts))


def resolution(seconds: float) -> float:
    """Return by how much what format_duration writes may be off: it shows no more than people read."""
    if seconds < 1:
        return 0.0006
    if seconds < 60:
        return 0.06
    return 0.6 if seconds < 3600 else 60.0


@given(st.floats(0.001, 1e6))
@example(0.9995)
@example(59.95)
@example(3599.5)
@example(3600.0)
def test_what_is_written_can_be_read(seconds: float) -> None:
    """format_duration writes what parse_duration reads, as exactly as it shows."""
    assert abs(parse_duration(format_duration(seconds)) - seconds) <= resolution(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.25, "250ms"),
        (0.9996, "1.0s"),
        (4.21, "4.2s"),
        (59.96, "1m00s"),
        (90, "1m30s"),
        (3599.6, "1h00m"),
        (14400, "4h00m"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    """No unit ever overflows into the next: 60 s is a minute."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize("text", ["", "4", "h", "4x", "-4h", "1e3s", "nan", "inf", "4h foo", "1,5h", "4h-1m"])
def test_what_is_no_duration_is_rejected(text: str) -> None:
    """The message has the option, examples of the form, the value and the fix."""
    with pytest.raises(SettingsError) as wrong:
        parse_duration(text, "--soak-duration")
    constraint = "a duration such as 90s, 15m, 4h or 1h30m"
    assert str(wrong.value) == (
        f"--soak-duration must be {constraint}, not {text!r}. Give a number and a unit."
    )


@pytest.mark.parametrize("text", ["0s", "0h0m", "0.0ms", "9" * 400 + "h", "9" * 308 + "h" + "9" * 308 + "d"])
def test_a_duration_is_finite_and_above_zero(text: str) -> None:
    """Zero and what no float can hold are refused, and never with a traceback."""
    with pytest.raises(SettingsError, match=r"^--soak-duration must be finite and above 0, not "):
        parse_duration(text, "--soak-duration")


@given(st.text(alphabet="0123456789.hms d", max_size=12))
def test_no_text_makes_it_stumble(text: str) -> None:
    """Whatever is written, the answer is a usable number or a SettingsError."""
    try:
        seconds = parse_duration(text)
    except SettingsError:
        return
    assert 0 < seconds < math.inf


@given(st.floats(1e-6, 1e6))
def test_hours_are_read_as_seconds(hours: float) -> None:
    """Fractions of hours are allowed."""
    assert parse_hours(repr(hours)) == pytest.approx(3600 * hours)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "0", "-0.0", "1e308"])
def test_hours_are_finite_and_above_zero(text: str) -> None:
    """Not even as seconds are they infinite."""
    with pytest.raises(SettingsError) as wrong:
        parse_hours(text, "--soak-hours")
    assert str(wrong.value).startswith(f"--soak-hours must be finite and above 0, not {text!r}.")


def test_hours_take_no_unit() -> None:
    """The message names the option that does."""
    with pytest.raises(SettingsError) as wrong:
        parse_hours("4h", "--soak-hours")
    fix = "For other units use --soak-duration."
    assert str(wrong.value) == f"--soak-hours must be a number of hours such as 4 or 0.5, not '4h'. {fix}"


@given(st.floats())
def test_positive(number: float) -> None:
    """It lets through exactly the finite numbers above zero, unchanged."""
    if 0 < number < math.inf:
        assert positive(number, "it", number) == number
    else:
        with pytest.raises(SettingsError, match=r"^it must be finite and above 0"):
            positive(number, "it", number)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (514, "514 B"),
        (KIB, "1.0 KiB"),
        (7.2 * MIB, "7.2 MiB"),
        (3 * 1024 * MIB, "3.0 GiB"),
        (-2 * KIB, "-2.0 KiB"),
        (5000 * 1024 * MIB, "5000.0 GiB"),
    ],
)
def test_sizes_for_people(size: float, text: str) -> None:
    """Binary units, one decimal."""
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rounds"), (1, "1 round"), (2, "2 rounds"), (1200, "1,200 rounds")]
)
def test_numbers_of_things_for_people(number: int, text: str) -> None:
    """One is one."""
    assert counted(number, "round") == text
