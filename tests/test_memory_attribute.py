"""Attribution names who holds what leaks, on the real heap of this process."""

import ctypes
import functools
import gc
import itertools
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import heap_subjects
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.collector import start_up_frozen
from pytest_resilience.memory.attribute import Attribution, Views, told_once
from pytest_resilience.memory.census import (
    LEAST_LENGTH,
    Census,
    PackedCensus,
    growing_containers,
    growing_types,
    only_growing,
    take_census,
)
from pytest_resilience.memory.edges import MACHINERY
from pytest_resilience.memory.handles import growing_handles
from pytest_resilience.memory.holders import (
    NOBODY,
    Holder,
    find_holder,
    find_holder_of_kind,
    most_common_holder,
)
from pytest_resilience.memory.looks import MOST_LOOKS
from pytest_resilience.memory.records import Culprit

ITERATIONS = 200


@pytest.fixture
def frozen() -> Iterator[None]:
    """Freeze what start-up made, as a soak does."""
    with start_up_frozen():
        yield


def attributed(leak: Callable[[int], object], signal: str = "blocks", looks: int = 3) -> Sequence[Culprit]:
    """Let something leak between looks, which may take their time on a large heap and a busy machine."""
    attribution = Attribution(clock=lambda: 0.0)
    attribution.suspect(signal)
    for look in range(looks):
        for number in range(look * ITERATIONS, (look + 1) * ITERATIONS):
            leak(number)
        gc.collect()
        attribution.look()
    return attribution.culprits


@pytest.mark.parametrize("name", heap_subjects.HOLDERS)
@pytest.mark.usefixtures("frozen")
def test_the_holder_is_named(name: str) -> None:
    """Whatever holds it (a module, an instance, a slot, a closure, a cache …) is the first culprit."""
    leaking, holder = heap_subjects.HOLDERS[name]
    first = attributed(getattr(heap_subjects, name))[0]
    assert (first.name, first.held_by) == (leaking, holder)
    assert first.grew == 2 * ITERATIONS
    assert first.noun == f"{leaking}, held by {holder}"
    assert first.path


def test_the_projects_own_is_named_before_a_librarys() -> None:
    """Also where the library's takes more; each is told once, by its container."""

    def leak(number: int) -> None:
        heap_subjects.leak_in_finalizer(number)
        heap_subjects.leak_in_list(number)

    named = attributed(leak)
    assert [one.held_by for one in named[:2]] == ["heap_subjects.lines", "weakref.finalize._registry"]
    assert not [one for one in named[2:] if one.held_by.startswith("weakref.finalize._registry")]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (("dict", "shop.kept", 9), ("dict", "shop.kept[…]", 7), 1),
        (("dict", "shop.kept['a'].lines", 9), ("list", "shop.kept", 7), 1),
        (("dict", "shop.kept", 9), ("str", "shop.kept", 18), 1),
        (("dict", "shop.app", 9), ("_Info", "shop.app.log", 9), 1),
        (("dict", "shop.app", 9), ("str", "shop.app.log", 30), 2),
        (("dict", "shop.kept", 9), ("dict", "shop.kept_too", 9), 2),
        (("dict", "", 9), ("dict", "", 9), 1),
        (("dict", "", 9), ("list", "", 9), 2),
    ],
)
def test_what_one_holder_holds_is_told_once(
    first: tuple[str, str, int], second: tuple[str, str, int], told: int
) -> None:
    """With what is in its elements, and by the outer one; an attribute may be another leak."""
    culprits = [
        Culprit("blocks", "type", name, grew, "objects", held) for name, held, grew in (first, second)
    ]
    outer = min(culprits, key=lambda one: len(one.held_by))
    assert told_once(culprits) == (culprits if told == 2 else [outer])


def test_nobody_is_named_where_nothing_leaks() -> None:
    """Temporaries and a cache that is full are no culprits."""
    full = {number: [number] for number in range(100)}
    assert attributed(lambda number: full.update({number % 100: [number]})) == ()


def test_native_memory_is_not_blamed_on_python_objects() -> None:
    """Who holds less than a twentieth of what grew is not named."""
    sizes = iter(range(0, 10_000_000_000, 1_000_000_000))
    attribution = Attribution(Views(heap_bytes=lambda: next(sizes)))
    attribution.suspect("malloc_used")
    for number in range(4):
        heap_subjects.leak_in_list(number)
        attribution.look()
    assert attribution.culprits == ()


@pytest.mark.usefixtures("frozen")
def test_what_looking_keeps_is_no_growth() -> None:
    """A small leak is named on a heap of so many containers that the census of them outweighs it."""
    ballast = [[None] * LEAST_LENGTH for _ in range(100_000)]
    first = attributed(heap_subjects.leak_in_list)[0]
    assert (first.name, first.held_by) == heap_subjects.HOLDERS["leak_in_list"]
    del ballast


def test_attribution_begins_with_a_suspicion_and_looks_ever_less() -> None:
    """It is active from the first suspicion on; what it keeps spans the run, in a few looks."""
    counted: list[int] = []

    def count() -> dict[str, int]:
        counted.append(1)
        return {"file a": len(counted)}

    attribution = Attribution(Views(handles={"fds": count}))
    active = [attribution.active]
    attribution.suspect("fds")
    attribution.suspect("fds")
    strides: list[int] = []
    for _ in range(MOST_LOOKS + 4):
        attribution.look()
        strides.append(attribution.stride)
    assert [*active, attribution.active] == [False, True]
    assert strides == [1, 1, 1, 1, 1, 2, 2, 2, 4, 4]
    assert [one.grew for one in attribution.culprits] == [10 - 4]  # the looks 4, 7, 9 and 10 are left


def test_attribution_ends_when_its_time_is_used_up() -> None:
    """Looking that takes long is not done again."""
    ticks = iter(range(0, 1000, 6))
    attribution = Attribution(Views(handles={"fds": dict}), clock=lambda: next(ticks))
    attribution.suspect("fds")
    attribution.look()
    assert not attribution.active


@pytest.mark.usefixtures("frozen")
def test_a_cache_that_has_filled_is_no_culprit() -> None:
    """It grew fastest while it filled, and is named then; at the end only the leak is."""
    full: dict[int, list[object]] = {}
    leak: list[list[int]] = []
    attribution = Attribution(clock=lambda: 0.0)
    attribution.suspect("blocks")
    named: list[str] = []
    for look in range(MOST_LOOKS + 4):
        if look < MOST_LOOKS:
            full.update((look * 2000 + number, [number, [number]]) for number in range(2000))
        leak.extend([number] for number in range(ITERATIONS))
        gc.collect()
        named.append(" ".join(one.noun for one in attribution.look()))
    assert "local variable full of" in named[MOST_LOOKS - 1]
    assert "local variable full of" not in named[-1]
    assert "list, held by local variable leak of" in named[-1]


def test_a_signal_that_trips_later_is_looked_at_as_often() -> None:
    """The second signal has looks of its own."""
    open_files: list[int] = []
    views = Views(handles={"threads": dict, "fds": lambda: {"file a": len(open_files)}})
    attribution = Attribution(views)
    attribution.suspect("threads")
    for _ in range(MOST_LOOKS):
        attribution.look()
    attribution.suspect("fds")
    for _ in range(3):
        open_files.append(1)
        attribution.look()
    assert [(one.signal, one.kind, one.name) for one in attribution.culprits] == [
        ("fds", "descriptor", "file a")
    ]


def test_descriptors_are_named_by_their_target(tmp_path: Path) -> None:
    """Files, connections and listeners that stay open, the most frequent first."""
    with ExitStack() as undo:
        server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = server.getsockname()

        def leak(number: int) -> None:
            if number % 20 == 0:
                undo.enter_context(socket.create_connection(address))
            if number % 50 == 0:
                undo.enter_context((tmp_path / f"part{number}.log").open("w"))

        culprits = attributed(leak, "fds")
    assert [one.name for one in culprits] == [
        f"connection to 127.0.0.1:{address[1]}",
        re.sub(r"\d+", "N", f"file {tmp_path}/part1.log"),
    ]


def test_threads_are_named_by_what_they_run() -> None:
    """Name and function of threads that stay."""
    done = threading.Event()
    started: list[threading.Thread] = []

    def leak(number: int) -> None:
        if number % 100 == 0:
            started.append(threading.Thread(target=heap_subjects.wait_for, args=(done,), daemon=True))
            started[-1].start()

    try:
        culprits = attributed(leak, "threads")
    finally:
        done.set()
        for thread in started:
            thread.join()
    assert [(one.name, one.grew, one.unit) for one in culprits] == [
        ("thread Thread-N (wait_for) running heap_subjects.wait_for", 4, "threads")
    ]


def test_child_processes_are_named_by_their_command() -> None:
    """Running ones by what they run; ended ones as what nobody waits for."""
    children: list[subprocess.Popen[bytes]] = []

    def leak(number: int) -> None:
        if number % 100 == 0:
            children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

    try:
        culprits = attributed(leak, "children")
    finally:
        for child in children:
            child.communicate()
    (culprit,) = culprits
    assert culprit.name == f"process {Path(sys.executable).name} -c input()"


def test_a_local_variable_of_a_running_function_is_a_holder() -> None:
    """The collector does not know the variables of running functions; the frames do."""
    ready, done, ids = threading.Event(), threading.Event(), list[int]()
    thread = threading.Thread(target=heap_subjects.hold_in_frame, args=(ready, done, ids))
    thread.start()
    try:
        assert ready.wait(10)
        target = ctypes.cast(ids[0], ctypes.py_object).value
        assert find_holder(target).name == "local variable mine of heap_subjects.hold_in_frame()"
    finally:
        done.set()
        thread.join()


def test_what_nobody_holds_has_no_holder() -> None:
    """Something that only the searching function has."""
    assert find_holder(object(), frames=lambda: ()) == Holder("", "")


def test_a_long_way_is_cut_to_its_last_class() -> None:
    """The name stays short; the path has everything."""

    class Level:
        below: Any

    top = Level()
    lowest = top
    for _ in range(5):
        lowest.below = Level()
        lowest = lowest.below
    kept: list[int] = []
    lowest.below = kept
    heap_subjects.registry["deep"] = top  # type: ignore[assignment]
    try:
        holder = find_holder(kept)
    finally:
        del heap_subjects.registry["deep"]
    assert holder.name.endswith("Level.below (heap_subjects.registry)")
    assert holder.path.count("below of a") == 6


def test_holders_that_differ_by_their_keys_have_one_name() -> None:
    """Each example is in another list: the name has no key."""
    holders = [Holder(f"shop.by_game[{number}][…]", "path") for number in range(3)]
    assert most_common_holder(holders).name == "shop.by_game[…][…]"
    assert most_common_holder([holders[0]] * 3) == holders[0]


def test_a_census_does_not_stop_other_threads_for_long() -> None:
    """A million references are counted in slices: a thread that wants to run does so in between."""
    kept = [{"a": [number]} for number in range(100_000)]
    gaps, stop = [0.0], threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not stop.wait(0.001):
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=watch)
    thread.start()
    census = take_census()
    stop.set()
    thread.join()
    assert census.types[dict] >= len(kept)
    assert len(gaps) > 5


READINGS = st.lists(st.integers(0, 50), min_size=2, max_size=6)


@given(READINGS)
def test_growth_is_what_never_fell_and_mostly_rose(readings: list[int]) -> None:
    """Of any readings of a container: named only if it rose in most intervals and fell in none."""
    censuses = [Census({}, {1: value} if value else {}) for value in readings]
    known = readings[next((place for place, value in enumerate(readings) if value), len(readings)) :]
    rises = [later - earlier for earlier, later in pairwise(known)]
    grows = bool(rises) and min(rises) >= 0 and sum(map(bool, rises)) * 2 > len(rises)
    found = growing_containers(censuses)
    assert [one.grew for one in found] == ([known[-1] - known[0]] if grows else [])


@given(st.lists(st.dictionaries(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=5))
def test_forgetting_what_does_not_grow_changes_nothing(lengths: list[dict[int, int]]) -> None:
    """The growing containers are the same whether the others are kept or not."""
    everything = [Census({}, one) for one in lengths]
    kept: list[Census] = []
    for census in everything:
        kept = only_growing([*kept, census])
    grown = growing_containers(everything)
    assert {one.key for one in grown} <= {one.key for one in growing_containers(kept)} or not grown


def test_types_are_sorted_by_growth() -> None:
    """The fastest first."""
    censuses = [Census({int: number, str: 3 * number, list: 5}) for number in (1, 2, 3)]
    assert [one.key for one in growing_types(censuses)] == [str, int]


def test_handles_that_come_and_go_do_not_grow() -> None:
    """A name of which there were once more is none; one that appears later is."""
    listings = [{"a": 1, "b": 2, "c": 1}, {"a": 2, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 1, "d": 1}]
    assert [(one.name, one.grew) for one in growing_handles(listings)] == [("a", 3), ("d", 1)]


class Hostile:
    """An object whose every special method raises, as a proxy without a context does."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"working outside of a context: {name}")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("==")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __sizeof__(self) -> int:
        raise RuntimeError("sizeof")


@pytest.mark.usefixtures("frozen")
def test_no_code_of_the_users_is_run() -> None:
    """Objects that raise whatever they are asked are counted, named and sized like others."""
    kept: list[object] = []
    heap_subjects.registry["hostile"] = kept  # type: ignore[assignment]
    try:
        first = attributed(lambda _: kept.append(Hostile()))[0]
    finally:
        del heap_subjects.registry["hostile"]
    assert first.name.endswith(".Hostile")
    assert first.held_by.startswith("heap_subjects.registry['hostile']")


@pytest.mark.usefixtures("frozen")
def test_a_cache_without_a_name_is_told_by_where_it_is_kept() -> None:
    """As that of a partial."""
    cached: Any = functools.lru_cache(maxsize=None)(functools.partial(list))
    heap_subjects.registry["cached"] = cached
    try:
        first = attributed(lambda number: cached((number, number + 1)))[0]
    finally:
        del heap_subjects.registry["cached"]
    assert first.held_by.startswith("heap_subjects.registry['cached']")


def test_another_object_of_the_type_says_nothing() -> None:
    """What C code hides, as the decoder of a text file, has no holder: not the one that holds its like."""
    kind, hidden, objects = heap_subjects.Thing, heap_subjects.Thing(), gc.get_objects()
    shown = [kind()]
    assert find_holder(shown[0]).name
    assert find_holder_of_kind([hidden], [*objects, shown], find_holder) == NOBODY


def test_what_pytest_needs_to_end_what_is_set_up_is_no_culprit(request: pytest.FixtureRequest) -> None:
    """It is dropped now and then."""
    request.addfinalizer(functools.partial(print, mark := heap_subjects.Thing()))
    assert MACHINERY in find_holder(mark).path


def test_nothing_is_kept_after_the_last_look() -> None:
    """A census holds types and numbers of objects, and is as large as the heap has containers."""
    views = Views(census=lambda: Census({int: 1}), objects=list, heap_bytes=lambda: 0)
    attribution = Attribution(views, clock=itertools.count().__next__, most_seconds=3.0)
    attribution.suspect("blocks")
    for _ in range(3):
        assert attribution.active
        attribution.look()
    assert not attribution.active
    assert not attribution._heap.kept


def test_less_time_is_spent_before_a_signal_trips() -> None:
    """What was seen until then is kept: once it trips the looks go on, and soon name who grows."""
    descriptors = itertools.count(10)
    views = Views(handles={"fds": lambda: {"file /a": next(descriptors)}})
    attribution = Attribution(views, itertools.count().__next__, most_seconds=4.0, early_seconds=2.0)
    attribution.suspect("fds", trips=False)
    for _ in range(2):
        assert attribution.active
        attribution.look()
    assert (attribution.active, attribution.share_of_rest, attribution.culprits) == (False, 1.0, ())
    attribution.suspect("fds")
    assert attribution.active
    assert [one.grew for one in attribution.look()] == [2]


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 2**40)))
def test_a_packed_census_is_the_same(lengths: dict[int, int]) -> None:
    """Packing loses nothing."""
    census = Census({int: 3}, lengths)
    assert PackedCensus.of(census).census == census
