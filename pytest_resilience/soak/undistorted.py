"""The samples of a run without what distorts them: pressure on the machine, and our own tracing."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import TypeAlias

from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.memory.records import ITSELF, Sample, Tracing
from pytest_resilience.store.run_data import RunData
from pytest_resilience.workers import MAIN

PRESSURE = "memory_pressure"
"""While it takes the machine's memory, what processes have of it says nothing about them."""

STEPPING = ("rss", "malloc_used", "blocks", "gc_objects")
"""What a tracer leaves more of."""

Source: TypeAlias = tuple[str, str]
"""The worker that sampled, and the process that it watched; its own is ITSELF."""


def samples_of(data: RunData, attempt: int) -> dict[Source, list[Sample]]:
    """Return the samples of each process of an attempt by itself, as far as they say something about it."""
    others = {one.name for one in data.workers if one.attempt != attempt}
    if len(data.attempts) > 1 and any(one.attempt == attempt for one in data.workers):
        others.add(MAIN)
    by_source: dict[Source, list[Sample]] = {}
    for sample in data.samples:
        if sample.worker not in others:
            by_source.setdefault((sample.worker, sample.process), []).append(sample)
    pressed = [event for event in data.events if event.scenario == PRESSURE]
    found = {source: _calm(samples, pressed) for source, samples in by_source.items()}
    for tracing in data.tracings:
        if (source := (tracing.worker, ITSELF)) in found:
            found[source] = _untraced(found[source], tracing)
    return found or {(MAIN, ITSELF): []}


def _calm(samples: list[Sample], pressed: Sequence[ChaosEvent]) -> list[Sample]:
    def is_pressed(at: float) -> bool:
        return any(
            one.armed_at <= at <= (inf if one.removed_at is None else one.removed_at) for one in pressed
        )

    return [sample for sample in samples if not is_pressed(sample.at)] if pressed else samples


def _untraced(samples: Sequence[Sample], tracing: Tracing) -> list[Sample]:
    """Leave out what was read while allocations were traced, and take the step over that time away.

    What the tests left in that time goes with it: it cannot be told from what the tracer keeps.
    """
    before = [one for one in samples if one.at <= tracing.began]
    after = [one for one in samples if one.at > tracing.ended]
    last = next((one for one in reversed(before) if one.checkpoint), None)
    first = next((one for one in after if one.checkpoint), None)
    return [*before, *(_lowered(one, last, first) for one in after)] if last and first else [*before, *after]


def _lowered(sample: Sample, last: Sample, first: Sample) -> Sample:
    changes: dict[str, int] = {}
    for name in STEPPING:
        value, high, low = (getattr(one, name) for one in (sample, first, last))
        if None not in (value, high, low):
            changes[name] = value - (high - low)
    return replace(sample, **changes)  # type: ignore[arg-type]
