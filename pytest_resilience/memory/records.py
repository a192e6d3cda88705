"""What the memory room reports: plain records that can be stored and sent.

Times are in seconds since the run began, sizes in bytes, shares from 0 to 1.
A record whose class has a KEY replaces the earlier one with the same key; without, it is appended.
"""

from dataclasses import dataclass
from typing import ClassVar

from pytest_resilience.workers import MAIN


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the signals; None is a signal that was not read at this instant.

    `checkpoint` marks a reading right after gc.collect(); `blocks` are Python's allocated blocks.
    `worker` is the process that was read.
    """

    KEY: ClassVar[tuple[str, ...]] = ()
    at: float
    phase: str
    checkpoint: bool
    iteration: int
    rss: int
    malloc_used: int | None = None
    blocks: int | None = None
    gc_objects: int | None = None
    fds: int | None = None
    threads: int | None = None
    children: int | None = None
    system_percent: float | None = None
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class Observer:
    """What the watching itself cost: CPU seconds of the sampler and the conductor, until `at`."""

    KEY: ClassVar[tuple[str, ...]] = ("name", "worker")
    name: str
    at: float
    cpu_seconds: float
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class Leak:
    """The verdict of the leak detector; rates per iteration and per hour in bytes (or counts, see `unit`)."""

    KEY: ClassVar[tuple[str, ...]] = ("signal", "worker")
    signal: str
    verdict: str
    pattern: str
    kind: str
    severity: str
    unit: str
    per_iteration: float | None
    per_hour: float
    confidence: float
    samples: int
    baseline: float
    current: float
    projection_24h: float
    recommendation: str
    worker: str = MAIN
