"""Attribution: once a signal has tripped, look at what is there at each checkpoint, and name who grows.

It looks a few times, for a bounded time, and then never again: looking costs about half a second of CPU time
for a million objects.
"""

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from pytest_resilience.collector import collection_paused
from pytest_resilience.memory.allocations import Allocations
from pytest_resilience.memory.census import SLICE, Census, PackedCensus, only_growing, take_census
from pytest_resilience.memory.edges import MACHINERY
from pytest_resilience.memory.handles import (
    child_processes,
    growing_handles,
    open_descriptors,
    running_threads,
)
from pytest_resilience.memory.holders import (
    NOBODY,
    Holder,
    find_holder,
    find_holder_of_kind,
    most_common_holder,
)
from pytest_resilience.memory.patterns import BLOCK_BYTES
from pytest_resilience.memory.records import Culprit
from pytest_resilience.memory.suspects import Suspect, suspects
from pytest_resilience.memory.traced import Line

HEAP_SIGNALS = ("malloc_used", "blocks", "gc_objects", "rss")
MOST_LOOKS = 6
FEWEST_LOOKS = 3
TRACED_LOOKS = 2
MOST_SECONDS = 5.0
MOST_CULPRITS = 3
LEAST_SHARE = 0.05
"""Of the growth of the heap that somebody must hold to be named."""

ALLOCATED = "memory allocated at"
OWN = "pytest_resilience."


@dataclass(frozen=True)
class Views:
    """How attribution sees the process; each may be replaced. `census` is None where the heap is not ours."""

    census: Callable[[], Census] | None = take_census
    objects: Callable[[], list[Any]] = gc.get_objects
    holder: Callable[[object, Iterable[object]], Holder] = lambda one, ignored: find_holder(
        one, ignored=ignored
    )
    heap_bytes: Callable[[], int] = lambda: heap_bytes()
    thaw: Callable[[], None] = gc.unfreeze
    handles: Mapping[str, Callable[[], Mapping[str, int]]] = field(
        default_factory=lambda: {
            "fds": open_descriptors,
            "threads": running_threads,
            "children": child_processes,
        }
    )


def heap_bytes() -> int:
    """Return about how many bytes malloc and Python's own allocator have handed out."""
    native = psutil.heap_info() if hasattr(psutil, "heap_info") else None
    return sys.getallocatedblocks() * BLOCK_BYTES + (native.heap_used + native.mmap_used if native else 0)


KINDS = {
    "fds": ("descriptor", "descriptors"),
    "threads": ("thread", "threads"),
    "children": ("process", "processes"),
}


class Attribution:
    """Names the culprits of the signals that it is told of.

    `suspect` may be called on any thread, `look` between two iterations, after gc.collect(). Once it is not
    `active` any more nothing is kept but the culprits.

    Args:
        views: how the process is seen.
        allocations: traces which lines allocate what stays, where nobody is known to hold it.
        clock: seconds; attribution ends after MOST_SECONDS of looking.
    """

    def __init__(
        self,
        views: Views | None = None,
        clock: Callable[[], float] = time.thread_time,
        allocations: Allocations | None = None,
    ) -> None:
        self._allocations, self._traced_from = allocations, 0
        self._lines: tuple[Line, ...] = ()
        self.seconds = 0.0
        self.culprits: tuple[Culprit, ...] = ()
        self._views, self._clock = views or Views(), clock
        self._signals: tuple[str, ...] = ()
        self._censuses: list[PackedCensus] = []
        self._sizes: list[int] = []
        self._listings: dict[str, list[Mapping[str, int]]] = {}
        self._looks: Counter[str] = Counter()
        self._named: dict[str, list[Culprit]] = {}

    def suspect(self, signal: str) -> None:
        """Look for the culprits of a signal from the next checkpoint on."""
        if signal not in self._signals:
            self._signals = (*self._signals, signal)

    def close(self) -> None:
        """Stop what still traces, and let go of all but the culprits."""
        if self._allocations:
            self._allocations.stop()
        self._censuses.clear()
        self._listings.clear()

    @property
    def active(self) -> bool:
        """Tell whether the next look is worth its time."""
        return self._goes_on()

    def _goes_on(self) -> bool:
        return self.seconds < MOST_SECONDS and any(self._looks[one] < MOST_LOOKS for one in self._watched)

    @property
    def _watched(self) -> Sequence[str]:
        """What is looked at: the heap once for all its signals."""
        heap = [signal for signal in self._signals if signal in HEAP_SIGNALS and self._views.census][:1]
        return [*heap, *(signal for signal in self._signals if signal in self._views.handles)]

    def look(self) -> tuple[Culprit, ...]:
        """Look once, and return the culprits known by then, of each signal the most likely first."""
        if not self.active:
            return self.culprits
        began = self._clock()
        with collection_paused():
            for signal in self._watched:
                if self._looks[signal] < MOST_LOOKS:
                    self._looks[signal] += 1
                    self._look_at(signal)
                    self._named[signal] = self._name(signal)
        self.seconds += self._clock() - began
        self.culprits = tuple(culprit for found in self._named.values() for culprit in found)
        if not self._goes_on():
            self.close()
        return self.culprits

    def _look_at(self, signal: str) -> None:
        if signal not in HEAP_SIGNALS:
            self._listings.setdefault(signal, []).append(self._views.handles[signal]())
            return
        assert self._views.census is not None  # or the signal would not be watched
        if not self._censuses:
            self._views.thaw()
        held = sum(one.bytes_held for one in self._censuses)
        self._sizes.append(self._views.heap_bytes() - held)
        taken = [*self._unpacked(), self._views.census()]
        self._censuses = [PackedCensus.of(one) for one in only_growing(taken)]

    def _unpacked(self) -> list[Census]:
        return [one.census for one in self._censuses]

    def _trace(self, looks: int, *, known: bool) -> None:
        """Where nobody is known to hold what leaks, trace allocations between two later looks."""
        if self._allocations is None:
            return
        if self._allocations.running and looks >= self._traced_from + TRACED_LOOKS:
            self._lines = self._allocations.stop()
        elif not (known or self._lines or self._allocations.running or looks + TRACED_LOOKS > MOST_LOOKS):
            self._traced_from = looks
            self._allocations.start()

    def _name(self, signal: str) -> list[Culprit]:
        if self._looks[signal] < FEWEST_LOOKS:
            return []
        if signal in HEAP_SIGNALS:
            found = self._holders(signal)
            self._trace(self._looks[signal], known=any(one.held_by for one in found))
            ranked = sorted([*found, *self._allocated(signal)], key=_likelihood)
            return [replace(one, rank=rank) for rank, one in enumerate(ranked)]
        kind, unit = KINDS[signal]
        grown = growing_handles(self._listings[signal])[:MOST_CULPRITS]
        return [Culprit(signal, kind, one.name, one.grew, unit, rank=rank) for rank, one in enumerate(grown)]

    def _allocated(self, signal: str) -> list[Culprit]:
        return [
            Culprit(signal, "line", f"{ALLOCATED} {line.place}", line.size, "bytes") for line in self._lines
        ]

    def _holders(self, signal: str) -> list[Culprit]:
        """Name those who grew most and who holds them; nobody if all of them together explain too little."""
        least = LEAST_SHARE * max(0, self._sizes[-1] - self._sizes[0])
        objects = self._views.objects()
        grown = [one for one in suspects(self._unpacked(), objects) if one.size >= least]
        searched = (objects, grown, *(one.examples for one in grown))
        found: dict[str, Culprit] = {}
        for suspect in grown:
            holder = self._holder_of(suspect, objects, searched)
            if OWN in f"{holder.path} {suspect.name}" or MACHINERY in holder.path:
                continue
            kind = "container" if suspect.is_container else "type"
            culprit = Culprit(signal, kind, suspect.name, suspect.grew, "objects", holder.name, holder.path)
            found.setdefault(culprit.noun, culprit)
        while objects:
            del objects[-SLICE:]
        named = [one for one in found.values() if one.held_by] or list(found.values())
        return named[:MOST_CULPRITS]

    def _holder_of(self, suspect: Suspect, objects: list[Any], searched: Sequence[Any]) -> Holder:
        """Return who holds most of the examples."""

        def find(one: object) -> Holder:
            return self._views.holder(one, searched)

        named = [holder for holder in map(find, suspect.examples) if holder.name]
        if named:
            return most_common_holder(named)
        if suspect.is_container or not suspect.examples:
            return NOBODY
        return find_holder_of_kind(type(suspect.examples[0]), objects, find)


def _likelihood(culprit: Culprit) -> int:
    """Sort who holds it first, then the lines that allocate it, and last what nobody is known to hold."""
    return 0 if culprit.held_by else 1 if culprit.kind == "line" else 2
