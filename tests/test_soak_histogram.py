"""Quantiles in bounded memory, as exact as they claim to be."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_resilience.soak.histogram import SMALLEST, Histogram

seconds = st.floats(SMALLEST, 1e5)


def filled(values: list[float]) -> Histogram:
    """Return a histogram of the values."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(seconds, min_size=1), st.floats(0, 1))
@example([1e-6] * 3, 0.5)
@example([0.25] * 100, 0.95)
@example([1.0, 2.0, 3.0], 0.5)
def test_a_quantile_is_within_one_percent_of_the_exact_one(values: list[float], share: float) -> None:
    """The exact one is the order statistic at that rank, rounded down."""
    exact = sorted(values)[math.floor(share * (len(values) - 1))]
    assert filled(values).quantile(share) == pytest.approx(exact, rel=0.01)


@given(st.lists(seconds, min_size=1))
def test_quantiles_are_in_order_and_the_sums_are_exact(values: list[float]) -> None:
    """A higher share never gives a lower latency; count, total and longest are not estimates."""
    histogram = filled(values)
    quantiles = [histogram.quantile(share) for share in (0, 0.25, 0.5, 0.95, 1)]
    assert quantiles == sorted(quantiles)
    assert (histogram.count, histogram.longest) == (len(values), max(values))
    assert histogram.total == pytest.approx(math.fsum(values))


def test_nothing_is_zero() -> None:
    """Without values there is no latency, and what took no time at all is counted."""
    assert Histogram().quantile(0.5) == 0.0
    nothing = filled([0.0, 0.0])
    assert nothing.count == 2
    assert nothing.quantile(0.5) <= SMALLEST


def test_it_holds_millions_in_a_few_buckets() -> None:
    """From a microsecond to a day there are about 1,300 buckets, whatever the number of values."""
    histogram = Histogram()
    for step in range(20_000):
        histogram.add(SMALLEST * 1.00126**step)
    assert len(histogram.counts) < 1300
