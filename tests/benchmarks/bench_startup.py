"""What the installed plugin costs a run that does not use it: at start-up, and per test.

Each case is the same environment with other plugins loaded; runs are interleaved in a random order.
"Dependencies" are the pytest plugins that come with the installation.

Run: python tests/benchmarks/bench_startup.py [--repetitions 40] [--tests 10000] [--long-repetitions 5]
"""

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

GOAL_SECONDS = 0.010
PLUGIN = ("-p", "pytest_resilience.plugin")
DEPENDENCIES = ("-p", "pytest_timeout", "-p", "xdist.plugin")
CASES = {
    "without": (),
    "without, again": (),
    "with the plugin": PLUGIN,
    "with dependencies only": DEPENDENCIES,
    "with both": (*DEPENDENCIES, *PLUGIN),
}
MANY = "import pytest\n\n\n@pytest.mark.parametrize('number', range({count}))\ndef test(number):\n    pass\n"


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a run: no plugin by itself, and compiled modules as pip would leave them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def run(folder: Path, plugins: Sequence[str]) -> float:
    """Run pytest once; return its CPU seconds, which a busy machine disturbs less than the wall."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, cases: Mapping[str, Sequence[str]], repetitions: int) -> dict[str, list[float]]:
    """Run all cases in a new random order, again and again; the first time only fills the caches."""
    costs: dict[str, list[float]] = {name: [] for name in cases}
    for repetition in range(repetitions + 1):
        for name in random.sample(list(cases), len(cases)):
            cost = run(folder, cases[name])
            if repetition:
                costs[name].append(cost)
    return costs


def show(title: str, costs: Mapping[str, Sequence[float]], unit: float, limit: float | None = None) -> None:
    """Print medians, quartiles, and how much more than the first case each costs, in `unit` seconds."""
    reference = statistics.median(next(iter(costs.values())))
    print(f"\n{title:28}{'median':>10}{'quartiles':>20}{'more':>10}")
    for name, values in costs.items():
        low, middle, high = (value / unit for value in statistics.quantiles(values, n=4))
        print(f"{name:28}{middle:10.1f}{low:11.1f}-{high:<8.1f}{middle - reference / unit:10.1f}")
    if limit is not None:
        more = statistics.median(costs["with the plugin"]) - reference
        print(f"goal at most {limit / unit:g} more: {'met' if more <= limit else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--tests", type=int, default=10_000)
    parser.add_argument("--long-repetitions", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test = folder / "test_trivial.py"
        test.write_text("def test():\n    pass\n")
        starts = measure(folder, CASES, options.repetitions)
        show("start-up, ms of CPU", starts, 1e-3, GOAL_SECONDS)
        test.write_text(MANY.format(count=options.tests))
        chosen = {case: CASES[case] for case in ("without", "without, again", "with the plugin")}
        runs = measure(folder, chosen, options.long_repetitions)
        show("per test, µs of CPU", runs, options.tests * 1e-6)


if __name__ == "__main__":
    main()
