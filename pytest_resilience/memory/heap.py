"""What the garbage collector knows, listed so that no other thread is harmed by it.

A tuple that another thread is making just now (`tuple(generator)`, or in C) is known to the collector before
it is whole, and must have one reference: with a second one Python raises SystemError in that thread. So from
a listing until all tuples are out of it, no Python code runs: that is one call in C, in which the interpreter
does not change threads. As it takes 0.08 ms for a thousand objects, a large heap is listed in parts.
"""

import gc
from itertools import chain, compress, repeat, starmap
from operator import is_not, itemgetter
from typing import Any

ONCE = ((),)
OLD = ((2,),)
"""The generation in which all is that has survived a collection."""

PART = 200_000
MOST_PARTS = 6
"""As each part takes a listing of all, which is short but not free."""


def whole_objects() -> list[Any]:
    """Return the objects that have survived a collection, but for tuples; call gc.collect() before."""
    count = sum(map(len, starmap(gc.get_objects, OLD)))
    size = max(PART, -(-count // MOST_PARTS))
    found: list[Any] = []
    for start in range(0, count, size):
        found += _part(start, start + size)
    return found


def _part(start: int, end: int) -> list[Any]:
    part: list[Any] = []
    listing = map(part.extend, map(itemgetter(slice(start, end)), starmap(gc.get_objects, OLD)))
    others = compress(part, map(is_not, map(type, part), repeat(tuple)))
    found = list(chain(listing, others, starmap(part.clear, ONCE)))
    del found[0], found[-1]  # what extend() and clear() return
    return found


def count_objects() -> int:
    """Return how many objects the collector knows, frozen ones too."""
    return gc.get_freeze_count() + sum(map(len, starmap(gc.get_objects, ONCE)))


def is_whole(one: Any) -> bool:
    """Tell whether nothing is missing in a tuple: one that is being made has places without an object."""
    return type(one) is not tuple or len(gc.get_referents(one)) >= len(one)
