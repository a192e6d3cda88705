"""Suites of every kind in a soak: with other plugins and options, fixtures of every scope, broken ones."""

import re
from collections.abc import Mapping

import pytest
from plugin_soaks import NO_CHAOS, NO_MEMORY, TEST, Finished, Project, run_together

SHORT = "--soak-duration=2s"
CALM = NO_MEMORY + NO_CHAOS
KINDS = """
import asyncio, unittest
import pytest

pytestmark = pytest.mark.soak
set_up = []

class TestUnit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        set_up.append("class")

    def setUp(self):
        self.price = 1.5

    def test_unit(self):
        self.assertEqual(self.price, 1.5)
        assert set_up

    @unittest.skip("not here")
    def test_skipped_unit(self):
        raise AssertionError

@pytest.fixture(scope="class")
def visits():
    return []

class TestClass:
    def test_first(self, visits):
        visits.append("first")

    def test_second(self, visits):
        visits.append("second")

@pytest.fixture(scope="module")
def module_wide():
    yield "set up"

@pytest.mark.parametrize("game", ["game-1", "game-2"])
def test_parametrized(game, module_wide, tmp_path, capsys, monkeypatch):
    print(game)
    assert capsys.readouterr().out.strip() == game
    assert not list(tmp_path.iterdir())
    (tmp_path / game).touch()

def test_skips():
    pytest.skip("not today")

@pytest.mark.xfail(reason="known")
def test_known_to_fail():
    raise AssertionError

@pytest.mark.asyncio
async def test_asyncio():
    await asyncio.sleep(0)

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_anyio():
    await asyncio.sleep(0)
"""
OTHER_MODULE = """
import pytest

@pytest.fixture(scope="module")
def module_wide():
    return "other"

@pytest.mark.soak
def test_other(module_wide):
    assert module_wide == "other"
"""
HANGS_ONCE = """
import time
import pytest

began, hung = [], []

@pytest.mark.soak
@pytest.mark.timeout(0.3)
def test_hangs_once():
    began.append(time.monotonic())
    if time.monotonic() - began[0] > 0.6 and not hung:  # long after the baseline
        hung.append(True)
        time.sleep(30)

@pytest.mark.soak
def test_good():
    pass
"""
RANDOM = """
import random
import pytest

@pytest.mark.soak
def test_random():
    with open("numbers", "a") as file:
        print(random.random(), file=file)
"""
FAILS_AT_ONCE = """
import pytest

@pytest.mark.soak
def test_good():
    pass

@pytest.mark.soak
def test_bad():
    raise ValueError("never worked")
"""
FAILS_WHEN_REPEATED = """
import pytest

seen = []

@pytest.mark.soak
def test_good():
    pass

@pytest.mark.soak
def test_bad():
    seen.append(1)
    assert len(seen) == 1
"""
FAILS_LATER = """
import time
import pytest

began = time.monotonic()

@pytest.mark.soak
def test_bad():
    print("something to capture")
    if time.monotonic() - began > 0.8:
        raise ValueError("too late")

@pytest.mark.soak
def test_good():
    pass
"""
WRONG_MARKER = """
import pytest

@pytest.mark.soak(3)
def test_marked_wrongly():
    pass

@pytest.mark.soak
def test_good():
    pass
"""
PRINTS = """
import warnings
import pytest

@pytest.mark.soak
def test_prints():
    print("hello")
    warnings.warn("hear, hear")
"""
TEARDOWN_FAILS = """
import pytest

@pytest.fixture(scope="session", autouse=True)
def world():
    yield
    raise RuntimeError("the world does not end")
"""


def project(
    test: str,
    *arguments: str,
    plugins: tuple[str, ...] = (),
    ini: str = "",
    files: Mapping[str, str] | None = None,
) -> Project:
    """Describe a short soak of one test module."""
    return Project((SHORT, *arguments), CALM + ini, {"test_shop.py": test, **(files or {})}, plugins)


SKIPPED_CLASS = """
import pytest

@pytest.mark.skip(reason="not now")
class TestIt:
    @pytest.mark.soak
    def test_it(self): pass
"""
SUITES = {
    "skipped by a mark above": Project((SHORT,), NO_CHAOS, {"test_shop.py": SKIPPED_CLASS}),
    "kinds": project(
        KINDS,
        plugins=("pytest_asyncio.plugin", "anyio.pytest_plugin"),
        ini="asyncio_default_fixture_loop_scope = function\n",
        files={"test_other.py": OTHER_MODULE},
    ),
    "timeout": project(HANGS_ONCE, plugins=("pytest_timeout",)),
    "random": project(RANDOM, plugins=("pytest_randomly",)),
    "fails at once": project(FAILS_AT_ONCE),
    "fails when repeated": project(FAILS_WHEN_REPEATED),
    "fails later": project(FAILS_LATER),
    "wrong marker": project(WRONG_MARKER),
    "teardown fails": project(TEST, files={"conftest.py": TEARDOWN_FAILS}),
    "no cache": project(TEST, "-p", "no:cacheprovider"),
    "quiet": project(TEST, "-q"),
    "verbose": project(TEST, "-v"),
    "uncaptured": project(PRINTS, "-s", "-p", "no:warnings"),
    "no terminal": project(TEST, "-p", "no:terminal"),
    "no terminal, plan": project(TEST, "-p", "no:terminal", "--soak-plan"),
    "set up only": project(TEST, "--setup-only"),
    "warnings": project(PRINTS),
    "warnings as errors": project(TEST, "-W", "error"),
    "other folder": project(TEST, "--resilience-dir=out/runs"),
    "file as folder": project(TEST, "--resilience-dir=shop.py"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Every run that this file looks at."""
    return run_together(tmp_path_factory.mktemp("suites"), SUITES)


def test_no_suite_breaks_pytest_itself(runs: Mapping[str, Finished]) -> None:
    """Whatever the suite does, there is no internal error, and no fault is left."""
    for name, run in runs.items():
        assert "INTERNALERROR" not in run.output, name
        assert run.torn_down == ("never" if name == "teardown fails" else "untouched"), name


def test_every_kind_of_test_loops(runs: Mapping[str, Finished]) -> None:
    """unittest, classes, parameters, coroutines, fixtures of every scope, several modules."""
    run = runs["kinds"]
    assert set(run.tests) == {
        "TestUnit::test_unit",
        "TestUnit::test_skipped_unit",
        "TestClass::test_first",
        "TestClass::test_second",
        "test_parametrized[game-1]",
        "test_parametrized[game-2]",
        "test_skips",
        "test_known_to_fail",
        "test_asyncio",
        "test_anyio",
        "test_other",
    }
    rounds = [row["iterations"] for row in run.tests.values()]
    assert min(rounds) > 3
    assert max(rounds) - min(rounds) <= 1
    assert run.report["failures"] == []


def test_what_a_mark_above_it_skips_can_be_soaked(runs: Mapping[str, Finished]) -> None:
    """The empty iterations of the calibration are skipped too."""
    run = runs["skipped by a mark above"]
    assert run.report["status"] == "complete", run.output
    test = run.tests["TestIt::test_it"]
    assert test["skipped"] == test["iterations"] > 1


def test_skips_are_counted_and_known_failures_are_none(runs: Mapping[str, Finished]) -> None:
    """A test that skips is neither passed nor failed; one that is known to fail passes."""
    tests = runs["kinds"].tests
    skipped = {name for name, row in tests.items() if row["skipped"]}
    assert skipped == {"TestUnit::test_skipped_unit", "test_skips"}
    assert all(tests[name]["skipped"] == tests[name]["iterations"] for name in skipped)


def test_a_hanging_test_is_a_failure_and_the_soak_goes_on(runs: Mapping[str, Finished]) -> None:
    """pytest-timeout ends the iteration, not the run."""
    run = runs["timeout"]
    assert run.code == 1
    assert run.tests["test_hangs_once"]["failures"] == 1
    assert run.tests["test_good"]["iterations"] > 10
    assert run.report["status"] == "complete"
    (failure,) = run.report["failures"]
    assert "Timeout" in failure["text"]


def test_iterations_get_different_random_numbers(runs: Mapping[str, Finished]) -> None:
    """pytest-randomly does not make every iteration the same."""
    numbers = (runs["random"].folder / "numbers").read_text().split()
    assert len(set(numbers)) == len(numbers) > 10


@pytest.mark.parametrize(
    ("name", "bad", "how"),
    [
        ("fails at once", "test_bad", "fails at once"),
        ("fails when repeated", "test_bad", "passes once, fails when repeated"),
        ("wrong marker", "test_marked_wrongly", "fails at once"),
    ],
)
def test_a_broken_suite_stops_the_run_at_once(
    runs: Mapping[str, Finished], name: str, bad: str, how: str
) -> None:
    """Nothing can be said about the resilience of a broken suite; the run tells which test and how."""
    run = runs[name]
    assert run.code == 1
    assert run.report["reason"].startswith(f"test_shop.py::{bad} {how}")
    assert run.report["reason"].endswith(": nothing can be said about the resilience of a broken suite")
    assert run.report["overall_result"] == "FAILED"
    assert run.report["seconds"] < 0.8
    assert f"the soak ended FAILED: {run.report['reason']}" in run.output.splitlines()
    assert f"FAILED test_shop.py::{bad} - " in run.output
    assert "FAILED test_shop.py::test_good" not in run.output
    assert "cut" in [phase["status"] for phase in run.report["phases"]]


def test_a_marker_with_arguments_says_what_is_wrong(runs: Mapping[str, Finished]) -> None:
    """The test that is marked wrongly fails, with one line."""
    fact = "@pytest.mark.soak is wrong (too many positional arguments): soak(3)."
    fix = 'Write @pytest.mark.soak(weight=3, survives=["latency_spike"]).'
    assert f"{fact} {fix}" in runs["wrong marker"].output.splitlines()


def test_a_failure_after_the_baseline_is_told_once_with_its_count(runs: Mapping[str, Finished]) -> None:
    """The run goes on; one kind of failure is kept once, with its first traceback and a count; exit 1."""
    run = runs["fails later"]
    assert run.code == 1
    assert run.report["status"] == "complete"
    assert run.verdicts["failures_outside_faults"] == "unmet"
    (failure,) = run.report["failures"]
    assert failure["count"] == run.tests["test_bad"]["failures"] > 1
    assert "ValueError: too late" in failure["text"]
    assert re.search(
        r"^[\d,]+ of [\d,]+ iterations failed outside faults, first in ", run.output, re.MULTILINE
    )
    assert "FAILED test_shop.py::test_good" not in run.output


def test_a_failing_teardown_of_the_session_fails_the_run(runs: Mapping[str, Finished]) -> None:
    """The soak itself came to its end, and its report is there; the exit code is 1."""
    run = runs["teardown fails"]
    assert run.code == 1
    assert run.report["status"] == "complete"
    assert "teardown failed: RuntimeError: the world does not end" in run.output.splitlines()


@pytest.mark.parametrize("name", ["no cache", "quiet", "verbose", "no terminal", "warnings as errors"])
def test_options_of_pytest_do_not_disturb_a_soak(runs: Mapping[str, Finished], name: str) -> None:
    """The soak runs to its end without the cache, with less and more output, with strict warnings."""
    run = runs[name]
    assert run.report["status"] == "complete", run.output
    assert run.tests["test_quote"]["failures"] == 0
    assert ("= resilience =" in run.output) == (name != "no terminal")


def test_uncaptured_output_gets_through(runs: Mapping[str, Finished]) -> None:
    """With -s each iteration prints."""
    run = runs["uncaptured"]
    assert run.output.count("hello") == run.report["iterations"]


def test_a_warning_is_shown_once(runs: Mapping[str, Finished]) -> None:
    """The same warning of every iteration does not fill the summary."""
    run = runs["warnings"]
    assert run.report["iterations"] > 10
    assert run.output.count("UserWarning: hear, hear") == 1


def test_a_plan_without_a_terminal_is_a_mistake(runs: Mapping[str, Finished]) -> None:
    """A plan that nobody sees is one line and exit 4."""
    run = runs["no terminal, plan"]
    assert run.code == 4
    assert run.output.strip() == (
        "ERROR: --soak-plan writes to the terminal, which -p no:terminal switches off. Give one of them."
    )


def test_nothing_is_soaked_if_no_test_is_to_run(runs: Mapping[str, Finished]) -> None:
    """With --setup-only a soak would pass without a single test body."""
    run = runs["set up only"]
    assert run.code == 0
    assert "SETUP    S world" in run.output
    assert not run.soaked


def test_runs_are_kept_where_the_option_says(runs: Mapping[str, Finished]) -> None:
    """--resilience-dir is relative to the root of the project."""
    folder = runs["other folder"].folder
    assert (folder / "out" / "runs" / "latest" / "report.json").exists()
    assert not (folder / ".resilience").exists()


def test_a_folder_that_cannot_be_made_is_one_line_and_exit_4(runs: Mapping[str, Finished]) -> None:
    """The soak does not begin where its record cannot be kept."""
    run = runs["file as folder"]
    assert run.code == 4
    assert re.search(
        r"^ERROR: .*cannot be created: .* Choose another --resilience-dir\.$", run.output, re.MULTILINE
    )
