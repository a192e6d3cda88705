"""Recovery is the suite passing again at its normal latency; against a naive model."""

from collections import defaultdict
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.soak.histogram import Histogram
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.recovery import (
    LIMIT_ROUNDS,
    LIMIT_SECONDS,
    RECENT,
    SLACK_SECONDS,
    RecoveryWatch,
    latency_limit,
    longest_median,
)

TESTS = ("test_a", "test_b", "test_c")
LIMITS = {"test_a": 0.09, "test_b": 0.2}
outcomes = st.builds(Outcome, st.sampled_from(Status), st.sampled_from([0.01, 0.09, 0.15, 0.3]))
rounds = st.lists(
    st.tuples(st.floats(0, 20), st.tuples(outcomes, outcomes, outcomes)), min_size=1, max_size=12
).map(lambda drawn: sorted(drawn, key=lambda round_: round_[0]))


def naive(removed_at: float, seen: list[tuple[float, tuple[Outcome, ...]]]) -> bool:
    """Tell from all rounds so far whether the last one recovers, as the definition says it."""
    started, last = seen[-1]
    if started < removed_at:
        return False
    passed: dict[str, list[float]] = defaultdict(list)
    for began, round_ in seen:
        if began >= removed_at:
            for test, outcome in zip(TESTS, round_, strict=True):
                if outcome.status is Status.PASSED:
                    passed[test].append(outcome.seconds)
    if any(outcome.status is Status.FAILED for outcome in last):
        return False
    return all(
        median(passed[test][-5:]) <= LIMITS.get(test, float("inf"))
        for test, outcome in zip(TESTS, last, strict=True)
        if outcome.status is Status.PASSED
    )


@given(rounds, st.floats(0, 20))
def test_a_round_recovers_exactly_when_the_definition_says_so(
    drawn: list[tuple[float, tuple[Outcome, ...]]], removed_at: float
) -> None:
    """Every test passes in a round begun after the removal, at a median of its last five within limits."""
    watch = RecoveryWatch(removed_at, LIMITS)
    for number, (started, round_) in enumerate(drawn, start=1):
        good = watch.round_recovers(started, list(zip(TESTS, round_, strict=True)))
        assert good == naive(removed_at, drawn[:number])


def test_a_slow_suite_has_not_recovered_until_it_is_fast_again() -> None:
    """Three of the last five latencies must be normal."""
    watch = RecoveryWatch(10.0, {"test_a": 0.1})
    slow, fast = Outcome(Status.PASSED, 0.5), Outcome(Status.PASSED, 0.05)
    played = [slow] * RECENT + [fast] * 3
    assert [watch.round_recovers(11.0, [("test_a", outcome)]) for outcome in played] == [False] * 7 + [True]


def test_the_round_of_the_removal_shows_nothing() -> None:
    """Part of it was run under the fault; a round without any outcome shows nothing either."""
    watch = RecoveryWatch(10.0, {})
    assert not watch.round_recovers(9.9, [("test_a", Outcome(Status.PASSED, 0.1))])
    assert not watch.round_recovers(10.1, [])
    assert watch.round_recovers(10.1, [("test_a", Outcome(Status.PASSED, 0.1))])


@pytest.mark.parametrize(
    ("median_", "p95", "limit"), [(0.1, 0.2, 0.4), (0.001, 0.002, 0.001 + SLACK_SECONDS), (0.1, 0.1, 0.2)]
)
def test_the_limit_is_twice_the_p95_or_a_little_above_the_median(
    median_: float, p95: float, limit: float
) -> None:
    """Ten milliseconds of slack keep a test of a millisecond from failing on the scheduler's noise."""
    assert longest_median(median_, p95) == pytest.approx(limit)


def test_the_limit_comes_from_the_baseline() -> None:
    """From its own histogram."""
    baseline = Histogram()
    for _ in range(99):
        baseline.add(0.1)
    baseline.add(9.0)
    assert latency_limit(baseline) == pytest.approx(0.2, rel=0.02)


def test_the_numbers_are_those_of_the_specification() -> None:
    """30 s or 5 rounds, the last 5 latencies, 10 ms."""
    assert (LIMIT_SECONDS, LIMIT_ROUNDS, RECENT, SLACK_SECONDS) == (30.0, 5, 5, 0.010)
