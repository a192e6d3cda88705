"""What looking for culprits costs: CPU time of a look, and for how long it stops other threads.

Run: python tests/benchmarks/bench_attribution.py [--objects 1000000]
"""

import argparse
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_resilience.memory.attribute import Attribution

TICK_SECONDS = 0.001
LOOKS = 4
LEAKED = 5000


class Stalls:
    """Measures the longest time for which another thread could not run."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._stopping = threading.Event()

    @contextmanager
    def watched(self) -> Iterator["Stalls"]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stopping.is_set():
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            self._longest = max(self._longest, now - last - TICK_SECONDS)
            last = now

    def during(self, act: Callable[[], object]) -> float:
        """Return the longest stall while something is done, in seconds."""
        time.sleep(10 * TICK_SECONDS)
        self._longest = 0.0
        act()
        time.sleep(10 * TICK_SECONDS)
        return self._longest


def main() -> None:
    """Print a row per look."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=1_000_000)
    given = parser.parse_args()
    heap = [{"price": [number]} for number in range(given.objects // 2)]
    leaking: list[dict[str, object]] = []
    gc.collect()
    attribution = Attribution()
    attribution.suspect("blocks")
    print(f"{len(gc.get_objects()):,} objects that the collector knows, {len(heap):,} of them dicts")
    print("| look | CPU time | longest stall | gc.collect() before it |")
    print("|---|---|---|---|")
    with Stalls().watched() as stalls:
        idle = stalls.during(lambda: time.sleep(0.5))
        for look in range(1, LOOKS + 1):
            leaking.extend({"quote": [number]} for number in range(LEAKED))
            collected = stalls.during(gc.collect)
            before = attribution.seconds
            stalled = stalls.during(attribution.look)
            spent = attribution.seconds - before
            print(f"| {look} | {spent:.2f} s | {1000 * stalled:.0f} ms | {1000 * collected:.0f} ms |")
    print(f"idle: {1000 * idle:.1f} ms; culprit: {attribution.culprits[0].noun}")


if __name__ == "__main__":
    main()
