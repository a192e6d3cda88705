"""Looking at the heap harms no other thread: a tuple that is being made keeps its only reference."""

import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pytest_resilience.memory.attribute import Attribution
from pytest_resilience.memory.heap import PART, count_objects, is_whole, whole_objects

DEADLINE = 20.0


def slowly() -> Iterator[list[int]]:
    for number in range(20):
        time.sleep(0.0005)
        yield [number]


class TupleMaker:
    """Makes tuples on a thread of its own until it is stopped, and remembers what went wrong."""

    def __init__(self) -> None:
        self.made = 0
        self.errors: list[SystemError] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "TupleMaker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                tuple(slowly())
            except SystemError as error:
                self.errors.append(error)
            self.made += 1

    def during(self, act: Callable[[], object], times: int) -> None:
        """Do something again and again while so many tuples are made."""
        ends, deadline = self.made + times, time.monotonic() + DEADLINE
        while self.made < ends and time.monotonic() < deadline:
            act()


def test_tuples_that_another_thread_makes_come_to_be() -> None:
    """While the heap is listed, counted and searched, over and over."""
    leak: list[list[int]] = []

    def look() -> None:
        attribution = Attribution(clock=lambda: 0.0)
        attribution.suspect("blocks")
        for _ in range(4):
            leak.extend([number] for number in range(200))
            gc.collect()
            attribution.look()
        assert attribution.culprits

    with TupleMaker() as maker:
        maker.during(look, 20)
    assert maker.errors == []
    assert maker.made >= 20


def test_a_plain_listing_would_break_them() -> None:
    """So the test above can fail."""

    def hold() -> None:
        everything = gc.get_objects()
        time.sleep(0.01)
        del everything

    with TupleMaker() as maker:
        maker.during(hold, 30)
    assert maker.errors


def test_all_but_tuples_are_listed_once() -> None:
    """Also this test's own objects; nothing that listing needs stays among them."""
    mine, pair = {"a": [1]}, ([2], [3])
    gc.collect()
    found = whole_objects()
    ids = [id(one) for one in found]
    assert ids.count(id(mine)) == 1
    assert ids.count(id(pair[0])) == 1
    assert not any(type(one) is tuple for one in found)
    assert len(found) == len(set(ids))
    assert gc.get_referrers(found) == []


def test_a_large_heap_is_listed_in_parts() -> None:
    """Each object is in one of them."""
    ballast = [[number] for number in range(2 * PART)]
    gc.collect()
    found = {id(one) for one in whole_objects()}
    assert found.issuperset(map(id, ballast))
    assert id(ballast) in found


def test_frozen_objects_are_counted_too() -> None:
    """As a soak freezes what is there at its start."""
    before = count_objects()
    gc.freeze()
    try:
        assert count_objects() == pytest.approx(before, abs=50)
    finally:
        gc.unfreeze()


def test_a_tuple_that_is_being_made_is_not_whole() -> None:
    """It has places without an object; a finished one has not, nor has anything else."""
    found: list[bool] = []

    def watching() -> Iterator[object]:
        first: list[int] = []
        yield first
        (half,) = (one for one in gc.get_referrers(first) if type(one) is tuple)
        found.append(is_whole(half))
        del half
        yield [2]

    done = tuple(watching())
    assert found == [False]
    assert is_whole(done)
    assert is_whole([])
    assert is_whole(())
    assert is_whole((None, 1, "a"))
