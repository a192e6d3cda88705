"""Old samples are thinned, their extremes are not, and memory is judged the same before and after."""

import math
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_runs import RUN

from pytest_resilience.clock import ManualClock
from pytest_resilience.memory.detect import judge
from pytest_resilience.memory.growth import measure
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.sampler import interval_for
from pytest_resilience.memory.thinning import (
    BUCKET_SECONDS,
    EXTREMES,
    MOST_PER_BUCKET,
    RAW_SECONDS,
    due,
    thin,
)
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_store import RunStore
from pytest_resilience.units import MIB

HOUR = 3600.0
DAY = 24 * HOUR
PHASE = "MEMORY_SOAK_TESTING"
MOST_BYTES = 20 * MIB

counts = st.integers(0, 50)
samples = st.builds(
    Sample,
    at=st.floats(0, 100),
    phase=st.sampled_from(["CHAOS_INJECTION", PHASE]),
    checkpoint=st.booleans(),
    iteration=counts,
    rss=counts,
    blocks=st.none() | counts,
    fds=st.none() | counts,
    system_percent=st.none() | st.floats(0, 100),
    worker=st.sampled_from(["gw0", "gw1"]),
)
runs = st.lists(samples, max_size=150).map(lambda found: sorted(found, key=lambda sample: sample.at))


@given(runs, st.floats(0, 120))
@settings(deadline=None)
def test_extremes_ends_and_checkpoints_stay(given_samples: list[Sample], until: float) -> None:
    """Peaks and lows of every signal in every bucket, per process and phase, and the young, are as before."""
    kept = thin(given_samples, until)
    assert [one for one in kept if one.checkpoint] == [one for one in given_samples if one.checkpoint]
    young = math.floor(until / BUCKET_SECONDS) * BUCKET_SECONDS
    assert [one for one in kept if one.at >= young] == [one for one in given_samples if one.at >= young]
    before, after = buckets(given_samples), buckets(kept)
    assert before.keys() == after.keys()
    for key, full in before.items():
        assert (after[key][0], after[key][-1]) == (full[0], full[-1])
        assert [ends(after[key], name) for name in EXTREMES] == [ends(full, name) for name in EXTREMES]
        assert len(full) <= MOST_PER_BUCKET or full[0].at >= young or len(after[key]) <= 2 + 2 * len(EXTREMES)


@given(runs, st.floats(0, 120))
@settings(deadline=None)
def test_thinning_in_steps_is_thinning_at_once(given_samples: list[Sample], until: float) -> None:
    """What is judged does not depend on how far the store had come."""
    assert thin(thin(given_samples, until)) == thin(given_samples)


def buckets(found: list[Sample]) -> dict[object, list[Sample]]:
    """Return the ordinary samples of each bucket."""
    by_bucket: dict[object, list[Sample]] = {}
    for one in found:
        if not one.checkpoint:
            key = (one.worker, one.phase, math.floor(one.at / BUCKET_SECONDS))
            by_bucket.setdefault(key, []).append(one)
    return by_bucket


def ends(found: list[Sample], signal: str) -> tuple[float, float] | None:
    values = [value for one in found if (value := getattr(one, signal)) is not None]
    return (min(values), max(values)) if values else None


# In the store


def day_of_samples(interval: float, seconds: float = DAY) -> Iterator[Sample]:
    """Yield what a sampler and its checkpoints read, by a manual clock; with one peak and one low."""
    clock, rng = ManualClock(), random.Random(3)
    checkpoint_every = seconds / 240
    due_at, number = checkpoint_every, 0
    while clock.now() < seconds:
        at = clock.now()
        rss = 200 * MIB + rng.randrange(MIB)
        if number == 5000:
            rss = 900 * MIB
        if number == 5003:
            rss = 10 * MIB
        values = (rss, rng.randrange(MIB), rng.randrange(10**6), None, 20 + rng.randrange(3), 7, 0)
        yield Sample(at, PHASE, False, number * 100, *values, system_percent=rng.uniform(20, 60))
        if at >= due_at:
            due_at += checkpoint_every
            yield Sample(at, PHASE, True, number * 100, *values[:3], 70_000, *values[4:], 40.0)
        number += 1
        clock.advance(interval)


def stored(path: Path, found: Iterator[Sample]) -> int:
    """Store samples as a run does; return how many there were."""
    store, count = RunStore(path, first=[RUN]), 0
    for count, sample in enumerate(found, 1):
        store.put(sample)
        if count % 2000 == 0:
            store.flush()
    store.close()
    return count


def test_a_day_at_the_default_interval_is_kept_whole_and_small(tmp_path: Path) -> None:
    """24 hours of samples as often as a run takes them by itself: none is dropped, the folder has 1 MB."""
    count = stored(tmp_path / "run.db", day_of_samples(interval_for(DAY)))
    assert count > 2900
    assert len(read(tmp_path / "run.db").samples) == count
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MIB


def test_a_day_of_dense_samples_stays_small_and_keeps_its_extremes(tmp_path: Path) -> None:
    """A sample each half second: old ones are thinned while the run goes on, peaks and lows are not."""
    path = tmp_path / "run.db"
    count = stored(path, day_of_samples(0.5))
    kept = read(path).samples
    assert count > 172_000
    assert len(kept) < 0.6 * count
    assert max(one.rss for one in kept) == 900 * MIB
    assert min(one.rss for one in kept) == 10 * MIB
    assert sum(one.checkpoint for one in kept) == sum(one.checkpoint for one in day_of_samples(0.5))
    assert kept[0].at == 0.0
    assert path.stat().st_size < MOST_BYTES
    young = [one.at for one in kept if one.at > DAY - RAW_SECONDS]
    assert len(young) >= 2 * RAW_SECONDS - 2, "the last minutes are all there"


def test_a_store_that_is_opened_again_goes_on_thinning(tmp_path: Path) -> None:
    """A resumed run begins where the last process had come to."""
    path = tmp_path / "run.db"
    everything = list(day_of_samples(0.5, 2 * HOUR))
    half = len(everything) // 2
    stored(path, iter(everything[:half]))
    store = RunStore(path)
    for sample in everything[half:]:
        store.put(sample)
    store.close()
    kept = list(read(path).samples)
    old = due(everything[-1].at) - 600.0
    assert [one for one in kept if one.at < old] == [one for one in thin(everything) if one.at < old]


def test_a_sample_of_no_time_thins_nothing(tmp_path: Path) -> None:
    """A time that is no number does not stop the record."""
    path = tmp_path / "run.db"
    strange = [Sample(at, PHASE, False, 0, 1) for at in (math.inf, 1e300, 1.0)]
    assert stored(path, iter(strange)) == 3
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sample").fetchone() == (3,)


# What memory is judged by

Curve = Callable[[float, random.Random], float]
LENGTH = 2 * HOUR
CURVES: dict[str, Curve] = {
    "flat": lambda share, rng: rng.uniform(0, 1),
    "leak": lambda share, rng: 80 * share + rng.uniform(0, 1),
    "slow leak in noise": lambda share, rng: 12 * share + rng.uniform(0, 3),
    "plateau": lambda share, rng: 60 * min(1.0, 5 * share) + rng.uniform(0, 1),
    "sawtooth": lambda share, rng: 30 * (12 * share % 1) + rng.uniform(0, 1),
    "leak under a sawtooth": lambda share, rng: 40 * share + 20 * (12 * share % 1) + rng.uniform(0, 1),
    "exponential": lambda share, rng: 2 ** (7 * share) + rng.uniform(0, 1),
    "late": lambda share, rng: 90 * max(0.0, share - 0.85) + rng.uniform(0, 0.5),
    "steps": lambda share, rng: 10 * math.floor(8 * share) + rng.uniform(0, 1),
    "big temporaries": lambda share, rng: 200 * (rng.random() < 0.2) + rng.uniform(0, 1),
}


def trace(curve: Curve, interval: float = 0.5) -> list[Sample]:
    """Return a dense run of two hours whose memory follows a curve (MiB over the share of the run)."""
    rng = random.Random(5)
    found = []
    for number in range(int(LENGTH / interval)):
        at = number * interval
        grown = curve(at / LENGTH, rng)
        size = int((100 + grown) * MIB)
        heap, checkpoint = int(grown * MIB), at % 30 == 0
        found.append(Sample(at, PHASE, checkpoint, int(at * 100), size, heap, heap // 64, None, 9, 4, 0))
    return found


@pytest.mark.parametrize("name", CURVES)
def test_memory_is_judged_the_same_before_and_after_thinning(name: str) -> None:
    """However far the store had come: the verdict, its line and the growth are the same to the last digit."""
    raw = trace(CURVES[name])
    whole, late = (0.0, LENGTH), (0.6 * LENGTH, LENGTH)
    for newest in (RAW_SECONDS, 0.5 * LENGTH, LENGTH):
        kept = thin(raw, due(newest))
        assert judge(kept, whole) == judge(raw, whole)
        assert judge(kept, late) == judge(raw, late)
        assert measure(kept, (0.0, 0.1 * LENGTH), late) == measure(raw, (0.0, 0.1 * LENGTH), late)
    assert len(thin(raw)) < 0.5 * len(raw)


@pytest.mark.parametrize("name", CURVES)
def test_a_dense_run_is_judged_as_one_that_is_never_thinned(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside all of its samples, and beside a run of the same course that is sampled rarely."""
    raw, rare = trace(CURVES[name]), trace(CURVES[name], interval=5.0)
    assert thin(rare) == rare
    verdict = judge(thin(raw, due(LENGTH))).verdict
    assert verdict == judge(rare).verdict
    monkeypatch.setattr("pytest_resilience.memory.series.is_thinned", lambda samples, start: False)
    assert verdict == judge(raw).verdict
