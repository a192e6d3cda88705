"""What the loop itself leaves behind: pytest and the plugin grow too, and that is no leak of the suite."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from pytest_resilience.memory.records import OwnSlope

WINDOW = 200
"""Empty iterations between two readings: as many as pass between two sweeps of pytest's caches."""

WINDOWS = 4
"""The first one warms up and does not count."""


def own_slopes(
    run_empty: Callable[[], None],
    settled: Callable[[], Mapping[str, int]],
    goes_on: Callable[[], bool],
) -> tuple[OwnSlope, ...]:
    """Loop empty iterations and return by how much each signal grew per iteration.

    Of the windows the one that grew least counts: to subtract too much would hide a leak. What did not grow
    in every window is left out. Nothing is returned if the time was too short.

    Args:
        run_empty: runs one empty iteration.
        settled: reads the signals after a garbage collection.
        goes_on: tells whether there is time for another iteration.
    """
    readings = []
    for _ in range(WINDOWS):
        for _ in range(WINDOW):
            if not goes_on():
                return ()
            run_empty()
        readings.append(settled())
    least = {signal: _least(readings, signal) for signal in readings[0]}
    ran = WINDOW * WINDOWS
    return tuple(OwnSlope(signal, slope, ran) for signal, slope in least.items() if slope > 0)


def _least(readings: Sequence[Mapping[str, int]], signal: str) -> float:
    counts = [one[signal] for one in readings if signal in one]
    if len(counts) < len(readings):
        return 0.0
    return min(later - earlier for earlier, later in pairwise(counts)) / WINDOW
