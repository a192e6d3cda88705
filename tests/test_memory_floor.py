"""The smallest leak that a run would have found: such leaks are found, and what is below is not claimed."""

from collections.abc import Callable
from random import Random

import pytest

from pytest_resilience.memory.floor import smallest_slope
from pytest_resilience.memory.trend import Point
from pytest_resilience.memory.vote import DEFAULTS, decide
from pytest_resilience.units import KIB, MIB

FLOOR = 128 * KIB
COUNT = 200
RUNS = 40

Noise = Callable[[Random, int], float]


def still(draw: Random, index: int) -> float:
    """No noise at all."""
    return 0.0


def uniform(draw: Random, index: int) -> float:
    """Temporaries of up to 1 MiB."""
    return draw.uniform(0, MIB)


def teeth(draw: Random, index: int) -> float:
    """A cache that is emptied every ten readings, and some noise."""
    return (index % 10) * 100 * KIB + draw.uniform(0, 50 * KIB)


def run(noise: Noise, seed: int, slope: float = 0.0) -> list[Point]:
    """Build readings over 40 iterations each."""
    draw = Random(seed)
    return [(40.0 * index, 10 * MIB + noise(draw, index) + slope * 40 * index) for index in range(COUNT)]


@pytest.mark.parametrize("noise", [still, uniform, teeth])
def test_a_leak_of_that_size_is_found_in_runs_with_such_noise(noise: Noise) -> None:
    """In other runs with the same kind of noise, at least 34 of 40 find it (95 % but for chance)."""
    smallest = smallest_slope(run(noise, 1), FLOOR, DEFAULTS)
    assert smallest is not None
    found = [decide(run(noise, seed, smallest), FLOOR).outcome == "leak" for seed in range(2, 2 + RUNS)]
    assert sum(found) >= 34


@pytest.mark.parametrize("noise", [still, uniform, teeth])
def test_it_is_no_more_than_the_noise_demands(noise: Noise) -> None:
    """A tenth of it is not found in most runs: the claim is not ten times too careful."""
    smallest = smallest_slope(run(noise, 1), FLOOR, DEFAULTS)
    assert smallest is not None
    found = [decide(run(noise, seed, smallest / 10), FLOOR).outcome == "leak" for seed in range(2, 2 + RUNS)]
    assert sum(found) <= 20


def test_growth_below_the_signals_own_floor_is_never_claimed() -> None:
    """Without noise the floor of the signal decides."""
    smallest = smallest_slope(run(still, 1), FLOOR, DEFAULTS)
    assert smallest is not None
    assert FLOOR <= smallest * 40 * COUNT <= 2 * FLOOR


def test_more_noise_hides_more() -> None:
    """What a noisier run would have found is larger."""
    quiet, noisy = (
        smallest_slope(run(still, 1), FLOOR, DEFAULTS),
        smallest_slope(run(uniform, 1), FLOOR, DEFAULTS),
    )
    assert quiet is not None
    assert noisy is not None
    assert noisy > 2 * quiet


def test_a_run_that_stood_still_would_have_found_nothing() -> None:
    """Without iterations or time there is no rate."""
    assert smallest_slope([(7.0, 1.0)] * 50, FLOOR, DEFAULTS) is None
