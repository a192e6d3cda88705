"""Signals that the user declares: read with care, judged like the others."""

import itertools
import math

import pytest

from pytest_resilience.errors import ResilienceError
from pytest_resilience.memory.detect import judge
from pytest_resilience.memory.gauges import CAPACITY, Gauge, GaugeReader, declared_gauges
from pytest_resilience.memory.records import Reading, Sample

WRONG = [
    (
        [1],
        'resilience_signals must be a mapping from names, not [1]. Return {"queue length": queue.qsize}.',
    ),
    ({"": len}, "Each name of resilience_signals must be a non-empty string, not ''."),
    ({"rss": len}, "Each name of resilience_signals must be a name of your own, not 'rss'."),
    (
        {"queue": 3},
        (
            "resilience_signals['queue'] must be callable, not 3. "
            "Give a function, such as queue.qsize or lambda: len(cache)."
        ),
    ),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_a_wrong_declaration_says_what_is_wrong(given: object, message: str) -> None:
    """The value, the constraint and the fix are named."""
    with pytest.raises(ResilienceError) as caught:
        declared_gauges(given)
    assert str(caught.value) == message


class Kept:
    """What a reader hands on and complains of."""

    def __init__(self, *gauges: Gauge, every: float = 1.0) -> None:
        self.readings: list[Reading] = []
        self.complaints: list[str] = []
        self.reader = GaugeReader(gauges, every, self.readings.extend, self.complaints.append)

    def play(self, seconds: int) -> None:
        """Sample four times a second, as iterations go on."""
        for quarter in range(4 * seconds):
            at = quarter / 4
            self.reader.sample(100 + at, at, "MEMORY_SOAK_TESTING", quarter * 10)
        self.reader.hand_on()


def test_a_gauge_is_read_once_in_its_period() -> None:
    """However often the sampler comes by."""
    numbers = itertools.count()
    kept = Kept(Gauge("queue", lambda: next(numbers)))
    kept.play(5)
    assert [(one.at, one.iteration, one.signal, one.value) for one in kept.readings] == [
        (float(second), second * 40, "queue", float(second)) for second in range(5)
    ]
    assert kept.complaints == []


@pytest.mark.parametrize(
    ("result", "fault"),
    [(ZeroDivisionError("no pool"), "raised ZeroDivisionError: no pool"), (math.nan, "gave nan")],
)
def test_a_broken_gauge_is_told_once_and_left_alone(result: object, fault: str) -> None:
    """The others are read on."""

    def read() -> float:
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, float)
        return result

    kept = Kept(Gauge("pool", read), Gauge("cache", lambda: 3))
    kept.play(10)
    assert kept.complaints == [f"resilience_signals['pool'] {fault}; it is not read any more"]
    assert [one.signal for one in kept.readings] == ["cache"] * 10


def test_a_full_buffer_is_handed_on_at_once() -> None:
    """Nothing is lost between two deliveries."""
    kept = Kept(Gauge("queue", lambda: 1), every=0.0)
    for number in range(CAPACITY + 1):
        kept.reader.sample(float(number), float(number), "A", number)
    assert len(kept.readings) == CAPACITY
    kept.reader.hand_on()
    assert len(kept.readings) == CAPACITY + 1


def samples(seconds: int) -> list[Sample]:
    """Return a process that stands still."""
    return [
        Sample(at / 4, "M", checkpoint=False, iteration=at * 10, rss=10**8, malloc_used=10**7, blocks=10**5)
        for at in range(4 * seconds)
    ]


def test_a_gauge_that_keeps_growing_is_a_leak_by_its_name() -> None:
    """Per iteration and per hour, in its own unit."""
    length = itertools.count()
    kept = Kept(Gauge("queue length", lambda: 20 * next(length)), Gauge("pool size", lambda: 8))
    kept.play(60)
    verdict = judge(samples(60), readings=kept.readings)
    assert [(leak.signal, leak.kind) for leak in verdict.leaks] == [("queue length", "queue length")]
    assert verdict.leaks[0].per_iteration == pytest.approx(0.5)
    assert verdict.line.startswith("leak: 0.5 queue length/iteration (72,000/h)")


def test_a_gauge_that_fills_up_is_none() -> None:
    """A cache that has reached its size is not flagged."""
    size = itertools.count()
    kept = Kept(Gauge("cache", lambda: min(10, next(size)) * 50))
    kept.play(60)
    assert judge(samples(60), readings=kept.readings).verdict == "clean"
