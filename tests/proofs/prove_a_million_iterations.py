"""A million iterations in one run: what runner and controller grow by, and how large the record becomes.

Soaks two tests that do next to nothing, with memory monitoring, in one process and then in two workers, until
so many iterations are counted; then stops the run by Ctrl-C. The RSS of each process is read once a second.

Run: python tests/proofs/prove_a_million_iterations.py [iterations, default 1,000,000]
"""

import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).parents[1]))

from distributed_soaks import read_of
from plugin_soaks import NO_CHAOS, Project, finish, running, wait_for

MIB = 1 << 20
MOST_GROWTH = 1 * MIB
MOST_RECORD = 20 * 1_000_000
WARM_SHARE = 0.1
"""Of the iterations: until then, caches fill."""

POLL_SECONDS = 1.0
WINDOW = 15
"""Readings whose median is compared, at the beginning and at the end."""

TESTS = """
import pytest

@pytest.mark.soak
def test_one():
    assert sum(range(10)) == 45

@pytest.mark.soak
def test_two(request):
    assert request.node.name == "test_two"
"""


def iterations_of(folder: Path) -> int:
    """Return how many are counted so far."""
    return sum(tally.iterations for tally in read_of(folder).tallies)


def watched(folder: Path, pid: int, begin: float, end: int) -> Iterator[dict[str, int]]:
    """Yield the RSS of each process once a second, while so many iterations are done."""
    while iterations_of(folder) < begin:
        time.sleep(POLL_SECONDS)
    workers = {one.name: one.pid for one in read_of(folder).workers}
    processes = {name: psutil.Process(one) for name, one in {"the leading process": pid, **workers}.items()}
    while iterations_of(folder) < end:
        yield {name: process.memory_info().rss for name, process in processes.items()}
        time.sleep(POLL_SECONDS)


def growth(readings: Sequence[int]) -> float:
    """Return by how many bytes the median of the last readings is above that of the first."""
    return statistics.median(readings[-WINDOW:]) - statistics.median(readings[:WINDOW])


def prove(name: str, arguments: tuple[str, ...], iterations: int) -> bool:
    """Soak, print what was read, and tell whether it is within the limits."""
    plugins = ("xdist.plugin",) if arguments else ()
    project = Project(
        ("--soak-hours=2", *arguments), NO_CHAOS, {"test_shop.py": TESTS, "conftest.py": ""}, plugins
    )
    readings: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="resilience-") as name_of_folder:
        folder = Path(name_of_folder)
        with running(folder, project) as process:
            wait_for(folder, lambda data: bool(data.tallies))
            for rss in watched(folder, process.pid, WARM_SHARE * iterations, iterations):
                for who, size in rss.items():
                    readings.setdefault(who, []).append(size)
            process.send_signal(signal.SIGINT)
            finished = finish(folder, process)
        done = finished.report["iterations"]
        record = sum(path.stat().st_size for path in finished.run.path.glob("run.db*"))
    grown = {who: growth(sizes) for who, sizes in readings.items()}
    for who, more in grown.items():
        print(f"| {name}, {who} | {done:,} | {more / MIB:+.2f} MiB | {record / 1e6:.1f} MB |", flush=True)
    return finished.code == 2 and max(grown.values()) < MOST_GROWTH and record < MOST_RECORD


def main(iterations: int = 1_000_000) -> int:
    """Print a table; return 1 if a process or a record grew too much."""
    print("| run | iterations | RSS since a tenth of them | run.db |")
    print("|---|---|---|---|")
    fine = [prove("one process", (), iterations), prove("two workers", ("-n2",), iterations)]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main(*(int(value) for value in sys.argv[1:])))
