"""From a series of censuses to those who grew most: containers with what they hold, and types."""

import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from gc import get_referents, is_tracked
from itertools import islice
from typing import Any
from weakref import ReferenceType

from pytest_resilience.memory.census import SLICE, Census, growing_containers, growing_types
from pytest_resilience.memory.edges import SHARED, class_name, is_a

MOST_CONTAINERS = 12
MOST_TYPES = 6
MOST_PARTS = 64
"""Objects whose sizes are added up for the size of one element."""

NEWEST = 3
FINALIZER = "weakref.finalize._Info"


@dataclass(frozen=True, slots=True)
class Suspect:
    """What grew, by how many objects and about how many bytes; `examples` are what holders are sought of."""

    name: str
    grew: int
    size: float
    examples: tuple[Any, ...]
    is_container: bool


def suspects(censuses: Sequence[Census], objects: list[Any]) -> list[Suspect]:
    """Return what grew in the censuses, the largest first; `objects` is the heap now.

    Of types that the collector does not know (strings, numbers) only the containers are named, and so of weak
    references, which others than their owners list.
    """
    containers = {one.key: one for one in growing_containers(censuses)[:MOST_CONTAINERS]}
    grown = (one for one in growing_types(censuses) if one.key is not ReferenceType)
    types = {one.key: one for one in islice(grown, MOST_TYPES)}
    found, examples = _look_up(objects, containers.keys(), {kind: one.lately for kind, one in types.items()})
    everything = [
        *(_of_container(one, containers[id(one)].grew) for one in found),
        *(_of_type(kind, types[kind].grew, some) for kind, some in examples.items() if some),
    ]
    return sorted(everything, key=lambda one: -one.size)


def _look_up(
    objects: list[Any], ids: Iterable[int], kinds: Mapping[type, int]
) -> tuple[list[Any], dict[type, tuple[Any, ...]]]:
    """Return the containers of these ids, and some objects of these types, of which so many came lately.

    They are from the middle of what came: the newest may be in use only now.
    """
    wanted, looked_for = set(ids), kinds.keys()
    found: dict[int, Any] = {}
    half = {kind: max(1, came // 2) if came else NEWEST for kind, came in kinds.items()}
    newest: dict[type, deque[Any]] = {kind: deque(maxlen=most) for kind, most in half.items()}
    for start in range(0, len(objects), SLICE):
        some = objects[start : start + SLICE]
        for one in some:
            if id(one) in wanted:
                found[id(one)] = one
            if type(one) in looked_for:
                newest[type(one)].append(one)
        if len(found) < len(wanted):
            plain = (one for one in get_referents(*some) if type(one) is dict and not is_tracked(one))
            found.update((id(one), one) for one in plain if id(one) in wanted)
    return list(found.values()), {kind: tuple(islice(some, NEWEST)) for kind, some in newest.items()}


def _of_container(container: Any, grew: int) -> Suspect:
    elements = list(_newest(container))
    kinds = Counter(map(type, elements)).most_common(1)
    size = size_of_each(elements)
    common = next((one for one in elements if type(one) is kinds[0][0]), container)
    name = noun_of(common)
    return Suspect(name, grew, grew * (size + sys.getsizeof(0)), (container,), is_container=True)


def _newest(container: Any) -> Iterator[Any]:
    """Yield some of the elements added last; of a set, some that are anywhere."""
    values = dict.values(container) if is_a(container, dict) else container
    newest = iter(values) if is_a(values, (set, frozenset)) else reversed(values)
    for _, one in zip(range(NEWEST), newest, strict=False):
        yield one


def _of_type(kind: type, grew: int, examples: tuple[Any, ...]) -> Suspect:
    return Suspect(noun_of(examples[-1]), grew, grew * _own_size(examples[-1]), examples, is_container=False)


def noun_of(one: Any) -> str:
    """Name what an object is: its class; of what weakref.finalize() keeps, also whom it calls."""
    name = class_name(type(one))
    if name != FINALIZER:
        return name
    module, function = (getattr(one.func, part, "?") for part in ("__module__", "__qualname__"))
    return f"weakref.finalize(…, {module}.{function})"


def size_of_each(elements: Sequence[Any]) -> float:
    """Return about how many bytes one of the elements takes, with what belongs to it alone."""
    parts = [_parts(one) for one in elements]
    owners = Counter(key for some in parts for key in some)
    own = (_own_size(part) for some in parts for key, part in some.items() if owners[key] == 1)
    return sum(own) / max(1, len(elements))


def _parts(one: Any) -> dict[int, Any]:
    """Return an object and what it refers to, directly or not, by id."""
    found = {id(one): one}
    queue = deque([one])
    while queue and len(found) <= MOST_PARTS:
        for below in get_referents(queue.popleft()):
            if id(below) not in found and not is_a(below, SHARED):
                found[id(below)] = below
                queue.append(below)
    return found


def _own_size(part: Any) -> int:
    try:
        return sys.getsizeof(part)
    except Exception:  # __sizeof__ of a class of the user's
        return 0
