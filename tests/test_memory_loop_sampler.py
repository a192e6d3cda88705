"""A loop in an ordinary test is sampled and judged: what leaks is named with its holder."""

import gc

import heap_subjects
import pytest

from pytest_resilience.collector import collection_paused
from pytest_resilience.errors import ResilienceError
from pytest_resilience.memory.loop_sampler import SAMPLES, MemorySampler


def test_a_leak_is_found_and_named() -> None:
    """The error begins with the verdict of a soak, and has the path to the holder."""
    sampler = MemorySampler()
    for number in sampler.loop(3000):
        heap_subjects.leak_in_instance(number)
    assert sampler.verdict.verdict == "leak", sampler.verdict.line
    with pytest.raises(AssertionError) as error:
        sampler.assert_no_leak()
    first, path = str(error.value).splitlines()[:2]
    assert first.startswith("leak: ")
    assert "of heap_subjects.Thing, held by heap_subjects.shop.audit" in first
    assert path.endswith("module heap_subjects → shop → audit of a heap_subjects.Shop")
    assert len(sampler.samples) == SAMPLES


def test_a_clean_loop_passes() -> None:
    """Temporaries are no leak; the verdict says what would have been found."""
    sampler = MemorySampler()
    for number in sampler.loop(1000):
        assert [str(number)] * 10
    sampler.assert_no_leak()
    assert "would have been found" in sampler.verdict.line


def test_a_second_loop_is_judged_alone() -> None:
    """The samples of the first are gone."""
    sampler = MemorySampler()
    for number in sampler.loop(1000):
        heap_subjects.leak_in_list(number)
    for _ in sampler.loop(200):
        pass
    assert sampler.samples[-1].iteration == 200
    sampler.assert_no_leak()


def test_no_collection_in_the_loop_walks_what_was_there_before() -> None:
    """On a large heap 96 of them take long; afterwards all of it is collected again, also after a break."""
    gc.unfreeze()
    before = gc.get_freeze_count()
    frozen = []
    for number in MemorySampler().loop(96):
        frozen.append(gc.get_freeze_count() - before)
        if number == 1:
            break
    gc.collect()
    assert min(frozen) > 0
    assert gc.get_freeze_count() == before


def test_there_is_no_verdict_before_the_end() -> None:
    """A loop that was left is not judged."""
    sampler = MemorySampler()
    for _ in sampler.loop(100):
        break
    with pytest.raises(ResilienceError, match="There is nothing to judge yet"):
        sampler.assert_no_leak()


@pytest.mark.parametrize("wrong", [0, 95, 2.5, True, "100"])
def test_too_few_iterations_are_refused(wrong: object) -> None:
    """At once, not in the first pass."""
    with pytest.raises(ResilienceError) as error:
        MemorySampler().loop(wrong)  # type: ignore[arg-type]
    assert str(error.value) == f"iterations must be a whole number of at least 96, not {wrong!r}."


def test_garbage_from_before_the_loop_hides_no_leak() -> None:
    """Cycles that nobody has collected yet are freed before, and not in the middle of the readings."""
    with collection_paused():
        for _ in range(2000):
            cycle: list[object] = []
            cycle.append(cycle)
        sampler = MemorySampler()
        for number in sampler.loop(1500):
            heap_subjects.leak_in_instance(number)
    assert sampler.verdict.verdict == "leak", sampler.verdict.line
