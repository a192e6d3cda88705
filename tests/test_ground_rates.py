"""Rates, stages and think times, as users write them."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_resilience.errors import SettingsError
from pytest_resilience.rates import EXAMPLE, Point, RateProfile, ThinkTime, parse_rate, parse_think_time

rates = st.sampled_from([0.0, 0.25, 1.0, 2.5, 10.0, 400.0])
times = st.integers(0, 5000).map(float)


@st.composite
def profiles(draw: st.DrawFn) -> RateProfile:
    """Draw a rate that the parser would accept: with ramps, rests and jumps."""
    at = sorted({0.0, *draw(st.lists(times, max_size=5))})
    doubled = [time for time in at for _ in range(draw(st.integers(1, 2)))]
    points = [Point(time, draw(rates)) for time in doubled]
    last = points[-1].rate or 3.0
    return RateProfile((*points[:-1], Point(points[-1].at, last)))


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50/s", 50.0), ("600/min", 10.0), ("90 / m", 1.5), ("0.5/sec", 0.5), ("3600/h", 1.0), (" 7/S ", 7.0)],
)
def test_a_constant_rate_is_a_number_and_a_unit_of_time(text: str, rate: float) -> None:
    """The same at every time of the run."""
    profile = parse_rate(text)
    assert profile == RateProfile((Point(0.0, rate),))
    assert [profile.rate_at(time) for time in (0.0, 1.0, 1e6)] == [rate] * 3


@pytest.mark.parametrize(
    "text", ["0s: 10/s, 10m: 100/s", "0s:10/s,10m:6000/min", "\n 0: 10/s\n 10m: 100/s\n"]
)
def test_stages_are_times_and_rates_linear_in_between(text: str) -> None:
    """On one line or on several; after the last the rate stays."""
    profile = parse_rate(text)
    assert [profile.rate_at(time) for time in (0.0, 300.0, 600.0, 9000.0)] == [10.0, 55.0, 100.0, 100.0]
    assert profile.iterations_by(600.0) == pytest.approx(33_000)


def test_two_rates_at_one_time_are_a_jump() -> None:
    """A step up, without a ramp."""
    profile = parse_rate("0s: 10/s, 10s: 10/s, 10s: 50/s")
    assert [profile.rate_at(time) for time in (0.0, 9.99, 10.0, 60.0)] == [10.0, 10.0, 50.0, 50.0]
    assert profile.iterations_by(12.0) == pytest.approx(200)
    assert profile.time_of(150) == pytest.approx(11)


def test_a_rest_asks_for_nothing() -> None:
    """The next iteration is due after it."""
    profile = parse_rate("0s: 1/s, 10s: 1/s, 10s: 0/s, 20s: 0/s, 20s: 1/s")
    assert profile.time_of(10) == pytest.approx(10)
    assert profile.time_of(10.5) == pytest.approx(20.5)
    assert profile.iterations_by(20.0) == profile.iterations_by(10.0)


@given(profiles(), st.floats(0, 1e5))
def test_the_time_of_an_iteration_is_the_inverse_of_how_many_are_asked_for(
    profile: RateProfile, iterations: float
) -> None:
    """And it is the first such time."""
    time = profile.time_of(iterations)
    assert profile.iterations_by(time) == pytest.approx(iterations, rel=1e-9, abs=1e-6)
    if time > 0.01:
        assert profile.iterations_by(time - 0.01) <= iterations + 1e-6


@given(profiles(), st.lists(st.floats(0, 1e4), min_size=2, max_size=20))
def test_what_is_asked_for_never_falls_and_never_turns_back(profile: RateProfile, at: list[float]) -> None:
    """The sum over two spans is the sum over both."""
    asked = [profile.iterations_by(time) for time in sorted(at)]
    assert all(later >= earlier - 1e-9 * max(1, later) for earlier, later in pairwise(asked))
    due = [profile.time_of(number) for number in range(50)]
    assert due == sorted(due)


@given(profiles(), st.floats(0.0, 5000.0))
def test_what_is_asked_for_is_the_area_under_the_rate(profile: RateProfile, end: float) -> None:
    """Summed up in small steps, jumps counted from the right."""
    assume(end > 1)
    steps = 4000
    width = end / steps
    area = sum(profile.rate_at((step + 0.5) * width) for step in range(steps)) * width
    largest = max(point.rate for point in profile.points)
    assert profile.iterations_by(end) == pytest.approx(area, rel=1e-3, abs=12 * largest * width)


GIVE = "Give a number, and /s, /min or /h."


@pytest.mark.parametrize(
    ("text", "constraint", "fix"),
    [
        ("fast", EXAMPLE, GIVE),
        ("", EXAMPLE, "It is empty."),
        (" , ", EXAMPLE, "It is empty."),
        ("50", EXAMPLE, GIVE),
        ("-5/s", EXAMPLE, GIVE),
        ("1e3/s", EXAMPLE, GIVE),
        ("nan/s", EXAMPLE, GIVE),
        ("5/day", EXAMPLE, GIVE),
        ("0s: 10/s, 100/s", EXAMPLE, "'100/s' has no time before it."),
        ("0/s", "above 0/s in the end", "The last rate holds to the end of the run."),
        ("0s: 10/s, 1m: 0/s", "above 0/s in the end", "The last rate holds to the end of the run."),
        ("1m: 10/s, 2m: 20/s", "stages that begin at 0s", "Begin with 0s: 10/s."),
        (
            "0s: 1/s, 2m: 2/s, 1m: 3/s",
            "stages in the order of their times",
            "A time is since the start of the run, not a duration.",
        ),
        (
            "0s: 1/s, 0s: 2/s, 0s: 3/s",
            "at most two rates at one time",
            "Two are a jump from the first to the second.",
        ),
        (f"{'9' * 400}/s", "finite", "Give a smaller number."),
    ],
)
def test_a_wrong_rate_says_what_it_must_be(text: str, constraint: str, fix: str) -> None:
    """With the text, as the user wrote it."""
    with pytest.raises(SettingsError) as error:
        parse_rate(text, "--soak-rate")
    assert str(error.value) == f"--soak-rate must be {constraint}, not {text!r}. {fix}"


def test_a_wrong_time_of_a_stage_is_named() -> None:
    """The stage is in the message."""
    with pytest.raises(
        SettingsError, match=r"^soak_rate: the time of 'soon: 5/s' must be a duration such as"
    ):
        parse_rate("0s: 1/s, soon: 5/s", "soak_rate")


@given(st.text(st.sampled_from("0123456789./:,smhin \n-"), max_size=30))
def test_whatever_is_written_is_a_rate_or_a_clear_error(text: str) -> None:
    """No other exception, and what is accepted can be followed."""
    try:
        profile = parse_rate(text)
    except SettingsError:
        return
    assert profile.points[0].at == 0
    assert math.isfinite(profile.time_of(5))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("100ms", 0.1, 0.1), ("50ms..200ms", 0.05, 0.2), ("0..1s", 0.0, 1.0), ("1s .. 2s", 1.0, 2.0)],
)
def test_a_think_time_is_one_duration_or_two(text: str, low: float, high: float) -> None:
    """Two give the ends of what is drawn from."""
    found = parse_think_time(text)
    assert isinstance(found, ThinkTime)
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0s", "soak_think_time must be above 0, not '0s'. Leave it out for no rest."),
        ("200ms..50ms", "not '200ms..50ms'. Write 50ms..200ms."),
        ("a while", "soak_think_time must be a duration such as 90s, 15m, 4h or 1h30m, not 'a while'."),
        ("1s..", "soak_think_time must be a duration such as"),
    ],
)
def test_a_wrong_think_time_says_what_it_must_be(text: str, said: str) -> None:
    """In one line."""
    with pytest.raises(SettingsError) as error:
        parse_think_time(text, "soak_think_time")
    assert said in str(error.value)
