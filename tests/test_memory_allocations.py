"""With memray the allocating lines are named: what Python allocates, and what C code keeps."""

import ctypes
import gc
from collections import Counter
from pathlib import Path

import pytest

from pytest_resilience.memory.allocations import Allocations
from pytest_resilience.memory.attribute import Attribution, Views
from pytest_resilience.memory.census import Census, take_census

pytest.importorskip("memray")


def allocate(kept: list[object], times: int) -> None:
    for _ in range(times):
        kept.append(bytes(1000))


ALLOCATING = allocate.__code__.co_firstlineno + 2


def test_the_line_whose_allocations_stay_is_named() -> None:
    """And not those whose allocations are gone."""
    kept: list[object] = []
    allocations = Allocations()
    assert allocations.start()
    allocate(kept, 500)
    allocate([], 500)
    gc.collect()
    lines = allocations.stop()
    assert not allocations.running
    assert f"test_memory_allocations.py:{ALLOCATING} (allocate)" in lines[0].place
    assert lines[0].size == pytest.approx(500 * 1033, rel=0.2)


def test_the_caller_of_the_standard_library_is_named() -> None:
    """What a Counter keeps is the doing of whoever updates it; what looking keeps is nobody's."""
    tally: Counter[str] = Counter()
    allocations = Allocations()
    assert allocations.start()
    for number in range(2000):
        tally.update([f"number {number}"])
    censuses = [take_census() for _ in range(20)]
    places = [line.place for line in allocations.stop()]
    assert len(censuses) == 20
    assert places
    assert all("(test_the_caller_of_the_standard_library_is_named)" in place for place in places)


def test_memory_of_c_code_is_named_by_the_calling_line() -> None:
    """What malloc gave and no Python object holds."""
    python = ctypes.pythonapi
    python.PyMem_RawMalloc.restype = ctypes.c_void_p
    addresses: list[int] = []
    allocations = Allocations()
    assert allocations.start()
    for _ in range(200):
        addresses.append(python.PyMem_RawMalloc(ctypes.c_size_t(5000)))
    lines = allocations.stop()
    for address in addresses:
        python.PyMem_RawFree(ctypes.c_void_p(address))
    assert "(test_memory_of_c_code_is_named_by_the_calling_line)" in lines[0].place
    assert lines[0].size >= 200 * 5000


def test_only_one_traces_a_process(tmp_path: Path) -> None:
    """If somebody else does, lines are left out; stopping twice changes nothing."""
    first, second = Allocations(), Allocations()
    assert first.start()
    assert not second.start()
    assert second.stop() == ()
    first.stop()
    assert first.stop() == ()


def test_lines_stand_where_nobody_is_known_to_hold_what_leaks() -> None:
    """After three looks that name nobody, they are traced for two more: the culprits of a leak of C code."""
    kept: list[object] = []
    sizes = iter(range(0, 10**9, 10**7))
    views = Views(census=Census, objects=list, heap_bytes=lambda: next(sizes), thaw=lambda: None)
    attribution = Attribution(views, allocations=Allocations())
    attribution.suspect("malloc_used")
    for _ in range(6):
        attribution.look()
        allocate(kept, 100)
    first = attribution.culprits[0]
    assert (first.kind, first.unit) == ("line", "bytes")
    assert first.noun.startswith("memory allocated at ")
    assert f"test_memory_allocations.py:{ALLOCATING} (allocate)" in first.noun


def test_what_still_traces_is_stopped() -> None:
    """When the soak ends between two looks, another one may trace afterwards."""
    attribution = Attribution(
        Views(census=Census, objects=list, heap_bytes=lambda: 0, thaw=lambda: None), allocations=Allocations()
    )
    attribution.suspect("blocks")
    for _ in range(3):
        attribution.look()
    with pytest.raises(AssertionError):
        assert Allocations().start()
    attribution.close()
    again = Allocations()
    assert again.start()
    again.stop()
