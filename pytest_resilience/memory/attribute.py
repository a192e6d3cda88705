"""Attribution: once a signal has tripped, look at what is there now and then, and name who grows.

It looks less and less often, for a bounded time: looking costs about half a second of CPU time for a million
objects.
"""

import gc
import sys
import time
from collections import defaultdict
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
from pytest_resilience.memory.heap import whole_objects
from pytest_resilience.memory.holders import (
    NOBODY,
    Holder,
    find_holder,
    find_holder_of_kind,
    most_common_holder,
)
from pytest_resilience.memory.libraries import is_library
from pytest_resilience.memory.looks import Looks
from pytest_resilience.memory.patterns import BLOCK_BYTES
from pytest_resilience.memory.records import Culprit
from pytest_resilience.memory.suspects import Suspect, suspects
from pytest_resilience.memory.traced import Line

HEAP_SIGNALS = ("malloc_used", "blocks", "gc_objects", "rss")
FEWEST_LOOKS = 3
TRACED_LOOKS = 2
TRACED_STRIDE = 2
"""Up to which lines are traced, so that this ends soon."""

MOST_SECONDS = 5.0
MOST_CULPRITS = 5
LEAST_SHARE = 0.05
"""Of the growth of the heap that somebody must hold to be named."""

PROJECT_WEIGHT = 4
"""What the project's own code holds is named before a library's that is up to so many times larger."""

ALLOCATED = "memory allocated at"
OWN = "pytest_resilience."


@dataclass(frozen=True)
class Views:
    """How attribution sees the process; each may be replaced. `census` is None where the heap is not ours."""

    census: Callable[[], Census] | None = take_census
    objects: Callable[[], list[Any]] = whole_objects
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


@dataclass(frozen=True, slots=True)
class HeapLook:
    """The heap at one look, and the bytes that it took without what looking keeps."""

    census: PackedCensus
    size: int


def heap_bytes() -> int:
    """Return about how many bytes malloc and Python's own allocator have handed out."""
    native = psutil.heap_info() if hasattr(psutil, "heap_info") else None
    return sys.getallocatedblocks() * BLOCK_BYTES + (native.heap_used + native.mmap_used if native else 0)


KINDS = {
    "fds": ("descriptor", "descriptors"),
    "threads": ("thread", "threads"),
    "children": ("process", "processes"),
}
LISTED = ("fds", "threads")
LEAST_HANDLES = 8
"""Of one name, to be told without a signal that trips."""


class Attribution:
    """Names the culprits of the signals that it is told of.

    `suspect` may be called on any thread, `look` between two iterations, after gc.collect(). Once it is not
    `active` any more nothing is kept but the culprits. It `trips` once one of its signals does.

    Args:
        views: how the process is seen.
        allocations: traces which lines allocate what stays, where nobody is known to hold it.
        clock: seconds that looking takes.
        most_seconds: of looking, after which attribution ends.
        early_seconds: of looking as long as no signal has tripped.
    """

    def __init__(
        self,
        views: Views | None = None,
        clock: Callable[[], float] = time.thread_time,
        allocations: Allocations | None = None,
        most_seconds: float = MOST_SECONDS,
        early_seconds: float = MOST_SECONDS,
    ) -> None:
        self._allocations, self._traced_looks, self._traces = allocations, 0, False
        self._most_seconds, self._early_seconds = most_seconds, early_seconds
        self.trips = False
        self._lines: tuple[Line, ...] = ()
        self.seconds = self._last_seconds = 0.0
        self.culprits: tuple[Culprit, ...] = ()
        self._views, self._clock = views or Views(), clock
        self._signals: tuple[str, ...] = ()
        self._heap = Looks[HeapLook]()
        self._listings: defaultdict[str, Looks[Mapping[str, int]]] = defaultdict(Looks)
        self._named: dict[str, list[Culprit]] = {}

    def inventory(self) -> Mapping[str, Mapping[str, int]]:
        """List what is open and running now, by signal and name."""
        return {signal: self._views.handles[signal]() for signal in LISTED if signal in self._views.handles}

    def added_since(self, inventory: Mapping[str, Mapping[str, int]]) -> tuple[Culprit, ...]:
        """Return what there is more of than at an earlier inventory, where nobody is named yet."""
        pairs = ((signal, [inventory[signal], now]) for signal, now in self.inventory().items())
        named = (self._handles(signal, both) for signal, both in pairs if not self._named.get(signal))
        return tuple(one for some in named for one in some if one.grew >= LEAST_HANDLES)

    def suspect(self, signal: str, *, trips: bool = True, traces: bool = True) -> None:
        """Look for the culprits of a signal from the next checkpoint on; trace lines only if it trips."""
        self.trips = self.trips or trips
        self._traces = self._traces or (trips and traces)
        if signal not in self._signals:
            self._signals = (*self._signals, signal)

    @property
    def tracing(self) -> bool:
        """Tell whether allocations are traced now."""
        return self._allocations is not None and self._allocations.running

    def close(self) -> None:
        """Stop what still traces, and let go of all but the culprits."""
        if self._allocations:
            self._allocations.stop()
        self._heap = Looks()
        self._listings.clear()

    @property
    def active(self) -> bool:
        """Tell whether the next look is worth its time."""
        return self._seconds_left > 0 and bool(self._watched)

    @property
    def _seconds_left(self) -> float:
        return (self._most_seconds if self.trips else self._early_seconds) - self.seconds

    @property
    def stride(self) -> int:
        """How many times the first distance the next look should be away: 1, 2, 4 …"""
        return min((self._looks(signal).stride for signal in self._watched), default=1)

    @property
    def share_of_rest(self) -> float:
        """What one look like the last takes of the seconds that are left to look; 1 if none are."""
        left = self._seconds_left
        return min(1.0, self._last_seconds / left) if left > 0 else 1.0

    @property
    def _watched(self) -> Sequence[str]:
        """What is looked at: the heap once for all its signals."""
        heap = [signal for signal in self._signals if signal in HEAP_SIGNALS and self._views.census][:1]
        return [*heap, *(signal for signal in self._signals if signal in self._views.handles)]

    def _looks(self, signal: str) -> Looks[Any]:
        return self._heap if signal in HEAP_SIGNALS else self._listings[signal]

    def look(self) -> tuple[Culprit, ...]:
        """Look once, and return the culprits known by then, of each signal the most likely first."""
        if not self.active:
            return self.culprits
        began = self._clock()
        with collection_paused():
            for signal in self._watched:
                self._look_at(signal)
                self._named[signal] = self._name(signal)
        self._last_seconds = self._clock() - began
        self.seconds += self._last_seconds
        self.culprits = tuple(culprit for found in self._named.values() for culprit in found)
        if self.seconds >= self._most_seconds:
            self.close()
        return self.culprits

    def _look_at(self, signal: str) -> None:
        if signal not in HEAP_SIGNALS:
            self._listings[signal].add(self._views.handles[signal]())
            return
        assert self._views.census is not None  # or the signal would not be watched
        if not self._heap.kept:
            self._views.thaw()
        size = self._views.heap_bytes() - sum(one.census.bytes_held for one in self._heap.kept)
        self._heap.add(HeapLook(PackedCensus.of(self._views.census()), size))
        growing = map(PackedCensus.of, only_growing(self._unpacked()))
        sizes = (one.size for one in self._heap.kept)
        self._heap.replace(list(map(HeapLook, growing, sizes)))

    def _unpacked(self) -> list[Census]:
        return [one.census.census for one in self._heap.kept]

    def _trace(self, *, known: bool) -> None:
        """Where nobody is known to hold what leaks, trace allocations from one look to the next but one."""
        if self._allocations is None:
            return
        if self._allocations.running:
            self._traced_looks += 1
            if self._traced_looks == TRACED_LOOKS:
                self._lines = self._allocations.stop()
        elif self._traces and not (known or self._traced_looks or self._heap.stride > TRACED_STRIDE):
            self._allocations.start()

    def _name(self, signal: str) -> list[Culprit]:
        if len(self._looks(signal).kept) < FEWEST_LOOKS:
            return []
        if signal in HEAP_SIGNALS:
            found = self._holders(signal)
            self._trace(known=any(one.held_by for one in found))
            ranked = sorted([*found, *self._allocated(signal)], key=_likelihood)
            return [replace(one, rank=rank) for rank, one in enumerate(ranked)]
        return self._handles(signal, self._listings[signal].kept)

    @staticmethod
    def _handles(signal: str, listings: Sequence[Mapping[str, int]]) -> list[Culprit]:
        kind, unit = KINDS[signal]
        grown = growing_handles(listings)[:MOST_CULPRITS]
        return [Culprit(signal, kind, one.name, one.grew, unit, rank=rank) for rank, one in enumerate(grown)]

    def _allocated(self, signal: str) -> list[Culprit]:
        return [
            Culprit(signal, "line", f"{ALLOCATED} {line.place}", line.size, "bytes") for line in self._lines
        ]

    def _holders(self, signal: str) -> list[Culprit]:
        """Name those who grew most and who holds them; nobody if all of them together explain too little."""
        least = LEAST_SHARE * max(0, self._heap.kept[-1].size - self._heap.kept[0].size)
        objects = self._views.objects()
        grown = [one for one in suspects(self._unpacked(), objects) if one.size >= least]
        searched = (objects, grown, *(one.examples for one in grown))
        found: list[tuple[float, Culprit]] = []
        for suspect in grown:
            holder = self._holder_of(suspect, objects, searched)
            if OWN in f"{holder.path} {suspect.name}" or MACHINERY in holder.path:
                continue
            kind = "container" if suspect.is_container else "type"
            culprit = Culprit(signal, kind, suspect.name, suspect.grew, "objects", holder.name, holder.path)
            weight = suspect.size if is_library(holder.name) else PROJECT_WEIGHT * suspect.size
            found.append((weight, culprit))
        while objects:
            del objects[-SLICE:]
        ranked = [culprit for _, culprit in sorted(found, key=lambda pair: -pair[0])]
        named = [one for one in ranked if one.held_by] or ranked
        return told_once(named)[:MOST_CULPRITS]

    def _holder_of(self, suspect: Suspect, objects: list[Any], searched: Sequence[Any]) -> Holder:
        """Return who holds most of the examples."""

        def find(one: object) -> Holder:
            return self._views.holder(one, searched)

        named = [holder for holder in map(find, suspect.examples) if holder.name]
        if named:
            return most_common_holder(named)
        if suspect.is_container or not suspect.examples:
            return NOBODY
        return find_holder_of_kind(suspect.examples, objects, find)


def told_once(culprits: Iterable[Culprit]) -> list[Culprit]:
    """Leave out what the same holder holds as one before, in it or in its elements: that is one leak."""
    told: list[Culprit] = []
    for one in culprits:
        place = next((place for place, other in enumerate(told) if _is_same(one, other)), None)
        if place is None:
            told.append(one)
        elif len(one.held_by) < len(told[place].held_by):
            told[place] = one
    return told


def _is_same(one: Culprit, other: Culprit) -> bool:
    inner, outer = sorted((one.held_by, other.held_by), key=len, reverse=True)
    if not outer:
        return one.noun == other.noun
    is_attribute = inner.startswith(f"{outer}.") and one.grew == other.grew
    return inner == outer or inner.startswith(f"{outer}[") or is_attribute


def _likelihood(culprit: Culprit) -> int:
    """Sort who holds it first, then the lines that allocate it, and last what nobody is known to hold."""
    return 0 if culprit.held_by else 1 if culprit.kind == "line" else 2
