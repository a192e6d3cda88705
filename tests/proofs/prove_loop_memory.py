"""The memory of the loop itself stays flat: bytes per iteration from the 10,000th to the 200,000th.

Each case is a soak in a process of its own, which reads its RSS, and Python's allocated blocks, as it loops.

Run: python tests/proofs/prove_loop_memory.py [case ...] [--iterations 200000] [--from 10000] [--at-once 2]
"""

import argparse
import json
import os
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
READINGS = 5

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
    (per_iteration,) = slopes([first, last])
    blocks = (last.blocks - first.blocks) / (last.iteration - first.iteration)
    verdict = "" if per_iteration < GOAL_BYTES else "  GROWS"
    steps = " ".join(f"{slope:7.2f}" for slope in slopes(readings))
    return f"{case:36}{first.rss / 2**20:9.1f}{per_iteration:10.3f}{blocks:11.4f}  {steps}{verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--from", dest="first", type=int, default=10_000)
    parser.add_argument("--iterations", type=int, default=200_000)
    parser.add_argument("--at-once", type=int, default=2, help="how many processes")
    options = parser.parse_args()
    step = (options.iterations - options.first) // (READINGS - 1)
    read_at = [options.first + step * number for number in range(READINGS)]
    print(f"{'case':36}{'MiB first':>9}{'B/iter':>10}{'blocks/it':>11}  B/iter between readings at {read_at}")
    cases = options.cases or list(CASES)
    with ThreadPoolExecutor(options.at_once) as pool:
        for case, readings in zip(cases, pool.map(lambda case: loop(case, read_at), cases), strict=True):
            print(row(case, readings), flush=True)


if __name__ == "__main__":
    main()
