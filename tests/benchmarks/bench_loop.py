"""How fast a trivial test loops: pytest-resilience beside pytest-repeat and pytest-stress, same environment.

One probe times each from inside, from the start of collection (where pytest-repeat makes an item for each
iteration) to the end of the loop, by the wall and by the CPU time of the process, which a busy machine
disturbs less. Ours counts with memory monitoring, all phases and the judgement at the end. Runs are
interleaved; medians are shown.

Run: python tests/benchmarks/bench_loop.py [--repetitions 3] [--seconds 30] [--count 100000]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

GOAL = 2.0
OURS = "pytest-resilience"
TRIVIAL = "import pytest\n\n\n@pytest.mark.soak\ndef test():\n    pass\n"
SAME_FOR_ALL = (
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "loop_probe",
    "-p",
    "pytest_timeout",
    "-p",
    "xdist.plugin",
)

PROBE = """
import json
import time
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    session.config.began = time.perf_counter(), time.process_time()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    result = yield
    wall, cpu = session.config.began
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    probed = {"wall": wall, "cpu": cpu, "passed": len(reporter.stats["passed"])}
    Path("probed.json").write_text(json.dumps(probed))
    return result
"""


@dataclass(frozen=True)
class Speed:
    """Iterations per second of the wall and of CPU time."""

    wall: float
    cpu: float


def run(folder: Path, *arguments: str) -> dict[str, float]:
    """Run pytest in `folder` with only the plugins given; return what the probe saw.

    Exit code 1 is that of a soak too short for a verdict.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *SAME_FOR_ALL, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1:
        raise SystemExit(f"pytest {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    probed: dict[str, float] = json.loads((folder / "probed.json").read_text())
    return probed


def peer(folder: Path, *arguments: str) -> Speed:
    """Loop with another plugin; each iteration is a passed report there."""
    probed = run(folder, *arguments)
    return Speed(probed["passed"] / probed["wall"], probed["passed"] / probed["cpu"])


def ours(folder: Path, seconds: float) -> Speed:
    """Soak the test; the iterations are those of the report."""
    probed = run(folder, "-p", "pytest_resilience.plugin", f"--soak-duration={seconds:g}s")
    report = json.loads((folder / ".resilience" / "latest" / "report.json").read_text())
    return Speed(report["iterations"] / probed["wall"], report["iterations"] / probed["cpu"])


def measure(contenders: dict[str, Callable[[], Speed]], repetitions: int) -> dict[str, list[Speed]]:
    """Run each contender once per repetition, one after the other."""
    speeds: dict[str, list[Speed]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, contender in contenders.items():
            speeds[name].append(contender())
    return speeds


def show(title: str, rates: dict[str, Sequence[float]]) -> None:
    """Print a table, and whether the goal is met against every peer."""
    middles = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {name: middles[OURS] / middle for name, middle in middles.items() if name != OURS}
    print(f"\n{title:20}{'median':>9}{'lowest':>9}{'highest':>9}{'we are':>9}")
    for name, values in rates.items():
        ratio = f"{ratios[name]:.2f}x" if name in ratios else ""
        print(f"{name:20}{middles[name]:9,.0f}{min(values):9,.0f}{max(values):9,.0f}{ratio:>9}")
    print(f"goal {GOAL:g}x of each: {'met' if min(ratios.values()) >= GOAL else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=30, help="of each of our runs and of pytest-stress")
    parser.add_argument("--count", type=int, default=100_000, help="of pytest-repeat")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\nmarkers = soak\n")
        (folder / "test_trivial.py").write_text(TRIVIAL)
        (folder / "loop_probe.py").write_text(PROBE)
        contenders: dict[str, Callable[[], Speed]] = {
            OURS: lambda: ours(folder, options.seconds),
            "pytest-repeat": lambda: peer(folder, "-p", "pytest_repeat", f"--count={options.count}"),
            "pytest-stress": lambda: peer(
                folder, "-p", "pytest_stress.pytest_stress", f"--seconds={options.seconds}"
            ),
        }
        speeds = measure(contenders, options.repetitions)
    show("per second", {name: [one.wall for one in values] for name, values in speeds.items()})
    show("per CPU second", {name: [one.cpu for one in values] for name, values in speeds.items()})


if __name__ == "__main__":
    main()
