"""Who holds an object: the way from a module, a class, a function or a frame down to it.

The search goes backwards, level by level, and asks the collector once per level: one look at the whole heap,
about 30 ms for a million objects. Objects that are frozen (gc.freeze) are invisible to it; thaw them before.
"""

import gc
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from pytest_resilience.frames import running_frames
from pytest_resilience.memory.edges import SHARED, Edge, Root, class_name, edge_between, is_a, root_name
from pytest_resilience.memory.heap import is_whole

MOST_LEVELS = 16
MOST_AT_ONCE = 12
"""Objects whose referrers are asked for at once."""

MOST_STEPS = 4
"""Of an expression that is still readable."""

MOST_OUTSIDERS = 3
SLICE = 2_000

KEY = re.compile(r"\[[^]]*\]")

Referrers = Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an object.

    Args:
        name: dotted, as code writes it: `shop.cache._quotes`; empty if nobody was found.
        path: from the root down, for the details: `module shop.cache → _quotes → ['game-1']`.
    """

    name: str
    path: str


NOBODY = Holder("", "")


def find_holder(
    target: object,
    *,
    referrers: Referrers = gc.get_referrers,
    ignored: Iterable[object] = (),
    frames: Callable[[], Iterable[FrameType]] = lambda: other_frames(),
) -> Holder:
    """Return who holds `target`: what has a name and is the fewest steps away.

    Args:
        referrers: returns what refers to some objects.
        ignored: what refers to the target only to search for it.
        frames: returns the running frames, whose variables the collector does not know.
    """
    search = _Search(target, referrers, ignored)
    local: Holder | None = None
    for _ in range(MOST_LEVELS):
        if (root := search.root()) is not None:
            holder = _holder(search.chain(root))
            if not _name_of(root).is_local:
                return holder
            local = local or holder
        if not search.climb():
            break
    return local or _held_by_frame(search, frames())


def most_common_holder(holders: Sequence[Holder]) -> Holder:
    """Return the one that holds most; those that differ only by keys count as one, without the keys."""
    if len(set(holders)) == 1:
        return holders[0]
    alike = [Holder(KEY.sub("[…]", one.name), one.path) for one in holders]
    name, _ = Counter(one.name for one in alike).most_common(1)[0]
    return next(one for one in alike if one.name == name)


def find_holder_of_kind(
    examples: Sequence[Any], objects: Sequence[Any], find: Callable[[object], Holder]
) -> Holder:
    """Return who holds objects of one type that mostly hold each other, as the nodes of a list do.

    Whoever else refers to one of them is asked for its own holder. Nobody, where none of the `examples`
    refers to its like: then what holds another object of the type says nothing.
    """
    kind = type(examples[0])
    if not any(_links(one, kind) for one in examples):
        return NOBODY
    for one in _outsiders(kind, objects):
        root = root_name(one)
        holder = _holder([one, _first_of(kind, one)]) if root else find(one)
        if holder.name:
            return Holder(holder.name, f"{holder.path} → … → {class_name(kind)}")
    return NOBODY


def _links(one: Any, kind: type) -> bool:
    """Tell whether an object refers to another one of a type, itself or by what it is made of."""
    parts = [below for below in gc.get_referents(one) if not is_a(below, SHARED)]
    return any(type(below) is kind and below is not one for below in (*parts, *gc.get_referents(*parts)))


def _outsiders(kind: type, objects: Sequence[Any]) -> list[Any]:
    """Return some objects of other types that refer to one of this type, namespaces first."""
    found: list[Any] = []
    for start in range(0, len(objects), SLICE):
        others = [one for one in objects[start : start + SLICE] if type(one) is not kind]
        if kind in set(map(type, gc.get_referents(*others))):
            found.extend(one for one in others if kind in map(type, gc.get_referents(one)))
    return sorted(found, key=lambda one: root_name(one) is None)[:MOST_OUTSIDERS]


def _first_of(kind: type, one: Any) -> Any:
    return next(below for below in gc.get_referents(one) if type(below) is kind)


class _Search:
    """A breadth-first search backwards; `_below` has for each object found the one it refers to."""

    def __init__(self, target: object, referrers: Referrers, ignored: Iterable[object]) -> None:
        self._referrers = referrers
        self._frontier: list[Any] = [target]
        self._below: dict[int, Any] = {id(target): None}
        self._found: dict[int, Any] = {id(target): target}
        self._ignored = {id(one) for one in (*ignored, self._frontier, self._found, self._below, self)}

    @property
    def found(self) -> Iterable[Any]:
        return tuple(self._found.values())

    def root(self) -> Any:
        """Return the best of the newest objects that has a name of its own; None if none has."""
        named = [one for one in self._frontier if self._below[id(one)] is not None and root_name(one)]
        return min(named, key=_how_little_it_says, default=None)

    def climb(self) -> bool:
        """Go up one level; tell whether there is anybody."""
        level = self._frontier
        above: list[Any] = []
        for start in range(0, len(level), MOST_AT_ONCE):
            some = level[start : start + MOST_AT_ONCE]
            above.extend(self._above(some, self._referrers(*some)))
            if len(above) >= MOST_AT_ONCE:
                break
        self._frontier = sorted(above, key=_promise)[: 4 * MOST_AT_ONCE]
        self._ignored.update((id(self._frontier), id(above)))
        return bool(above)

    def _above(self, level: Sequence[Any], referrers: list[Any]) -> list[Any]:
        """Return the new ones, and note to whom of the level each refers."""
        ids = {id(one): one for one in level}
        hidden = {id(level), id(referrers), id(ids), *self._ignored}
        hidden.update(id(one) for one in referrers if is_a(one, FrameType) and _is_own(one))
        unknown = (one for one in referrers if id(one) not in hidden and id(one) not in self._found)
        new = [one for one in unknown if is_whole(one)]
        for one in new:
            self._found[id(one)] = one
            self._below[id(one)] = _referred(one, ids)
        return new

    def chain(self, root: Any) -> list[Any]:
        """Return the objects from the root down to the target."""
        chain = [root]
        while (below := self._below[id(chain[-1])]) is not None:
            chain.append(below)
        return chain


def _how_little_it_says(one: Any) -> tuple[bool, int]:
    return _name_of(one).is_local, _name_of(one).rank


def _name_of(root: Any) -> Root:
    name = root_name(root)
    assert name is not None
    return name


def _promise(one: Any) -> int:
    """Sort what leads to a name first: namespaces and instances before mere containers."""
    return 0 if type(one) is dict else 2 if is_a(one, (list, tuple, set)) else 1


def _referred(one: Any, ids: dict[int, Any]) -> Any:
    """Return which of the objects `one` refers to."""
    if len(ids) == 1:
        return next(iter(ids.values()))
    for referent in gc.get_referents(one):
        if id(referent) in ids:
            return referent
    return next(iter(ids.values()))


def _holder(chain: Sequence[Any]) -> Holder:
    root = _name_of(chain[0])
    edges = [edge_between(chain, place) for place in range(len(chain) - 1)]
    return Holder(_short(root, chain, edges), _long(root.title, edges))


def _short(root: Root, chain: Sequence[Any], edges: Sequence[Edge]) -> str:
    """Write the way as an expression; a long one begins at the last instance on it that says its class."""
    steps = [place for place, edge in enumerate(edges) if edge.text]
    attributes = [place for place in steps if edges[place].owner is not None]
    is_readable = len(steps) <= MOST_STEPS and root.is_dotted
    if is_readable or not attributes:
        return root.name + "".join(edge.text for edge in edges)
    last = attributes[-1]
    begins = root.name + (edges[steps[0]].text if root.is_dotted and steps[0] < last else "")
    owner = edges[last].owner
    named = class_name(owner if is_a(owner, type) else type(owner))
    return f"{named}{''.join(edge.text for edge in edges[last:])} ({begins})"


def _long(title: str, edges: Sequence[Edge]) -> str:
    return " → ".join([title, *(edge.title for edge in edges if edge.title)])


def _held_by_frame(search: _Search, frames: Iterable[FrameType]) -> Holder:
    """Look for what was found among the variables of running functions."""
    found = {id(one): one for one in search.found}
    for frame in frames:
        for variable, value in list(frame.f_locals.items()):
            if id(value) in found:
                code = frame.f_code
                place = f"{frame.f_globals.get('__name__', '?')}.{code.co_qualname}"
                chain = search.chain(value)
                edges = [edge_between(chain, step) for step in range(len(chain) - 1)]
                name = f"local variable {variable} of {place}()"
                return Holder(name + "".join(edge.text for edge in edges), _long(f"running {name}", edges))
    return NOBODY


def other_frames() -> Iterable[FrameType]:
    """Yield the running frames of all threads, the innermost first, without this room's own."""
    for frame in running_frames().values():
        current: FrameType | None = frame
        while current is not None:
            if not _is_own(current):
                yield current
            current = current.f_back


def _is_own(frame: FrameType) -> bool:
    """Tell whether a function of this search runs there: the collector of Python 3.13 knows such frames."""
    return str(frame.f_globals.get("__name__", "")).startswith(__package__ or __name__)
