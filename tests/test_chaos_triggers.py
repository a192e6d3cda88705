"""Triggers decide by seed and call index alone."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.chaos.triggers import SHARE_PERIOD, Trigger, draw, every, first, nth, share, window
from pytest_resilience.errors import ScenarioError

SEEDS = st.text(max_size=20)
SHARES = st.floats(min_value=1e-6, max_value=1)


def hit(trigger: Trigger, calls: int, seed: str = "seed") -> list[int]:
    """Return the numbers, from 1, of the calls that are hit."""
    schedule = trigger.schedule(seed)
    return [index + 1 for index in range(calls) if schedule.fires(index)]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (nth(3), [3]),
        (every(4), [4, 8, 12]),
        (first(2), [1, 2]),
        (window(5, 7), [5, 6, 7]),
        (share(1), list(range(1, 13))),
    ],
)
def test_ordinals_hit_exactly_their_calls(trigger: Trigger, expected: list[int]) -> None:
    """Each trigger hits the calls that its name says, counted from 1."""
    assert hit(trigger, 12) == expected


def test_a_long_window_hits_all_of_it() -> None:
    """A window longer than the period of shares does not wrap around."""
    schedule = window(10, 10 * SHARE_PERIOD).schedule("seed")
    assert [schedule.fires(i - 1) for i in (9, 10, 10 * SHARE_PERIOD, 10 * SHARE_PERIOD + 1)] == [
        False,
        True,
        True,
        False,
    ]


@settings(max_examples=60, deadline=None)
@given(p=SHARES, seed=SEEDS)
def test_a_share_fires_at_the_latest_at_call_one_over_p(p: float, seed: str) -> None:
    """A seam that is reached ceil(1/p) times fires at least once."""
    trigger = share(p)
    schedule = trigger.schedule(seed)
    assert trigger.fires_by == math.ceil(1 / p)
    assert schedule.order[0] < trigger.fires_by
    assert schedule.fires(schedule.order[0])


@settings(max_examples=30, deadline=None)
@given(p=st.floats(min_value=0.01, max_value=1), seed=SEEDS)
def test_a_share_hits_about_its_share(p: float, seed: str) -> None:
    """Over one period the hits are within six standard deviations of the share."""
    hits = len(share(p).schedule(seed).order)
    deviation = math.sqrt(SHARE_PERIOD * p * (1 - p))
    assert abs(hits - SHARE_PERIOD * p) <= 6 * deviation + 1 or share(p).schedule(seed).period == 1


@settings(max_examples=30, deadline=None)
@given(p=SHARES, seed=SEEDS)
def test_the_same_seed_decides_the_same(p: float, seed: str) -> None:
    """A schedule is a pure function of seed and share."""
    assert share(p).schedule(seed) == share(p).schedule(seed)


def test_another_seed_decides_otherwise() -> None:
    """Two seeds give two schedules."""
    assert hit(share(0.5), 100, "one") != hit(share(0.5), 100, "two")


@settings(max_examples=60, deadline=None)
@given(
    trigger=st.one_of(
        SHARES.map(share),
        st.integers(1, 50).map(nth),
        st.integers(1, 50).map(every),
        st.integers(1, 50).map(first),
    ),
    index=st.integers(0, 3000),
)
def test_rank_counts_the_hits_before_a_call(trigger: Trigger, index: int) -> None:
    """The rank of a call is the number of earlier calls that fire, also beyond one period."""
    schedule = trigger.schedule("seed")
    assert schedule.rank(index) == sum(schedule.fires(earlier) for earlier in range(index))


@given(seed=SEEDS, index=st.integers(0, 10**9))
def test_draw_is_a_pure_number_below_one(seed: str, index: int) -> None:
    """What is drawn for a call is between 0 and 1 and always the same."""
    assert 0 <= draw(seed, index) < 1
    assert draw(seed, index) == draw(seed, index)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: share(0), "share must be a number above 0 and up to 1, not 0."),
        (lambda: share(1.5), "share must be a number above 0 and up to 1, not 1.5."),
        (lambda: share(math.nan), "share must be a number above 0 and up to 1, not nan."),
        (lambda: nth(0), "nth must be a whole number from 1, not 0. Calls are counted from 1."),
        (lambda: every(2.5), "every must be a whole number from 1, not 2.5. Calls are counted from 1."),  # type: ignore[arg-type]
        (lambda: first(True), "first must be a whole number from 1, not True. Calls are counted from 1."),
        (lambda: window(5, 4), "window stop must be at least its start, 5, not 4."),
    ],
)
def test_wrong_numbers_are_named(make: object, message: str) -> None:
    """A wrong trigger is refused with its value and its constraint."""
    with pytest.raises(ScenarioError) as wrong:
        make()  # type: ignore[operator]
    assert str(wrong.value) == message


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (share(0.05), "share 0.05"),
        (nth(3), "call 3"),
        (every(3), "every 3 calls"),
        (first(3), "first 3 calls"),
        (window(3, 4), "calls 3 to 4"),
    ],
)
def test_triggers_describe_themselves(trigger: Trigger, text: str) -> None:
    """Reports show a trigger in words."""
    assert str(trigger) == text
