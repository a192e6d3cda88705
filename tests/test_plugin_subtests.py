"""Subtests in a loop: each that fails is a failure of its test, and their reports do not pile up."""

import re
from collections.abc import Mapping

import pytest
from distributed_soaks import distributed
from plugin_soaks import NO_CHAOS, NO_MEMORY, Finished, Project, run_together

SUBTESTS = """
import time, unittest
import pytest

began = time.monotonic()
pytestmark = pytest.mark.soak

class TestUnit(unittest.TestCase):
    def test_games(self):
        for game in ("game-1", "game-2"):
            with self.subTest(game=game):
                self.assertTrue(game == "game-1" or time.monotonic() < began + 2)

def test_late(subtests):
    with subtests.test("fine"):
        pass
    with subtests.test("late", game=3):
        assert time.monotonic() < began + 2

def test_good(subtests):
    with subtests.test("fine"):
        pass
    with subtests.test("skipped"):
        pytest.skip("not today")
    with subtests.test("known"):
        pytest.xfail("of old")
"""
LIMITED = """
import unittest
import pytest

kept = []

@pytest.mark.leak_limit("1 KiB per iteration")
def test_clean(subtests):
    for number in range(3):
        with subtests.test(number=number):
            pass
    with subtests.test("skipped"):
        pytest.skip("not today")

@pytest.mark.leak_limit("1 KiB per iteration")
class TestUnit(unittest.TestCase):
    def test_leaks(self):
        with self.subTest("leak"):
            kept.append(bytearray(4096))

@pytest.mark.leak_limit("1 KiB per iteration")
def test_fails(subtests):
    kept.append(None)
    with subtests.test("fails", game=3):
        assert len(kept) % 50
"""
CALM = NO_MEMORY + NO_CHAOS
FILES = {"test_shop.py": SUBTESTS}
RUNS = {
    "alone": Project(("--soak-duration=4s",), CALM, FILES),
    "two workers": distributed("-n2", files=FILES, duration="8s"),
    "limited": Project(("-q",), files={"test_shop.py": LIMITED}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Every run that this file looks at."""
    return run_together(tmp_path_factory.mktemp("subtests"), RUNS)


@pytest.mark.parametrize("name", ["alone", "two workers"])
def test_a_subtest_that_fails_fails_the_iteration(runs: Mapping[str, Finished], name: str) -> None:
    """Told by its name; one that is skipped, or known to fail, is neither."""
    run = runs[name]
    assert run.code == 1, run.output
    assert run.verdicts["failures_outside_faults"] == "unmet"
    tests = run.tests
    for bad in ("TestUnit::test_games", "test_late"):
        assert 0 < tests[bad]["failures"] < tests[bad]["iterations"], run.output
    assert (tests["test_good"]["failures"], tests["test_good"]["skipped"]) == (0, 0)
    texts = [failure["text"] for failure in run.report["failures"]]
    assert any(text.startswith("TestUnit.test_games (game='game-2'):") for text in texts), texts
    assert any(text.startswith("test_late [late] (game=3):") for text in texts), texts
    crashes = {failure["crash"] for failure in run.report["failures"]}
    assert crashes == {
        "test_shop.py:12: AssertionError (game='game-2')",
        "test_shop.py:18: AssertionError [late] (game=3)",
    }


@pytest.mark.parametrize("name", ["alone", "two workers"])
def test_no_report_of_a_subtest_is_shown(runs: Mapping[str, Finished], name: str) -> None:
    """Nor does pytest remember at the end that some of a test had failed."""
    assert "SUBFAILED" not in runs[name].output
    assert "SUBFAIL" not in runs[name].output
    assert "subtests passed" not in runs[name].output
    assert "failed subtest" not in runs[name].output


def test_subtests_are_looped_under_a_limit(runs: Mapping[str, Finished]) -> None:
    """What they report is no leak; their own is, and one that fails when repeated is told."""
    output = runs["limited"].output
    assert "of bytearray, held by test_shop.kept (limit 1.0 KiB/iteration)" in output
    assert re.search(
        r"failed when repeated, in iteration \d+:\n.*test_fails \[fails\] \(game=3\):", output
    ), output
    assert "FAILED test_shop.py::test_clean" not in output
    assert "2 failed, 1 passed" in output, output
