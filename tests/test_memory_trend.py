"""Statistics of series of points."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.memory.trend import (
    envelope,
    fade_ratio,
    mann_kendall,
    quarter_growths,
    r_squared,
    theil_sen,
    troughs,
)


def line(slope: float, count: int = 20) -> list[tuple[float, float]]:
    return [(float(x), slope * x) for x in range(count)]


def test_theil_sen_ignores_outliers() -> None:
    """A fifth of wild readings does not change the slope."""
    points = line(3.0)
    points[5] = (5.0, 1e9)
    points[11] = (11.0, -1e9)
    assert theil_sen(points) == pytest.approx(3.0)


def test_theil_sen_of_one_instant_is_zero() -> None:
    """Points at the same x have no slope."""
    assert theil_sen([(1.0, 2.0), (1.0, 5.0)]) == 0.0


@pytest.mark.parametrize(("slope", "fit"), [(2.0, 1.0), (0.0, 0.0), (-2.0, 0.0)])
def test_r_squared_counts_only_rising_lines(slope: float, fit: float) -> None:
    """A rising line fits fully; a flat or falling one not at all."""
    assert r_squared(line(slope)) == pytest.approx(fit)


def test_mann_kendall_agrees_with_the_published_variance() -> None:
    """Ten rising values have S = 45 and a variance of 125, so z = 44 / sqrt(125)."""
    trend = mann_kendall([float(value) for value in range(10)])
    assert trend.tau == 1.0
    assert trend.z == pytest.approx(44 / math.sqrt(125))


def test_mann_kendall_corrects_for_ties() -> None:
    """Values that are all the same show no trend, and ties lower the variance."""
    assert mann_kendall([7.0] * 10).z == 0.0
    assert mann_kendall([1.0, 1.0, 2.0, 2.0]).z == pytest.approx(3 / math.sqrt((156 - 36) / 18))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_envelope_has_one_minimum_per_block(values: list[float], count: int) -> None:
    """The envelope is a subset of the points, in order, and contains the lowest of all."""
    points = [(float(x), y) for x, y in enumerate(values)]
    lows = envelope(points, count)
    assert len(lows) == min(count, len(points))
    assert lows == sorted(set(lows) & set(points))
    assert min(y for _, y in lows) == min(values)


def test_quarter_growths_interpolate() -> None:
    """A line grows by the same in each quarter, whatever the number of points."""
    assert quarter_growths(line(4.0, count=14)) == pytest.approx([13.0] * 4)


def test_fade_ratio_tells_a_plateau_from_a_leak() -> None:
    """A line lasts, a curve that saturates fades, growth that begins late is infinite."""
    saturating = [(float(x), 1 - math.exp(-x / 5)) for x in range(30)]
    late = [(float(x), float(max(0, x - 15))) for x in range(30)]
    assert fade_ratio(line(2.0)) == pytest.approx(1.0)
    assert fade_ratio(saturating) < 0.1
    assert fade_ratio(late) == math.inf
    assert fade_ratio(line(-1.0)) == 0.0


def test_troughs_of_a_sawtooth() -> None:
    """Each fall ends in a trough; ripples below the reversal are none."""
    teeth = [(float(x), x % 10 + (x % 2) * 0.1) for x in range(35)]
    assert [x for x, _ in troughs(teeth, reversal=4.0)] == [0.0, 10.0, 20.0, 30.0]


def test_a_series_that_only_rises_has_its_start_as_trough() -> None:
    """Without a fall only the beginning is low."""
    assert troughs(line(1.0), reversal=3.0) == [(0.0, 0.0)]
