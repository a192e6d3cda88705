"""What is frozen for the garbage collector: no garbage, anew in each phase, and nothing afterwards."""

import gc
import weakref
from contextlib import suppress

from pytest_resilience.collector import collection_paused, refreeze, start_up_frozen


class Knot:
    """A cycle: only the garbage collector frees it."""

    def __init__(self) -> None:
        self.itself = self


def knot() -> "weakref.ref[Knot]":
    return weakref.ref(Knot())


def test_garbage_is_freed_before_anything_is_frozen() -> None:
    """Or it would show as a fall when it is thawed."""
    with collection_paused():
        garbage = knot()
        assert garbage() is not None
        with start_up_frozen():
            assert garbage() is None
            assert gc.get_freeze_count() > 1000


def test_what_became_garbage_is_freed_when_all_is_frozen_anew() -> None:
    """It was alive when it was frozen; what came since is frozen as well."""
    with collection_paused():
        alive = Knot()
        garbage = weakref.ref(alive)
        with start_up_frozen():
            del alive
            gc.collect()
            assert garbage() is not None
            before = gc.get_freeze_count()
            later: list[list[int]] = [[] for _ in range(5000)]
            refreeze()
            assert garbage() is None
            assert gc.get_freeze_count() > before + 4000
            del later


def test_once_thawed_nothing_is_frozen_again() -> None:
    """As while somebody is sought on the heap, and after the run, however it ended."""
    with suppress(KeyError), start_up_frozen():
        gc.unfreeze()
        refreeze()
        assert gc.get_freeze_count() == 0
        gc.freeze()
        raise KeyError
    assert gc.get_freeze_count() == 0
    refreeze()
    assert gc.get_freeze_count() == 0
