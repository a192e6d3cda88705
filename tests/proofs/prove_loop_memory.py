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

GOAL_BYTES = 1.0
STOPPED = 2
READINGS = 5

CASES = {
    "nothing": "def test(): pass",
    "session fixture": """
@pytest.fixture(scope="session")
def shared(): return object()
def test(shared): pass
""",
    "module fixture": """
@pytest.fixture(scope="module")
def shared():
    yield object()
def test(shared): pass
""",
    "class fixture": """
class TestIt:
    @pytest.fixture(scope="class")
    def shared(self): return object()
    def test(self, shared): pass
""",
    "function fixture on session fixture": """
@pytest.fixture(scope="session")
def shared(): return object()
@pytest.fixture
def own(shared):
    yield shared
def test(own): pass
""",
    "fixture asked for by name": """
@pytest.fixture(scope="session")
def shared(): return object()
@pytest.fixture
def own(request): return request.getfixturevalue("shared")
def test(own): pass
""",
    "print": "def test(): print('x' * 80); print('y' * 80, file=sys.stderr)",
    "warning": "def test(): warnings.warn('old')",
    "warning of changing text": "def test(): warnings.warn(f'old {time.monotonic()}')",
    "failure": "def test(): assert time.monotonic() < START + 5",
    "failure of changing text": """
def test():
    if time.monotonic() > START + 5: raise ValueError(time.monotonic())
""",
    "skip": "def test(): pytest.skip('not today')",
    "expected failure": """
@pytest.mark.xfail
def test(): raise ValueError
""",
    "tmp_path": "def test(tmp_path): (tmp_path / 'file').write_text('x')",
    "failure with tmp_path": """
def test(tmp_path):
    (tmp_path / 'file').write_text('x')
    assert time.monotonic() < START + 5
""",
    "log": "def test(): logging.getLogger('shop').warning('sold %d', 3)",
    "caplog and capsys": """
def test(caplog, capsys):
    print('x')
    logging.getLogger('shop').warning('sold')
    assert caplog.records and capsys.readouterr().out
""",
    "record_property": "def test(record_property): record_property('sold', 3)",
    "parameters": """
@pytest.mark.parametrize('number', range(10))
def test(number): pass
""",
    "parameters of a session fixture": """
@pytest.fixture(scope="session", params=range(3))
def shared(request): return request.param
def test(shared): pass
""",
    "unittest": """
class TestIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.shared = object()
    def setUp(self): self.own = object()
    def test(self): self.assertTrue(self.own)
""",
    "monkeypatch": "def test(monkeypatch): monkeypatch.setenv('SOLD', '3')",
    "finalizer": "def test(request): request.addfinalizer(lambda: None)",
    "two modules": "def test(): pass",
}

HEAD = """
import logging, sys, time, unittest, warnings
import pytest
START = time.monotonic()
"""

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
        (folder / "test_it.py").write_text(HEAD + CASES[case])
        if case == "two modules":
            (folder / "test_other.py").write_text(HEAD + CASES["module fixture"])
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
