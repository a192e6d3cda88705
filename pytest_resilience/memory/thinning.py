"""Old samples are thinned where they are dense: what stays are the extremes, by which memory is judged.

A run that samples at the default interval keeps everything. Time is divided into buckets; from a bucket with
more samples than MOST_PER_BUCKET only the first, the last, the lowest and the highest of each signal, and the
checkpoints stay. A bucket is thinned as a whole, and once thinned it stays as it is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import floor, inf
from typing import TypeAlias

from pytest_resilience.memory.records import Sample

BUCKET_SECONDS = 10.0
MOST_PER_BUCKET = 16
RAW_SECONDS = 1200.0
"""Samples younger than this are all kept."""

EXTREMES = (
    *("rss", "malloc_used", "blocks", "gc_objects", "fds", "threads", "children", "children_pss"),
    "system_percent",
)

Key: TypeAlias = tuple[str, str, str, int]


def thin(samples: Sequence[Sample], until: float = inf) -> list[Sample]:
    """Return the samples with every bucket thinned that has ended by `until` (run seconds)."""
    buckets: dict[Key, list[int]] = {}
    for place, sample in enumerate(samples):
        if not sample.checkpoint:
            buckets.setdefault(_bucket(sample), []).append(place)
    dropped: set[int] = set()
    for (*_, number), places in buckets.items():
        if len(places) > MOST_PER_BUCKET and (number + 1) * BUCKET_SECONDS <= until:
            dropped.update(set(places).difference(_kept(samples, places)))
    return [sample for place, sample in enumerate(samples) if place not in dropped]


def due(newest: float) -> float:
    """Return until when buckets are to be thinned once a sample of the time `newest` has come."""
    return floor(max(0.0, newest - RAW_SECONDS) / BUCKET_SECONDS) * BUCKET_SECONDS


def is_thinned(samples: Sequence[Sample], start: float) -> bool:
    """Tell whether the store thins what came after `start`: it is old, and the youngest samples are dense."""
    if not samples or samples[-1].at - start <= RAW_SECONDS:
        return False
    young = (one for one in samples if not one.checkpoint and one.at > samples[-1].at - RAW_SECONDS)
    return max(Counter(map(_bucket, young)).values(), default=0) > MOST_PER_BUCKET


def lowest(rows: Iterable[Sample], signal: str) -> list[Sample]:
    """Return the lowest reading of a signal in each bucket.

    That is the same before and after thinning, and no part of the run weighs more than another.
    """
    found: dict[Key, Sample] = {}
    for row in rows:
        key = _bucket(row)
        if key not in found or getattr(row, signal) < getattr(found[key], signal):
            found[key] = row
    return list(found.values())


def _bucket(sample: Sample) -> Key:
    return sample.worker, sample.process, sample.phase, floor(sample.at / BUCKET_SECONDS)


def _kept(samples: Sequence[Sample], places: Sequence[int]) -> Iterator[int]:
    """Yield the places of the first and the last sample, and of the extremes of each signal."""
    yield from (places[0], places[-1])
    for signal in EXTREMES:
        read = [(value, place) for place in places if (value := getattr(samples[place], signal)) is not None]
        yield from _ends(read)


def _ends(read: Iterable[tuple[float, int]]) -> Iterator[int]:
    """Yield the place of the first lowest value, and of the first highest."""
    values = list(read)
    if values:
        yield min(values)[1]
        yield max(values, key=lambda pair: (pair[0], -pair[1]))[1]
