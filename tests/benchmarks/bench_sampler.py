"""What watching costs: the sampler's share of one core, and the longest iteration beside its checkpoints.

Usage: python tests/benchmarks/bench_sampler.py [--seconds 60] [--interval 0.125] [--objects 100000] [--rss 0]
       [--naive]

With --naive a peer that counts gc objects at each sample runs beside it. The goals: under 0.5 % of a core
with 1,000,000 objects and 1 GB, under 2 % with 10,000,000 objects, no iteration above 50 ms but for
checkpoints. What the machine itself does to an iteration is measured first, without a sampler.
"""

import argparse
import gc
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from pytest_resilience.clock import SystemClock
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.sampler import Sampler
from pytest_resilience.memory.suspicion import Suspicion
from pytest_resilience.soak.checkpoints import Checkpoints
from pytest_resilience.soak.conductor import CHECKPOINTS


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


class Timed(Sampler):
    """A sampler that knows the longest CPU time of a sample: no longer can it hold up other threads."""

    longest = 0.0

    def sample(self) -> None:
        began = time.thread_time()
        super().sample()
        self.longest = max(self.longest, time.thread_time() - began)


@dataclass
class Work:
    """What a busy test's thread did: iterations, and the longest time that one took beside checkpoints."""

    iterations: int = 0
    longest: float = 0.0
    checkpoints: int = 0
    checkpoint_seconds: float = 0.0


def work(seconds: float, sampler: Sampler | None, every: float) -> Work:
    """Keep the interpreter busy, as tests do, with a checkpoint now and then as a soak plans them."""
    done, checkpoints = Work(), Checkpoints()
    end = time.monotonic() + seconds
    checkpoints.plan(time.monotonic(), every, ())
    while (began := time.monotonic()) < end:
        if sampler and began >= checkpoints.next:
            cost = sampler.checkpoint()
            done.checkpoints += 1
            done.checkpoint_seconds += cost
            checkpoints.taken(time.monotonic(), cost)
            continue
        sum(range(500))
        done.iterations += 1
        done.longest = max(done.longest, time.monotonic() - began)
    return done


def grow_to(mb: float) -> list[bytearray]:
    """Return buffers that bring this process to so many MB."""
    missing = int(mb * 1e6) - psutil.Process().memory_info().rss
    return [bytearray(b"x") * 10**6 for _ in range(max(0, missing) // 10**6)]


def soak(options: argparse.Namespace) -> tuple[Timed, Work, int]:
    """Sample while this thread works, as a soak does."""
    clock, delivered, ran = SystemClock(), [0], [0]

    def deliver(samples: Sequence[Sample]) -> None:
        delivered[0] += len(samples)

    def iteration() -> int:
        ran[0] += 100
        return ran[0]

    suspicion = Suspicion(lambda phase: True, lambda suspect: print(suspect.line))
    ours = Timed(options.interval, clock, clock.now(), iteration, lambda: "M", deliver, suspicion=suspicion)
    ours.start()
    done = work(options.seconds, ours, options.seconds / CHECKPOINTS)
    ours.stop()
    return ours, done, delivered[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--interval", type=float, default=0.125)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--rss", type=float, default=0.0, help="MB, at least")
    parser.add_argument("--naive", action="store_true", help="run the peer at the same time")
    options = parser.parse_args()
    ballast = [[index] for index in range(options.objects)]
    buffers = grow_to(options.rss)
    gc.collect()

    rss = psutil.Process().memory_info().rss / 1e6
    naive = Naive(options.interval)
    if options.naive:
        naive.start()
    alone = work(options.seconds / 2, None, options.seconds)
    ours, done, count = soak(options)
    print(
        f"{len(ballast):,} gc objects, {rss:,.0f} MB ({len(buffers):,} buffers), a sample every "
        f"{options.interval} s for {options.seconds:g} s, load {psutil.getloadavg()[0]:.1f}"
    )
    shares = [("sampler", count, ours.cpu_seconds)]
    if options.naive:
        naive.stop()
        shares.append(("naive", len(naive.samples), naive.cpu_seconds))
    print(f"{'':10}{'samples':>8}{'of a core':>11}{'per sample':>12}")
    for name, samples, cpu in shares:
        print(f"{name:10}{samples:8}{cpu / options.seconds:11.3%}{cpu / samples * 1e6:10.0f}µs")
    print(f"longest sample {ours.longest * 1e3:.1f} ms of CPU time")
    share = done.checkpoint_seconds / options.seconds
    print(
        f"longest iteration {done.longest * 1e3:.1f} ms, {alone.longest * 1e3:.1f} ms without us; "
        f"{done.checkpoints} checkpoints took {done.checkpoint_seconds:.2f} s ({share:.1%} of the time)"
    )


if __name__ == "__main__":
    main()
