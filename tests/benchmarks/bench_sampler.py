"""What watching costs: the sampler's share of one core, beside a naive one that counts gc objects each time.

Usage: python tests/benchmarks/bench_sampler.py [--seconds 60] [--interval 0.125] [--objects 100000]
"""

import argparse
import gc
import threading
import time

import psutil

from pytest_resilience.clock import SystemClock
from pytest_resilience.memory.sampler import Sampler

GOAL = 0.01


class Naive:
    """The peer: psutil's memory_info and len(gc.get_objects()) at each sample, kept in a list."""

    def __init__(self, interval: float) -> None:
        self.cpu_seconds = 0.0
        self.samples: list[tuple[float, int, int]] = []
        self._interval = interval
        self._process = psutil.Process()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            rss = self._process.memory_info().rss
            self.samples.append((time.monotonic(), rss, len(gc.get_objects())))
            self.cpu_seconds = time.thread_time()


def work(seconds: float) -> int:
    """Keep the interpreter busy, as tests do; return the iterations."""
    iterations, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(500))
        iterations += 1
    return iterations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--interval", type=float, default=0.125)
    parser.add_argument("--objects", type=int, default=100_000)
    options = parser.parse_args()
    ballast = [[index] for index in range(options.objects)]
    gc.collect()

    clock = SystemClock()
    delivered = []
    ours = Sampler(
        options.interval, clock, clock.now(), lambda: 0, lambda: "", lambda rows: delivered.append(len(rows))
    )
    naive = Naive(options.interval)
    ours.start()
    naive.start()
    work(options.seconds)
    ours.stop()
    naive.stop()

    share, peer = ours.cpu_seconds / options.seconds, naive.cpu_seconds / options.seconds
    print(f"{len(ballast):,} gc objects, a sample every {options.interval} s for {options.seconds:g} s")
    print(f"{'':10}{'samples':>8}{'of a core':>11}{'per sample':>12}")
    for name, count, cost in (("sampler", sum(delivered), share), ("naive", len(naive.samples), peer)):
        print(f"{name:10}{count:8}{cost:11.3%}{cost * options.seconds / count * 1e6:10.0f}µs")
    print(
        f"naive / sampler: {peer / share:.1f}x; goal under {GOAL:.0%}: {'met' if share < GOAL else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
