"""What distribution costs: two workers of pytest-xdist beside one process, with the same trivial test.

A probe in each process measures the loop by the wall and by CPU time. Solo and distributed runs are
interleaved; medians are shown. The rate per CPU second says what the link costs the workers and is little
disturbed by a busy machine; the rate per second of the wall says something only on two idle cores. As many
independent solo runs at once show what the machine itself loses when more of its cores are busy.

Run: python tests/benchmarks/bench_distributed.py [--repetitions 3] [--seconds 30] [--workers 2]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CPU_GOAL = 0.95
WALL_GOAL = 1.7
CONTROLLER_GOAL = 0.05
REFERENCE_RATE = 10_000
TRIVIAL = "import pytest\n\n\n@pytest.mark.soak\ndef test():\n    pass\n"
PLUGINS = ("no:cacheprovider", "loop_probe", "xdist.plugin", "pytest_resilience.plugin")
PROBE = """
import json
import os
import time
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session):
    wall, cpu = time.perf_counter(), time.process_time()
    result = yield
    probed = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    name = os.environ.get("PYTEST_XDIST_WORKER", "main")
    Path(f"probed.{name}.json").write_text(json.dumps(probed))
    return result
"""


@dataclass(frozen=True)
class Measured:
    """One run: iterations per second of the wall and of the workers' CPU time.

    `controller` is the share of a core that the controller used, at REFERENCE_RATE iterations per second.
    """

    wall: float
    cpu: float
    controller: float


def soak(folder: Path, seconds: float, workers: int) -> Measured:
    """Soak the trivial test; `workers` is 0 for one process. Exit code 1 is that of too short a soak."""
    for old in folder.glob("probed.*.json"):
        old.unlink()
    options = [part for plugin in PLUGINS for part in ("-p", plugin)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, f"--soak-duration={seconds:g}s", f"-n{workers}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1:
        raise SystemExit(f"the soak failed:\n{done.stdout}{done.stderr}")
    report = json.loads((folder / ".resilience" / "latest" / "report.json").read_text())
    return _measured(folder, report["iterations"], report["seconds"])


def _measured(folder: Path, iterations: int, seconds: float) -> Measured:
    probed = {path.name.split(".")[1]: json.loads(path.read_text()) for path in folder.glob("probed.*.json")}
    main = probed.pop("main")
    cpu = sum(one["cpu"] for one in probed.values()) if probed else main["cpu"]
    controller = main["cpu"] / iterations * REFERENCE_RATE if probed else 0.0
    return Measured(iterations / seconds, iterations / cpu, controller)


def median(runs: Sequence[Measured], field: str) -> float:
    return float(statistics.median(getattr(run, field) for run in runs))


def side_by_side(folders: Sequence[Path], seconds: float) -> Measured:
    """Soak solo in all folders at once: sums of the rates, mean per CPU second."""
    with ThreadPoolExecutor(len(folders)) as pool:
        runs = list(pool.map(lambda folder: soak(folder, seconds, 0), folders))
    return Measured(sum(run.wall for run in runs), statistics.fmean(run.cpu for run in runs), 0.0)


def show(
    solo: Sequence[Measured], several: Sequence[Measured], apart: Sequence[Measured], workers: int
) -> None:
    """Print the rates and whether each goal is met."""
    for name, runs in (("solo", solo), (f"{workers} solos at once", apart), (f"{workers} workers", several)):
        print(f"{name:16}{median(runs, 'wall'):9,.0f}/s{median(runs, 'cpu'):9,.0f}/CPU s")
    goals = (
        ("iterations per CPU second", median(several, "cpu") / median(solo, "cpu"), CPU_GOAL, True),
        ("iterations per second", median(several, "wall") / median(solo, "wall"), WALL_GOAL, True),
        (f"controller at {REFERENCE_RATE:,}/s", median(several, "controller"), CONTROLLER_GOAL, False),
    )
    for name, value, goal, at_least in goals:
        met = value >= goal if at_least else value < goal
        bound = "at least" if at_least else "below"
        print(f"{name:28}{value:7.3f}  goal {bound} {goal:g}: {'met' if met else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    solo: list[Measured] = []
    several: list[Measured] = []
    apart: list[Measured] = []
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(number) for number in range(arguments.workers)]
        for folder in folders:
            folder.mkdir()
            (folder / "test_trivial.py").write_text(TRIVIAL)
            (folder / "loop_probe.py").write_text(PROBE)
        for _ in range(arguments.repetitions):
            solo.append(soak(folders[0], arguments.seconds, 0))
            several.append(soak(folders[0], arguments.seconds, arguments.workers))
            apart.append(side_by_side(folders, arguments.seconds))
    show(solo, several, apart, arguments.workers)


if __name__ == "__main__":
    main()
