"""Old samples are thinned where they are dense: what stays are the extremes, by which memory is judged.

A run that samples at the default interval keeps everything. Time is divided into buckets; from a bucket with
more samples than MOST_PER_BUCKET only the first, the last, the lowest and the highest of each signal, and the
checkpoints stay. A bucket is thinned as a whole, and once thinned it stays as it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import floor, inf
from typing import TypeAlias

from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.series import Window

BUCKET_SECONDS = 20.0
MOST_PER_BUCKET = 16
RAW_SECONDS = 1200.0
"""Samples younger than this are all kept."""

EXTREMES = ("rss", "malloc_used", "blocks", "gc_objects", "fds", "threads", "children", "system_percent")

Key: TypeAlias = tuple[str, str, int]


def thin(samples: Sequence[Sample], until: float = inf) -> list[Sample]:
    """Return the samples with every bucket thinned that has ended by `until` (run seconds)."""
    buckets: dict[Key, list[int]] = {}
    for place, sample in enumerate(samples):
        if not sample.checkpoint:
            buckets.setdefault(_bucket(sample), []).append(place)
    dropped: set[int] = set()
    for (_, _, number), places in buckets.items():
        if len(places) > MOST_PER_BUCKET and (number + 1) * BUCKET_SECONDS <= until:
            dropped.update(set(places).difference(_kept(samples, places)))
    return [sample for place, sample in enumerate(samples) if place not in dropped]


def due(newest: float) -> float:
    """Return until when buckets are to be thinned once a sample of the time `newest` has come."""
    return floor(max(0.0, newest - RAW_SECONDS) / BUCKET_SECONDS) * BUCKET_SECONDS


def evenly(samples: Sequence[Sample], window: Window | None) -> Sequence[Sample]:
    """Return what a judgement of the window rests on: the same before and after the store has thinned it.

    A run that is long enough to be thinned is judged as if all of it were: else its last minutes, where
    samples are still dense, would weigh more than the hours before.
    """
    start = window[0] if window else (samples[0].at if samples else 0.0)
    return thin(samples) if samples and samples[-1].at - start > RAW_SECONDS else samples


def _bucket(sample: Sample) -> Key:
    return sample.worker, sample.phase, floor(sample.at / BUCKET_SECONDS)


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
