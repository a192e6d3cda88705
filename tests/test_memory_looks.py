"""A few looks span a run of any length, at even distances but for the last ones."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.memory.looks import MOST_LOOKS, Looks


@given(st.integers(1, 2_000))
def test_few_are_kept_and_they_span_the_run(end: int) -> None:
    """Whoever looks as rarely as it is asked to has at most six, evenly, over half of the time."""
    looks = Looks[int]()
    now, taken = 1, 0
    while now <= end:
        looks.add(now)
        taken += 1
        now += looks.stride
    kept = list(looks.kept)
    gaps = [later - earlier for earlier, later in pairwise(kept)]
    assert 1 <= len(kept) <= MOST_LOOKS
    assert kept == sorted(kept)
    assert end < now <= end + looks.stride
    assert kept[-1] + looks.stride == now
    assert len(set(gaps)) <= 1
    assert kept[0] <= max(1, end / 2)
    assert taken <= MOST_LOOKS + 3 * end.bit_length()


def test_others_may_take_their_place() -> None:
    """What was kept of each look may be cut down; their number stays, and so do those to come."""
    looks = Looks[str]()
    for letter in "abcdefg":
        looks.add(letter)
    looks.replace([one.upper() for one in looks.kept])
    assert (looks.kept, looks.stride) == (["B", "D", "F", "G"], 2)
