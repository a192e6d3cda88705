"""The memory of the loop itself stays flat: bytes per iteration from the 10,000th to the 200,000th.

Each case is a soak in a process of its own, which reads its RSS, and Python's allocated blocks, as it loops.
What the loop kept would show between every two readings, so the median of these slopes is judged. A single
step of 1 to 4 MiB is Python's table of interned strings, rebuilt once when enough strings have come and gone.

Run: python tests/proofs/prove_loop_memory.py [case ...] [--iterations 200000] [--from 10000] [--at-once 2]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from loop_cases import CASES, write_case

GOAL_BYTES = 1.0
STOPPED = 2
READINGS = 9

PROBE = """
import gc, json, os, signal, sys
from pathlib import Path

import pytest

READ_AT = {read_at}
READINGS = []
COUNT = 0


def read():
    gc.collect()
    blocks = sys.getallocatedblocks()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    READINGS.append((COUNT, pages * os.sysconf("SC_PAGE_SIZE"), blocks))


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup():
    global COUNT
    COUNT += 1
    if COUNT == READ_AT[len(READINGS)]:
        read()
    if len(READINGS) == len(READ_AT):
        Path("readings.json").write_text(json.dumps(READINGS))
        os.kill(os.getpid(), signal.SIGINT)
"""

INI = """
[pytest]
soak_phases = BASELINE_ESTABLISHMENT = 2s
"""


@dataclass(frozen=True)
class Reading:
    """What a process held at the beginning of an iteration."""

    iteration: int
    rss: int
    blocks: int


def loop(case: str, read_at: list[int]) -> list[Reading]:
    """Soak one case; return its readings."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text(INI)
        (folder / "conftest.py").write_text(PROBE.format(read_at=read_at))
        write_case(case, folder)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--soak-all", "--soak-hours=1", "-p", "no:cacheprovider"],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != STOPPED:
            raise SystemExit(
                f"{case}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
            )
        return [Reading(*reading) for reading in json.loads((folder / "readings.json").read_text())]


def slopes(readings: list[Reading]) -> Iterator[float]:
    """Yield the bytes of RSS per iteration between each two readings."""
    for one, other in pairwise(readings):
        yield (other.rss - one.rss) / (other.iteration - one.iteration)


def row(case: str, readings: list[Reading]) -> str:
    first, last = readings[0], readings[-1]
    iterations = last.iteration - first.iteration
    middle = statistics.median(slopes(readings))
    step = max(other.rss - one.rss for one, other in pairwise(readings))
    blocks = (last.blocks - first.blocks) / iterations
    verdict = "" if middle < GOAL_BYTES else "  GROWS"
    mib = f"{first.rss / 2**20:10.1f}{last.rss / 2**20:10.1f}{step / 2**20:10.2f}"
    return f"{case:36}{middle:8.3f}{(last.rss - first.rss) / iterations:10.3f}{blocks:10.4f}{mib}{verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--from", dest="first", type=int, default=10_000)
    parser.add_argument("--iterations", type=int, default=200_000)
    parser.add_argument("--at-once", type=int, default=2, help="how many processes")
    options = parser.parse_args()
    step = (options.iterations - options.first) // (READINGS - 1)
    read_at = [options.first + step * number for number in range(READINGS)]
    print(f"bytes of RSS per iteration, from the {read_at[0]:,}th to the {read_at[-1]:,}th")
    print(
        f"{'case':36}{'median':>8}{'ends':>10}{'blocks':>10}{'MiB at 1':>10}{'at last':>10}{'max step':>10}"
    )
    cases = options.cases or list(CASES)
    with ThreadPoolExecutor(options.at_once) as pool:
        for case, readings in zip(cases, pool.map(lambda case: loop(case, read_at), cases), strict=True):
            print(row(case, readings), flush=True)


if __name__ == "__main__":
    main()
