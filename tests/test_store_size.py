"""A long run stays small: what a million iterations leave in the record."""

import gc
import random
from pathlib import Path

import psutil
import pytest
from sample_runs import RUN

from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.phases import TIMED
from pytest_resilience.soak.telemetry import MOST_KINDS_OF_FAILURE, Telemetry
from pytest_resilience.store.reader import read
from pytest_resilience.store.records import Note
from pytest_resilience.store.run_store import RunStore
from pytest_resilience.units import KIB, MIB

ITERATIONS = 1_000_000
MOST_BYTES = 20 * MIB
FLUSHES = 200
TESTS = tuple(f"test_shop.py::test_{number}" for number in range(20))


def test_a_million_iterations_stay_below_20_mib(tmp_path: Path) -> None:
    """With 20 tests in all phases, latencies of any size and more kinds of failures than are kept."""
    rng, telemetry = (
        random.Random(1),
        Telemetry(lambda test, started, ended: rng.choice(("", "latency_spike-1"))),
    )
    store = RunStore(tmp_path / "run.db", first=[RUN])
    text = "x" * 20_000
    for number in range(ITERATIONS):
        latency = rng.lognormvariate(-5, 2)
        bad = number % (ITERATIONS // (4 * MOST_KINDS_OF_FAILURE)) == 0
        status = Status.FAILED if bad else Status.PASSED
        outcome = Outcome(status, latency, "call", f"shop.py:{number}: E", lambda: text)
        phase = TIMED[number * len(TIMED) // ITERATIONS].name
        telemetry.add(TESTS[number % len(TESTS)], phase, outcome, number, number + latency)
        if number % (ITERATIONS // FLUSHES) == 0:
            for record in telemetry.drain():
                store.put(record)
            store.put(Note(float(number), "a line of the log"))
            store.flush()
    for record in telemetry.drain():
        store.put(record)
    store.close()
    assert sum(one.iterations for one in read(tmp_path / "run.db").tallies) == ITERATIONS
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MOST_BYTES


@pytest.mark.skipif(not hasattr(psutil, "heap_info"), reason="the heap cannot be asked here")
def test_the_writer_keeps_little_of_its_file_in_memory(tmp_path: Path) -> None:
    """Or it would look like a leak of the program, as long as the file grows."""
    store = RunStore(tmp_path / "run.db", first=[RUN])
    sizes = []
    for number in range(3000):
        store.put(Note(float(number), "x" * 1000))
        if number % 100 == 99:
            store.flush()
        if number in (299, 2999):
            gc.collect()
            sizes.append(psutil.heap_info().heap_used)
    store.close()
    assert (tmp_path / "run.db").stat().st_size > 3 * MIB
    assert sizes[1] - sizes[0] < 300 * KIB
