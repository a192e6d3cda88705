"""What it takes to verify a breaker: all scenarios and hazards, of one breaker of each supported library.

Run: python tests/benchmarks/bench_breakers.py
"""

import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from breaker_samples import SAMPLES

from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.scenarios import SCENARIOS
from pytest_resilience.breakers.subject import Subject, subject_of
from pytest_resilience.breakers.verify import verify
from pytest_resilience.clock import SystemClock

ROUNDS = 5
GOAL_SECONDS = 2.0


def seconds(subject: Subject) -> float:
    """Return how long all checks of a breaker take."""
    begun = time.perf_counter()
    checker = Checker(subject)
    for scenario in SCENARIOS:
        checker.scenario(scenario)
    for hazard in HAZARDS.values():
        checker.hazard(hazard)
    return time.perf_counter() - begun


def main() -> int:
    """Print a row for each breaker, and fail if one misses the goal."""
    threads = threading.active_count()
    slowest = 0.0
    print(f"| breaker | called | median of {ROUNDS} | slowest | with state changes |")
    print("|---|---|---|---|---|")
    for name, make in SAMPLES.items():
        subject = subject_of(name, make)
        took = sorted(seconds(subject) for _ in range(ROUNDS))
        begun = time.perf_counter()
        verify(name, make, clock=SystemClock())
        whole = time.perf_counter() - begun
        slowest = max(slowest, took[-1], whole)
        ways = " and ".join(Checker(subject).ways)
        print(f"| {name} | {ways} | {statistics.median(took):.2f} s | {took[-1]:.2f} s | {whole:.2f} s |")
    left = threading.active_count() - threads
    print(f"\n{len(SCENARIOS)} scenarios, {len(HAZARDS)} hazards; {left} threads left behind.")
    print(
        f"Slowest {slowest:.2f} s, goal {GOAL_SECONDS:g} s: {'met' if slowest < GOAL_SECONDS else 'MISSED'}"
    )
    return int(slowest >= GOAL_SECONDS or left > 0)


if __name__ == "__main__":
    sys.exit(main())
