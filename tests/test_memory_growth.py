"""Growth of resident memory between the baseline and the end of the memory soak."""

import math
from collections.abc import Callable

import pytest

from pytest_resilience.memory.growth import measure
from pytest_resilience.memory.records import Sample
from pytest_resilience.units import MIB

BASELINE = (0.0, 40.0)
MEMORY = (100.0, 200.0)


def run(level: Callable[[float], float], checkpoint_every: int = 2, seconds: int = 200) -> list[Sample]:
    """Build a sample per second; between the checkpoints garbage adds 5 MiB."""
    return [
        Sample(
            at=float(at),
            phase="",
            checkpoint=at % checkpoint_every == 0,
            iteration=at,
            rss=round(level(at)) + (0 if at % checkpoint_every == 0 else 5 * MIB),
        )
        for at in range(seconds)
    ]


def test_growth_compares_checkpoints_at_the_ends_of_the_phases() -> None:
    """A steady 0.1 MiB/s grows from the end of the baseline to the end of the soak, and does not fade."""
    growth = measure(run(lambda at: (100 + 0.1 * at) * MIB), BASELINE, MEMORY)
    assert growth.baseline == pytest.approx(103.5 * MIB, rel=0.002)
    assert growth.current == pytest.approx(119.5 * MIB, rel=0.002)
    assert growth.percent == pytest.approx(15.4, abs=0.2)
    assert not growth.fades
    assert growth.reason == ""


def test_garbage_between_checkpoints_counts_for_the_maximum_only() -> None:
    """Flat memory does not grow, however much garbage there is between collections."""
    growth = measure(run(lambda _: 100 * MIB), BASELINE, MEMORY)
    assert growth.percent == 0
    assert not growth.fades
    assert growth.max_rss == 105 * MIB


@pytest.mark.parametrize(
    "level",
    [
        pytest.param(lambda at: 100 * MIB if at < 50 else 150 * MIB, id="grew before the soak"),
        pytest.param(lambda at: (150 - 50 * math.exp(-max(0, at - 90) / 20)) * MIB, id="cache that fills"),
    ],
)
def test_growth_that_has_stopped_fades(level: Callable[[float], float]) -> None:
    """Memory that grew by half and stays there fades."""
    growth = measure(run(level), BASELINE, MEMORY)
    assert growth.percent == pytest.approx(50, abs=1)
    assert growth.fades


def test_memory_that_shrinks_is_negative_growth() -> None:
    """Less memory than in the baseline is no growth, so nothing fades."""
    growth = measure(run(lambda at: (100 - 0.1 * at) * MIB), BASELINE, MEMORY)
    assert growth.percent is not None
    assert growth.percent < 0
    assert not growth.fades


def test_too_few_checkpoints_are_inconclusive_and_named() -> None:
    """With a checkpoint each 30 s both ends lack evidence, and the reason says how much."""
    growth = measure(run(lambda _: 100 * MIB, checkpoint_every=30), BASELINE, MEMORY)
    assert growth.percent is None
    assert growth.reason == (
        "inconclusive, because the last quarter of BASELINE_ESTABLISHMENT has 1 and the last tenth of"
        " MEMORY_SOAK_TESTING has 0 of the 3 checkpoints that are needed"
    )


def test_a_phase_that_did_not_run_is_inconclusive() -> None:
    """Without a memory phase there is no growth, but there is a maximum."""
    growth = measure(run(lambda _: 100 * MIB), BASELINE, None)
    assert growth.percent is None
    assert "MEMORY_SOAK_TESTING has 0" in growth.reason
    assert growth.max_rss == 105 * MIB


def test_no_samples_at_all() -> None:
    """An empty run has a reason and no numbers."""
    growth = measure([], BASELINE, MEMORY)
    assert (growth.percent, growth.max_rss) == (None, 0)
    assert growth.reason
