"""What lives on the heap, counted: objects by type, and the sizes of containers.

A census is taken in small slices, so that other threads have their turn between them: counting a million
objects takes about half a second, but never stops them for longer than listing the objects does. Tuples, and
what only they hold, are left out (see heap).
"""

from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from gc import get_referents, is_tracked
from itertools import pairwise
from sys import getsizeof
from typing import Any

from pytest_resilience.memory.heap import whole_objects

SLICE = 20_000
LEAST_LENGTH = 16
"""Shorter containers are not measured: one that leaks soon is longer."""

MEASURED = (dict, list, set, deque, OrderedDict, defaultdict, Counter)
COLLECTED_FLAG = 1 << 14
"""Of a type whose objects the garbage collector tracks (Py_TPFLAGS_HAVE_GC)."""


@dataclass(frozen=True, slots=True)
class Census:
    """The heap at one instant.

    Args:
        types: objects by type; those that the collector does not know (strings, numbers) once for each
            reference from one that it knows.
        lengths: of the containers with at least LEAST_LENGTH elements, by id.
    """

    types: Mapping[type, int] = field(default_factory=dict)
    lengths: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PackedCensus:
    """A census between two looks: in bytes, or it would be some thousand blocks more in the samples.

    And the collector does not know bytes, so that they are nobody who grows.
    """

    types: Mapping[type, int]
    ids: bytes
    lengths: bytes

    @classmethod
    def of(cls, census: Census) -> "PackedCensus":
        """Pack a census."""
        return cls(census.types, _packed(census.lengths.keys()), _packed(census.lengths.values()))

    @property
    def census(self) -> Census:
        """The census as it was."""
        ids, lengths = (memoryview(packed).cast("Q") for packed in (self.ids, self.lengths))
        return Census(self.types, dict(zip(ids, lengths, strict=True)))

    @property
    def bytes_held(self) -> int:
        """What keeping it takes."""
        return sum(map(getsizeof, (self.types, self.ids, self.lengths)))


def _packed(numbers: Iterable[int]) -> bytes:
    return array("Q", numbers).tobytes()


def take_census(objects: Callable[[], list[Any]] = whole_objects) -> Census:
    """Count the heap, right after gc.collect(); `objects` returns what the collector knows.

    Frozen objects are left out, but for containers that others refer to.
    """
    types: Counter[type] = Counter()
    lengths: dict[int, int] = {}
    measured: dict[type, bool] = {}
    for tracked in _slices(objects()):
        types.update(map(type, tracked))
        referents = get_referents(*tracked)
        types.update(map(type, _untracked(referents)))
        _measure(tracked, lengths, measured)
        _measure(_plain_dicts(referents), lengths, measured)
    return Census(types, lengths)


def _slices(everything: list[Any]) -> Iterator[Sequence[Any]]:
    """Yield slices, and let go of each: to free a list of a million at once takes 35 ms."""
    while everything:
        yield everything[-SLICE:]
        del everything[-SLICE:]


def _untracked(referents: list[Any]) -> list[Any]:
    return [one for one in referents if not type(one).__flags__ & COLLECTED_FLAG]


def _plain_dicts(referents: list[Any]) -> list[Any]:
    """Return the dicts that the collector does not track because they hold only strings and numbers."""
    return [one for one in referents if type(one) is dict and not is_tracked(one)]


def _measure(objects: Sequence[Any], lengths: dict[int, int], measured: dict[type, bool]) -> None:
    for one in objects:
        kind = type(one)
        if kind not in measured:
            measured[kind] = has_plain_length(kind)
        if measured[kind] and (length := len(one)) >= LEAST_LENGTH:
            lengths[id(one)] = length


def has_plain_length(kind: type) -> bool:
    """Tell whether a type is a container that grows and whose len() runs no code of the user's."""
    return any(issubclass(kind, plain) and kind.__len__ is plain.__len__ for plain in MEASURED)


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much a type (in objects) or a container (in elements) grew, in all and since the last look."""

    key: Any
    grew: int
    total: int
    lately: int


def growing_types(censuses: Sequence[Census]) -> list[Growth]:
    """Return the types that never shrank and grew between most censuses, the fastest first."""
    return _growing([census.types for census in censuses])


def growing_containers(censuses: Sequence[Census]) -> list[Growth]:
    """Return the ids of the containers that never shrank and grew between most censuses, the fastest first.

    One that the first censuses lack was shorter than LEAST_LENGTH then, or not there; it must have been
    there in two at least.
    """
    return _growing([census.lengths for census in censuses])


def only_growing(censuses: Sequence[Census]) -> list[Census]:
    """Return the censuses without the containers that do not grow: none that fell or stood still is needed.

    Those of the newest census are kept, as they may begin to grow.
    """
    if len(censuses) < 2:
        return list(censuses)
    grown = {one.key for one in growing_containers(censuses)}
    earlier = (
        Census(one.types, {key: length for key, length in one.lengths.items() if key in grown})
        for one in censuses[:-1]
    )
    return [*earlier, censuses[-1]]


def _growing(counts: Sequence[Mapping[Any, int]]) -> list[Growth]:
    if len(counts) < 2:
        return []
    found = (_growth(key, [count.get(key, 0) for count in counts]) for key in counts[-1])
    return sorted((one for one in found if one), key=lambda one: -one.grew)


def _growth(key: Any, readings: Sequence[int]) -> Growth | None:
    """Return the growth of what never shrank and grew in most of the intervals."""
    known = readings[next((place for place, value in enumerate(readings) if value), 0) :]
    rises = [later - earlier for earlier, later in pairwise(known)]
    if not rises or min(rises) < 0 or 2 * sum(rise > 0 for rise in rises) <= len(rises):
        return None
    return Growth(key, known[-1] - known[0], known[-1], rises[-1])
