"""Which tests a soak loops, and what stays as it was without one."""

from collections.abc import Mapping

import pytest
from plugin_soaks import NO_CHAOS, NO_MEMORY, Finished, Project, run_together

SHORT = "--soak-duration=1s"
SUITE = {
    "test_shop.py": """
import pytest

@pytest.mark.soak
def test_quote():
    pass

@pytest.mark.soak
@pytest.mark.slow
def test_bet():
    pass

def test_plain():
    pass
"""
}
BROKEN = {"test_broken.py": "import there_is_no_such_module"}
UNMARKED = {"test_shop.py": "def test_plain(): pass"}
CALM = f"{NO_MEMORY}{NO_CHAOS}markers =\n    slow: takes long\n"


def project(*arguments: str, files: Mapping[str, str] | None = None) -> Project:
    """Describe a run of the suite, with some files changed."""
    return Project(arguments, CALM, {**SUITE, **(files or {})})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Every run that this file looks at."""
    projects = {
        "marked": project(SHORT),
        "all": project(SHORT, "--soak-all"),
        "by name": project(SHORT, "-k", "bet"),
        "by marker": project(SHORT, "-m", "not slow"),
        "by id": project(SHORT, "test_shop.py::test_quote"),
        "none": project(SHORT, files=UNMARKED),
        "none of that name": project(SHORT, "-k", "plain"),
        "empty": project(SHORT, files={"test_shop.py": ""}),
        "broken": project(SHORT, files=BROKEN),
        "broken, continued": project(SHORT, "--continue-on-collection-errors", files=BROKEN),
        "collected": project(SHORT, "--collect-only", "-q"),
        "plain": project("-q"),
        "plan": project(SHORT, "--soak-plan"),
    }
    return run_together(tmp_path_factory.mktemp("selection"), projects)


@pytest.mark.parametrize(
    ("name", "soaked", "counted"),
    [
        ("marked", {"test_quote", "test_bet"}, "collected 3 items / 1 deselected / 2 selected"),
        ("all", {"test_quote", "test_bet", "test_plain"}, "collected 3 items"),
        ("by name", {"test_bet"}, "collected 3 items / 2 deselected / 1 selected"),
        ("by marker", {"test_quote"}, "collected 3 items / 2 deselected / 1 selected"),
        ("by id", {"test_quote"}, "collected 1 item"),
    ],
)
def test_only_the_selected_soak_tests_are_looped(
    runs: Mapping[str, Finished], name: str, soaked: set[str], counted: str
) -> None:
    """Marked tests loop, all with --soak-all; -k, -m and ids narrow; the others are counted as deselected."""
    run = runs[name]
    assert set(run.tests) == soaked
    assert all(row["iterations"] > 10 for row in run.tests.values())
    assert counted in run.output.splitlines()


@pytest.mark.parametrize("name", ["none", "none of that name", "empty"])
def test_without_a_soak_test_a_soak_ends_with_exit_4_and_the_fix(
    runs: Mapping[str, Finished], name: str
) -> None:
    """A soak of nothing is a mistake: it says what to do, and leaves no run."""
    run = runs[name]
    assert run.code == 4
    assert (
        "ERROR: No soak test is selected. Mark tests with @pytest.mark.soak, "
        "or add --soak-all to soak every selected test." in run.output.splitlines()
    )
    assert "Traceback" not in run.output
    assert not run.soaked


def test_a_collection_error_interrupts_as_in_pytest(runs: Mapping[str, Finished]) -> None:
    """Nothing is looped when a test module cannot be imported, unless pytest is told to go on."""
    run = runs["broken"]
    assert run.code == 2
    assert "Interrupted: 1 error during collection" in run.output
    assert not run.soaked


def test_a_soak_goes_on_after_a_collection_error_if_told_to(runs: Mapping[str, Finished]) -> None:
    """With --continue-on-collection-errors the other tests are soaked; the exit code is still 1."""
    run = runs["broken, continued"]
    assert run.code == 1
    assert "1 error in" in run.output
    assert set(run.tests) == {"test_quote", "test_bet"}


def test_collect_only_lists_the_soak_tests_and_starts_none(runs: Mapping[str, Finished]) -> None:
    """`--collect-only` shows what the soak would loop."""
    run = runs["collected"]
    assert run.code == 0
    assert run.output.splitlines()[:2] == ["test_shop.py::test_quote", "test_shop.py::test_bet"]
    assert not run.soaked


def test_without_a_soak_option_every_test_runs_once_and_nothing_is_said(
    runs: Mapping[str, Finished],
) -> None:
    """A soak test is a test like any other, and the plugin is silent."""
    run = runs["plain"]
    assert run.code == 0
    assert "3 passed" in run.output
    assert "resilience" not in run.output
    assert not run.soaked


def test_the_plan_shows_everything_and_runs_nothing(runs: Mapping[str, Finished]) -> None:
    """`--soak-plan` names tests, services, scenarios, phases and criteria, and exits 0."""
    run = runs["plan"]
    assert run.code == 0
    assert not run.soaked
    lines = [" ".join(line.split()) for line in run.output.splitlines()]
    for expected in (
        "2 soak tests:",
        "test_shop.py::test_quote",
        "odds_provider shop:fetch -",
        "CHAOS_INJECTION skipped: switched off by resilience_enable_chaos_testing = false",
        "MEMORY_SOAK_TESTING 800ms loop without faults; memory monitoring is switched off by",
        "failures_outside_faults == 0",
        "memory_growth_percent < 10 no data: switched off by resilience_enable_memory_monitoring = false",
        "circuit_breakers == yes no data: no circuit breaker is registered",
    ):
        assert expected in lines
    assert not any("test_plain" in line for line in lines)


def test_the_header_names_the_seed_only_in_a_soak(runs: Mapping[str, Finished]) -> None:
    """What is needed to repeat a soak stands in its first lines."""
    header = next(line for line in runs["marked"].output.splitlines() if line.startswith("resilience: soak"))
    assert header == f"resilience: soak of 1.0s, seed {runs['marked'].report['seed']}, intensity medium"
