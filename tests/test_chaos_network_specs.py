"""Toxics whose values make no sense are refused in one line that says what would."""

import math
from collections.abc import Callable

import pytest

from pytest_resilience.chaos.network import toxics
from pytest_resilience.errors import ScenarioError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toxics.Latency(-1), "Latency.latency must be a number of seconds from 0, not -1."),
        (
            lambda: toxics.Latency(1, jitter=math.nan),
            "Latency.jitter must be a number of seconds from 0, not nan.",
        ),
        (
            lambda: toxics.Bandwidth(0),
            "Bandwidth.rate must be a number of bytes per second above 0, not 0.",
        ),
        (
            lambda: toxics.Slicer(0),
            "Slicer.average_size must be a whole number of bytes from 1, not 0.",
        ),
        (lambda: toxics.Slicer(10, 10), "Slicer.size_variation must be below average_size, 10, not 10."),
        (lambda: toxics.LimitData(-1), "LimitData.bytes must be a whole number from 0, not -1."),
        (lambda: toxics.Slots(True), "Slots.connections must be a whole number from 0, not True."),
        (lambda: toxics.Down(toxicity=1.5), "Down.toxicity must be a share from 0 to 1, not 1.5."),
        (
            lambda: toxics.Timeout(stream="sideways"),  # type: ignore[arg-type]
            "Timeout.stream must be 'upstream' or 'downstream', not 'sideways'.",
        ),
        (
            lambda: toxics.Timeout(per="day"),  # type: ignore[arg-type]
            "Timeout.per must be 'connection' or 'exchange', not 'day'.",
        ),
        (
            lambda: toxics.Refuse(per="exchange"),
            "Refuse.per must be 'connection', not 'exchange'. It acts when a client connects.",
        ),
    ],
)
def test_a_wrong_value_is_named(make: Callable[[], object], message: str) -> None:
    """The name, the constraint and the value."""
    with pytest.raises(ScenarioError) as caught:
        make()
    assert str(caught.value) == message
