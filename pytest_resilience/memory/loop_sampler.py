"""Memory of an ordinary test: a loop that is sampled while it runs, and judged as a soak is."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import closing

from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.collector import start_up_frozen
from pytest_resilience.errors import ResilienceError, requirement
from pytest_resilience.memory.attribute import Attribution
from pytest_resilience.memory.columns import Columns
from pytest_resilience.memory.detect import LeakVerdict, judge
from pytest_resilience.memory.readers import OwnReader
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.signals import Signals, open_signals

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

SAMPLES = 96
SUSPECTED_AT = 64
"""The sample at which it is judged early, so that culprits can be sought in the rest of the loop."""

LOOK_EVERY = 8
LOOP = "loop"


class MemorySampler:
    """Samples this process while a loop runs, and says what leaks and who holds it.

    `loop` is used once or more; `verdict` and `samples` are those of the last loop.

    Args:
        signals: what is read; by default this process's.
        clock: for the times of the samples.
        attribution: looks who holds what grows.
    """

    def __init__(
        self,
        signals: Signals | None = None,
        clock: Clock | None = None,
        attribution: Attribution | None = None,
    ) -> None:
        self._signals, self._clock = signals, clock or SystemClock()
        self._given = attribution
        self._columns = Columns(SAMPLES)
        self._verdict: LeakVerdict | None = None

    def loop(self, iterations: int) -> Iterator[int]:
        """Yield the numbers from 0; `for _ in memory_sampler.loop(2000): quote("game-1")`.

        Memory is read 96 times, after collecting garbage. Raise ResilienceError for fewer iterations.
        """
        if type(iterations) is not int or iterations < SAMPLES:
            raise ResilienceError(
                requirement("iterations", f"a whole number of at least {SAMPLES}", iterations)
            )
        return self._loop(iterations)

    @property
    def samples(self) -> Sequence[Sample]:
        """What was read; times in seconds since the loop began."""
        return self._columns.samples()

    @property
    def verdict(self) -> LeakVerdict:
        """Whether the loop leaked; raise ResilienceError if none has come to its end."""
        if self._verdict is None:
            raise ResilienceError(
                "There is nothing to judge yet. Write `for _ in memory_sampler.loop(2000): …`; let it end."
            )
        return self._verdict

    def assert_no_leak(self) -> None:
        """Raise AssertionError unless the loop was clean: with what leaks and who holds it."""
        verdict = self.verdict
        if verdict.verdict != "clean":
            paths = [f"  {one.noun}: {one.path}" for one in verdict.culprits if one.path]
            raise AssertionError("\n".join([verdict.line, *paths]))

    def _loop(self, iterations: int) -> Iterator[int]:
        self._verdict, self._columns = None, Columns(SAMPLES)
        attribution = self._given or Attribution()
        began = self._clock.now()
        with start_up_frozen(), closing(self._signals or open_signals()) as signals:
            reader = OwnReader(signals)
            for number in range(iterations):
                yield number
                taken = (number + 1) * SAMPLES // iterations
                if taken > number * SAMPLES // iterations:
                    self._take(reader, began, number + 1)
                    self._attribute(attribution, taken)
        self._verdict = judge(self.samples, culprits=attribution.culprits)

    def _take(self, reader: OwnReader, began: float, iterations: int) -> None:
        gc.collect()
        now = self._clock.now()
        self._columns.append(now - began, LOOP, iterations, reader.checkpoint(now), checkpoint=True)

    def _attribute(self, attribution: Attribution, taken: int) -> None:
        if taken == SUSPECTED_AT:
            for leak in judge(self.samples, floors=False).leaks:
                attribution.suspect(leak.signal)
        if attribution.active and taken % LOOK_EVERY == 0:
            attribution.look()
