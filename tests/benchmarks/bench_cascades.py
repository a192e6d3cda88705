"""Time all cascades over the topology of the execution plan, with real breakers of each library.

Usage: python tests/benchmarks/bench_cascades.py [REPETITIONS]
"""

import sys
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

from breaker_samples import SAMPLES

from pytest_resilience.breakers.cascade import run_cascades
from pytest_resilience.breakers.modes import MODES, Calling

TOPOLOGY = {
    "frontend": ["api_gateway"],
    "api_gateway": ["auth_service", "data_service"],
    "auth_service": ["database"],
    "data_service": ["database", "external_api"],
    "database": [],
    "external_api": [],
}
GOAL_SECONDS = 1.0


def seconds(sample: str, modes: tuple[str, ...]) -> float:
    began = perf_counter()
    report = run_cascades(TOPOLOGY, SAMPLES[sample], seed=1, modes=modes)
    taken = perf_counter() - began
    assert report.passed, str(report)
    return taken


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # aiobreaker's own
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"| breaker | five types, one mode | in five modes, goal {GOAL_SECONDS:g} s |\n|---|---|---|")
    for sample in SAMPLES:
        one = median(seconds(sample, ("outage",)) for _ in range(repetitions))
        all_modes = median(seconds(sample, tuple(MODES)) for _ in range(repetitions))
        print(f"| {sample} | {1000 * one:.0f} ms | {1000 * all_modes:.0f} ms |")
    for calling in (Calling(), Calling("in_turn"), Calling("in_turn", 2), Calling("parallel", 2)):
        report = run_cascades(TOPOLOGY, SAMPLES["pybreaker"], seed=1, modes=["outage"], calling=calling)
        branched = next(one for one in report.cascades if one.kind == "branched")
        print(calling, branched)


if __name__ == "__main__":
    main()
