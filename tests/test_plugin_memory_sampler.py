"""The fixture `memory_sampler` in a pytest run of its own."""

from pathlib import Path

from plugin_soaks import Project, run

TESTS = """
import shop

def test_leaks(memory_sampler):
    for number in memory_sampler.loop(2000):
        shop.kept[number] = [str(number)] * 3
    memory_sampler.assert_no_leak()

def test_clean(memory_sampler):
    for number in memory_sampler.loop(500):
        shop.quote(number)
    memory_sampler.assert_no_leak()

def test_typed(memory_sampler):
    from pytest_resilience import MemorySampler
    assert isinstance(memory_sampler, MemorySampler)
"""
SHOP = """
kept = {}

def quote(number):
    return [number] * 100
"""


def test_a_leak_fails_the_test_with_its_holder(tmp_path: Path) -> None:
    """The error is the verdict, and the traceback ends at the test's own line."""
    files = {"test_shop.py": TESTS, "shop.py": SHOP, "conftest.py": ""}
    finished = run(tmp_path / "project", Project(("-p", "no:cacheprovider"), "", files))
    assert "1 failed, 2 passed" in finished.output, finished.output
    assert "of list, held by shop.kept" in finished.output
    assert "test_shop.py:7: AssertionError" in finished.output
