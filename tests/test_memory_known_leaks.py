"""Leaks that the user accepts do not fail a run; whoever leaks beside them does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.memory.detect import judge
from pytest_resilience.memory.known_leaks import all_known, is_known
from pytest_resilience.memory.records import Culprit, Sample
from pytest_resilience.units import MIB

REGISTRY = Culprit("blocks", "container", "_Info", 300, "objects", "weakref.finalize._registry")
CACHE = Culprit("blocks", "container", "dict", 200, "objects", "shop.cache['a']._quotes", rank=1)
LEAKING = [
    Sample(n / 10, "MEMORY_SOAK_TESTING", True, 10 * n, 50 * MIB, MIB, 10**5 + 30 * n) for n in range(200)
]


@pytest.mark.parametrize(
    "pattern",
    [
        "weakref.finalize._registry",
        "weakref.*",
        "_Info",
        "_Info, held by *",
        "*",
        "_Info, held by weakref.*y",
    ],
)
def test_a_leak_is_known_by_what_is_held_or_its_holder(pattern: str) -> None:
    """In whole, or with * for any text."""
    assert is_known(REGISTRY.noun, [pattern])


def test_the_elements_of_what_is_known_are_known() -> None:
    """However deep the search came."""
    assert is_known("weakref.ReferenceType, held by shop.kept['a'].lines[…]", ["shop.kept"])
    assert is_known("weakref.ReferenceType, held by shop.kept['a'].lines[…]", ["shop.kept['a'].lines"])
    assert not is_known("dict, held by shop.kept_too['a']", ["shop.kept"])


@pytest.mark.parametrize(
    "pattern", ["weakref", "finalize._registry", "", "weakref?finalize._registry", "shop*"]
)
def test_a_part_of_a_name_does_not_make_it_known(pattern: str) -> None:
    """Nor does any other character stand for others."""
    assert not is_known(REGISTRY.noun, [pattern])


@given(st.text(min_size=1))
def test_every_name_is_known_by_itself(name: str) -> None:
    """Also one with brackets, dots and stars, as the report writes it."""
    assert is_known(name, [name])


def test_who_is_not_named_is_not_known() -> None:
    """Or a run would pass with a leak that nobody has seen."""
    assert not all_known([], ["*"])


def test_a_run_that_leaks_only_what_is_known_is_clean_and_says_so() -> None:
    """Its line begins so, and has the leak with its numbers."""
    verdict = judge(LEAKING, culprits=[REGISTRY], known=["weakref.*"])
    assert (verdict.verdict, verdict.leaks) == ("clean", ())
    assert verdict.line.startswith("clean but for what is known: leak: ")
    assert "_Info, held by weakref.finalize._registry" in verdict.line


def test_who_leaks_beside_what_is_known_is_named_alone() -> None:
    """The advice is about it too."""
    verdict = judge(LEAKING, culprits=[REGISTRY, CACHE], known=["weakref.*"])
    assert verdict.verdict == "leak"
    assert verdict.leaks[0].culprits == CACHE.noun
    assert "shop.cache['a']._quotes" in verdict.leaks[0].recommendation
    assert judge(LEAKING, culprits=[CACHE], known=["shop.cache['a']._quotes"]).verdict == "clean"


def test_what_is_known_is_still_told_where_others_leak() -> None:
    """After them, with by how much it grew."""
    line = judge(LEAKING, culprits=[REGISTRY, CACHE], known=["weakref.*"]).line
    told = "of dict, held by shop.cache['a']._quotes (200 more) and of known: _Info, held by weakref.finalize"
    assert told in line


def test_another_signal_is_not_excused() -> None:
    """Descriptors that leak too have nothing to do with known objects."""
    also = [replace(one, fds=10 + one.iteration // 20) for one in LEAKING]
    verdict = judge(also, culprits=[REGISTRY], known=["weakref.*"])
    assert [leak.signal for leak in verdict.leaks] == ["fds"]


def test_a_leak_of_nobody_by_name_stays_one() -> None:
    """Even where everything is accepted."""
    assert judge(LEAKING, known=["*"]).verdict == "leak"
