"""Soaks in an environment full of other plugins, all loaded and all used."""

from collections.abc import Mapping

import pytest
from plugin_soaks import NO_CHAOS, NO_MEMORY, TEST, Finished, Project, run_together
from test_plugin_suites import KINDS, OTHER_MODULE

ALLURE = """
import allure
import pytest

@pytest.mark.soak
def test_with_steps():
    with allure.step("ask"):
        allure.attach("an answer", "answer")
"""
FILES = {
    "test_shop.py": KINDS,
    "test_other.py": OTHER_MODULE,
    "test_quote.py": TEST,
    "test_allure.py": ALLURE,
}
OPTIONS = (
    "--cov=shop",
    "--cov-report=xml",
    "--html=report.html",
    "--self-contained-html",
    "--alluredir=allure",
    "--reruns=1",
)
INI = NO_MEMORY + NO_CHAOS + "asyncio_default_fixture_loop_scope = function\n"
"""pytest-randomly and pytest-timeout need no option."""


def among_others(*arguments: str) -> Project:
    """Return a suite of all kinds of tests; all plugins that are installed are loaded."""
    return Project((*arguments, *OPTIONS), INI, FILES, plugins=None)


RUNS = {
    "one process": among_others("--soak-duration=8s"),
    "two workers": among_others("--soak-duration=8s", "-n2"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Run both."""
    return run_together(tmp_path_factory.mktemp("company"), RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_soak_stands_beside_them(runs: Mapping[str, Finished], name: str) -> None:
    """Nothing fails, nothing warns, and every test is looped."""
    run = runs[name]
    assert run.report["status"] == "complete", run.output
    assert run.report["failures"] == []
    assert run.verdicts["failures_outside_faults"] == "met"
    assert min(test["iterations"] for test in run.tests.values()) > 1
    assert run.torn_down == "untouched"
    assert "INTERNALERROR" not in run.output
    assert "warning" not in run.output.lower()


@pytest.mark.parametrize("name", RUNS)
def test_the_others_do_their_work(runs: Mapping[str, Finished], name: str) -> None:
    """Coverage of what the soak ran, and a page with one row for each soak test."""
    folder = runs[name].folder
    assert 'filename="shop.py"' in (folder / "coverage.xml").read_text("utf-8")
    assert 'line number="6" hits="1"' in (folder / "coverage.xml").read_text("utf-8")
    page = (folder / "report.html").read_text("utf-8")
    assert "test_quote.py::test_quote" in page
    assert "failures_outside_faults" in page


@pytest.mark.parametrize("name", RUNS)
def test_allure_does_not_write_files_for_each_iteration(runs: Mapping[str, Finished], name: str) -> None:
    """A soak of hours would fill the disk with them."""
    written = list((runs[name].folder / "allure").iterdir())
    assert len(written) < 30, len(written)
    assert runs[name].report["iterations"] > 100
