"""The recipes of docs/recipes.md are run as they stand there, in one project, by a pytest of their own."""

import re
from collections import defaultdict
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from plugin_soaks import Finished, Project, run

from pytest_resilience.chaos.scenario import Scenario
from pytest_resilience.chaos.scenarios import BUILT_IN

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text("utf-8")
RERUNS = "pytest_rerunfailures"
RERUN_RECIPE = "test_rerun.py"
CAN_RERUN = find_spec(RERUNS) is not None


def fenced(language: str) -> list[str]:
    """Return the blocks of the page that are marked with this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def files_of_the_page() -> Mapping[str, str]:
    """Return its files: blocks that name the same one stand in it one after the other."""
    files: dict[str, str] = defaultdict(str)
    for text in fenced("python"):
        named = re.match(r"# (\w+\.py)\n", text)
        assert named, f"a block names no file:\n{text}"
        files[named[1]] += text
    return files


FILES = files_of_the_page()
RECIPES = [name for name in FILES if name.startswith("test_")]
TOLD = [line for text in fenced("text") for line in text.splitlines()]
TOLD_FAILURES = {line.removeprefix("FAILED ") for line in TOLD if line.startswith("FAILED ")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run all recipes."""
    kept = {name: text for name, text in FILES.items() if CAN_RERUN or name != RERUN_RECIPE}
    plugins = (RERUNS,) if CAN_RERUN else ()
    project = Project(("-rA", "-Werror"), "", {"test_shop.py": "", **kept}, plugins)
    return run(tmp_path_factory.mktemp("recipes"), project)


def outcomes(finished: Finished, name: str) -> dict[str, str]:
    """Return the outcome of each test of a file."""
    found = re.findall(rf"^([A-Z]+) ({re.escape(name)}::\S+)", finished.output, re.MULTILINE)
    return {test: outcome for outcome, test in found if outcome != "RERUN"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_what_the_page_says(finished: Finished, name: str) -> None:
    """Its tests pass, but for those of which the page shows how they fail."""
    if name == RERUN_RECIPE and not CAN_RERUN:
        pytest.skip("pytest-rerunfailures is not installed")
    found = outcomes(finished, name)
    defined = set(re.findall(r"^def (test_\w+)", FILES[name], re.MULTILINE))
    assert {test.partition("::")[2].partition("[")[0] for test in found} == defined, finished.output
    expected = {test: "FAILED" if test in TOLD_FAILURES else "PASSED" for test in found}
    assert found == expected, finished.output


@pytest.mark.parametrize("line", [line for line in TOLD if not line.startswith("FAILED ")])
def test_the_page_shows_what_pytest_prints(finished: Finished, line: str) -> None:
    """The messages of failing recipes."""
    assert line in finished.output


def test_nothing_else_happens(finished: Finished) -> None:
    """No error in a fixture, no test that the page does not tell of, and no folder of a soak."""
    assert set(re.findall(r"^FAILED (\S+)", finished.output, re.MULTILINE)) == TOLD_FAILURES
    assert "ERROR" not in finished.output
    assert not finished.soaked


@pytest.mark.parametrize("scenario", BUILT_IN, ids=lambda scenario: scenario.name)
def test_each_scenario_has_a_recipe(scenario: Scenario) -> None:
    """A test on the page injects it by its name."""
    assert any(f'"{scenario.name}"' in FILES[recipe] for recipe in RECIPES)


def test_the_page_lists_all_its_recipes() -> None:
    """The links at the top lead to all headings, and nowhere else."""
    links = re.findall(r"\(#([\w-]+)\)", PAGE)
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert links == anchors
