"""Whether the heap rises from one garbage collection to the next: seen long before it can be judged."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pytest_resilience.memory.records import ITSELF, Sample
from pytest_resilience.memory.trend import mann_kendall

SIGNALS = ("blocks", "malloc_used")
FEWEST = 5
MOST = 16
"""Checkpoints; later in a phase its samples are enough to judge it."""

TAU = 0.8
"""Of five checkpoints, one pair may stand in the wrong order: 4 of 100 series without a trend pass."""


class Rises:
    """What the first checkpoints of a phase held."""

    def __init__(self) -> None:
        self._held: defaultdict[str, list[float]] = defaultdict(list)

    def clear(self) -> None:
        """Forget them: a new phase begins."""
        self._held.clear()

    def take(self, sample: Sample, own: Mapping[str, float]) -> Iterator[str]:
        """Have the next sample, and yield the signals that rise; `own` is what an empty iteration adds."""
        if not sample.checkpoint or sample.process != ITSELF:
            return
        for signal in SIGNALS:
            value, held = getattr(sample, signal), self._held[signal]
            if value is None or len(held) == MOST:
                continue
            held.append(value - own.get(signal, 0.0) * sample.iteration)
            if len(held) >= FEWEST and mann_kendall(held).tau >= TAU:
                yield signal
