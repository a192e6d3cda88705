"""Whether the heap rises from one garbage collection to the next, seen long before it can be judged."""

from pytest_resilience.memory.records import ITSELF, Sample
from pytest_resilience.memory.trend import Point, fade_ratio, mann_kendall
from pytest_resilience.memory.vote import DEFAULTS

SIGNAL = "blocks"
FEWEST = 6
MOST = 16
"""Checkpoints; later in a phase its samples are enough to judge it."""

TAU = 0.8


class Rises:
    """What the first checkpoints of a phase held.

    Args:
        floor: growth that is noise.
    """

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._held: list[Point] = []

    def clear(self) -> None:
        """Forget them: a new phase begins."""
        self._held.clear()

    def take(self, sample: Sample, own_slope: float) -> bool:
        """Have the next sample, and tell whether the heap rises by more than an empty iteration adds."""
        if not sample.checkpoint or sample.process != ITSELF or sample.blocks is None:
            return False
        if len(self._held) == MOST:
            return False
        self._held.append((float(sample.iteration), sample.blocks - own_slope * sample.iteration))
        return len(self._held) >= FEWEST and self._lasts()

    def _lasts(self) -> bool:
        heights = [y for _, y in self._held]
        grown = heights[-1] - heights[0] >= self._floor
        return grown and mann_kendall(heights).tau >= TAU and fade_ratio(self._held) >= DEFAULTS.lasting
