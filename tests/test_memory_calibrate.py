"""What the loop itself leaves behind is measured with empty iterations."""

import gc
import itertools

from pytest_resilience.clock import ManualClock
from pytest_resilience.memory.calibrate import WINDOW, WINDOWS, own_slopes
from pytest_resilience.memory.records import OwnSlope
from pytest_resilience.memory.sampler import Sampler

RAN = WINDOW * WINDOWS


class Heap:
    """Signals that grow with each empty iteration."""

    def __init__(self, per_iteration: int, warm_up: int = 0, jump_at: int = -1) -> None:
        self.ran = 0
        self._per_iteration, self._warm_up, self._jump_at = per_iteration, warm_up, jump_at

    def run_empty(self) -> None:
        self.ran += 1

    def settled(self) -> dict[str, int]:
        warm = self._warm_up if self.ran else 0
        jump = 100_000 if self.ran > self._jump_at >= 0 else 0
        return {"blocks": 30_000 + warm + jump + self._per_iteration * self.ran, "fds": 9}


def test_steady_growth_is_measured() -> None:
    """Three blocks per iteration are found; what stands still is left out, and the warm-up does not count."""
    heap = Heap(3, warm_up=5_000)
    assert own_slopes(heap.run_empty, heap.settled, lambda: True) == (OwnSlope("blocks", 3.0, RAN),)


def test_a_jump_is_no_growth() -> None:
    """What comes once is not there in every window."""
    heap = Heap(0, jump_at=int(2.5 * WINDOW))
    assert own_slopes(heap.run_empty, heap.settled, lambda: True) == ()


def test_without_time_nothing_is_measured() -> None:
    """A loop that is too slow for the windows says nothing, and stops when its time is over."""
    heap, left = Heap(3), itertools.count(0)
    assert own_slopes(heap.run_empty, heap.settled, lambda: next(left) < RAN - 1) == ()
    assert heap.ran == RAN - 1


def test_the_sampler_measures_real_signals_within_its_time() -> None:
    """Lists that are kept show as blocks and containers; with a slow loop it gives up in time."""
    gc.collect()  # what other tests left would go meanwhile
    clock = ManualClock()
    kept: list[list[int]] = []

    def run_empty() -> None:
        kept.append([len(kept)])
        clock.advance(0.001)

    sampler = Sampler(1.0, clock, 0.0, lambda: 0, lambda: "", lambda _: None, calibration_seconds=1.0)
    slopes = {one.signal: one.per_iteration for one in sampler.calibrate(run_empty)}
    assert slopes["gc_objects"] >= 1
    assert slopes["blocks"] >= 1
    kept.clear()
    hasty = Sampler(1.0, clock, 0.0, lambda: 0, lambda: "", lambda _: None, calibration_seconds=0.1)
    assert hasty.calibrate(run_empty) == ()
    assert len(kept) <= 101
    sampler.stop()
    hasty.stop()
