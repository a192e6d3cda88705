"""What a run that does not use the plugin imports of it: next to nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BREAKER_LIBRARIES = {
    "aiobreaker",
    "circuitbreaker",
    "interlock",
    "nopanic",
    "purgatory",
    "pybreaker",
    "pyresilience",
}
HEAVY = {"psutil", "sqlite3"} | BREAKER_LIBRARIES

LISTING = """
import sys


def pytest_unconfigure():
    with open("modules.txt", "w") as file:
        file.write("\\n".join(sys.modules))
"""


@pytest.fixture
def imported(tmp_path: Path) -> set[str]:
    """Run an ordinary test with no plugin but ours; return the names of all imported modules."""
    (tmp_path / "test_ordinary.py").write_text("def test():\n    pass\n")
    (tmp_path / "conftest.py").write_text(LISTING)
    command = [sys.executable, "-m", "pytest", "-p", "pytest_resilience.plugin", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    return set((tmp_path / "modules.txt").read_text().split())


def test_an_unused_plugin_imports_nothing_heavy(imported: set[str]) -> None:
    """Without a soak option only the options, the fixtures and what reads them are imported."""
    ours = {name for name in imported if name.startswith("pytest_resilience")}

    assert ours == {
        "pytest_resilience",
        "pytest_resilience._version",
        "pytest_resilience.errors",
        "pytest_resilience.option_values",
        "pytest_resilience.plugin",
        "pytest_resilience.plugin.breaker_fixtures",
        "pytest_resilience.plugin.fixtures",
        "pytest_resilience.plugin.hookspecs",
        "pytest_resilience.plugin.markers",
        "pytest_resilience.plugin.options",
        "pytest_resilience.plugin.pytest_private",
        "pytest_resilience.plugin.soak_marks",
        "pytest_resilience.option_table",
        "pytest_resilience.settings",
        "pytest_resilience.units",
    }
    assert imported.isdisjoint(HEAVY)


def test_importing_the_plugin_imports_no_helper_that_only_a_mistake_needs() -> None:
    """What suggests the right name is imported when there is a wrong one (pytest may need it itself)."""
    code = "import sys, pytest_resilience.plugin; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert "pytest_resilience.plugin" in printed.split()
    assert set(printed.split()).isdisjoint(HEAVY | {"difflib"})
