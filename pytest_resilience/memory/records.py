"""What the memory room reports: plain records that can be stored and sent.

Times are in seconds since the run began, sizes in bytes, shares from 0 to 1.
A record whose class has a KEY replaces the earlier one with the same key; without, it is appended.
"""

from dataclasses import dataclass
from typing import ClassVar

from pytest_resilience.workers import MAIN

ITSELF = ""
"""The process that samples, where a record names a watched process."""


CHECKPOINTS = "checkpoints"
"""The observer that spends the tests' own time, and no share of a core that they could have."""

ATTRIBUTION = "attribution"
"""Another such observer: it looks who holds what leaks, for a bounded time after a signal has tripped."""

HELD_BY = ", held by "
"""Between what leaks and who holds it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the signals; None is a signal that was not read at this instant.

    `checkpoint` marks a reading right after gc.collect(); `blocks` are Python's allocated blocks, and
    `children_pss` is what its child processes take together, each shared page counted once.
    `worker` is the process that sampled. `process` is the name of the watched process that was read, and
    `pid` which one that was then; of the worker itself they are empty and 0.
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
    vms: int | None = None
    shared: int | None = None
    uss: int | None = None
    pss: int | None = None
    uncollectable: int | None = None
    children_pss: int | None = None
    cgroup_used: int | None = None
    process: str = ITSELF
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a signal that the user declared, by its name."""

    KEY: ClassVar[tuple[str, ...]] = ()
    at: float
    phase: str
    iteration: int
    signal: str
    value: float
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class OwnSlope:
    """What the watching itself adds to a signal per iteration, measured with empty iterations."""

    KEY: ClassVar[tuple[str, ...]] = ("signal", "worker")
    signal: str
    per_iteration: float
    iterations: int
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
class Tracing:
    """While allocations were traced, between two times: what memory does meanwhile is the tracer's."""

    KEY: ClassVar[tuple[str, ...]] = ("began", "worker")
    began: float
    ended: float
    worker: str = MAIN


@dataclass(frozen=True, slots=True)
class Culprit:
    """Who holds what a leaking signal counts: found by attribution after the signal tripped.

    Args:
        signal: the signal that grew, as in `Leak.signal`.
        kind: what is named: type, container, descriptor, thread or line.
        name: of what grows: `dict`, `socket:[tcp 127.0.0.1:80]`, `Thread-7 (poll)`, `shop/cache.py:12`; empty
            once it has stopped to grow: it is no culprit then.
        grew: by how much since the first of the last few looks, in `unit`.
        unit: objects, bytes, descriptors or threads.
        held_by: the end of the retention path, `shop.cache._quotes`; empty if nobody is known.
        path: the whole retention path, for the details; may be empty.
        rank: 0 is the most likely culprit of its signal.
        process: which watched process holds it; empty is the worker itself.
    """

    KEY: ClassVar[tuple[str, ...]] = ("signal", "rank", "worker", "process")
    signal: str
    kind: str
    name: str
    grew: float
    unit: str
    held_by: str = ""
    path: str = ""
    rank: int = 0
    at: float = 0.0
    worker: str = MAIN
    process: str = ITSELF

    @property
    def noun(self) -> str:
        """What leaks and who holds it: `dict, held by shop.cache._quotes`."""
        return f"{self.name}{HELD_BY}{self.held_by}" if self.held_by else self.name


@dataclass(frozen=True, slots=True)
class Leak:
    """The verdict of the leak detector; rates per iteration and per hour in bytes (or counts, see `unit`).

    `floor_per_iteration` and `floor_per_hour` are the smallest leak of this signal, in the same unit, that
    the run would have found at 95 %. `culprits` names who holds it, one per line, the most likely first; it
    is empty unless attribution found someone.
    """

    KEY: ClassVar[tuple[str, ...]] = ("signal", "worker", "process")
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
    process: str = ITSELF
    floor_per_iteration: float | None = None
    floor_per_hour: float | None = None
    culprits: str = ""
