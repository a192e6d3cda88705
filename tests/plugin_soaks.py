"""Small projects whose suites are soaked by a pytest of their own, as a user would run it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_resilience.errors import StoreError
from pytest_resilience.store.layout import RunFolder, latest_folder
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

AT_ONCE = 4
PATIENCE_SECONDS = 120

SHOP = """
import time

def fetch(game):
    time.sleep(0.001)
    return 1.5

def quote(game):
    try:
        return fetch(game)
    except OSError:
        return 1.0

UNTOUCHED = fetch.__code__
"""
CONFTEST = """
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def resilience_services():
    return [
        Service(
            "odds_provider",
            calls=["shop:fetch"],
            errors=[ConnectionError],
            timeout=0.02,
            timeout_error=TimeoutError,
        )
    ]

@pytest.fixture(scope="session", autouse=True)
def world(request):
    yield
    import shop
    state = "untouched" if shop.fetch.__code__ is shop.UNTOUCHED else "patched"
    (request.config.rootpath / "torn_down").write_text(state)
"""
TEST = """
import pytest
import shop

@pytest.mark.soak
def test_quote():
    assert shop.quote("game-1") > 0

def test_plain():
    pass
"""
DEFAULT_SIGNALS = ("env", "--default-signal=INT") if sys.platform == "linux" else ()
"""A shell's background job ignores Ctrl-C, and so would all that it starts."""

NO_MEMORY = "resilience_enable_memory_monitoring = false\n"
NO_CHAOS = "resilience_enable_chaos_testing = false\n"
HOST_SCENARIOS = ("memory_pressure", "cpu_saturation", "resource_exhaustion")
NO_HOST = "".join(["resilience_scenarios =\n", *(f"    not {name}\n" for name in HOST_SCENARIOS)])
"""For runs side by side: they would slow each other."""
OURS = ("PYTEST_", "CI", "BUILD_NUMBER", "GITHUB_")
"""Begin the names of variables that tell pytest how and where *this* run is made; with CI it prints more."""
MOSTLY_CHAOS = "soak_phases =\n    CHAOS_INJECTION = 70%\n"


@dataclass(frozen=True)
class Project:
    """A project and how its suite is run.

    Args:
        arguments: of pytest.
        ini: what stands in pytest.ini.
        files: beside those of the shop, or in place of them.
        plugins: modules of the plugins to load; None for all that are installed.
    """

    arguments: tuple[str, ...] = ("--soak-duration=2s",)
    ini: str = NO_MEMORY + NO_CHAOS
    files: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] | None = ()

    def write(self, folder: Path) -> None:
        """Write the files."""
        shop = {"shop.py": SHOP, "conftest.py": CONFTEST, "test_shop.py": TEST}
        for name, text in {**shop, "pytest.ini": f"[pytest]\n{self.ini}", **self.files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    @property
    def command(self) -> list[str]:
        plugins = ("pytest_resilience.plugin", *self.plugins) if self.plugins is not None else ()
        return [
            *(sys.executable, "-m", "pytest"),
            *(part for plugin in plugins for part in ("-p", plugin)),
            *self.arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return kept if self.plugins is None else {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@dataclass(frozen=True)
class Finished:
    """What a run left behind."""

    folder: Path
    code: int
    output: str

    @cached_property
    def run(self) -> RunFolder:
        """The newest run, which must be there."""
        found = latest_folder(self.folder / ".resilience")
        assert found is not None, self.output
        return found

    @cached_property
    def report(self) -> dict[str, Any]:
        """What report.json holds."""
        content: dict[str, Any] = json.loads(self.run.report_json.read_text("utf-8"))
        return content

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """The verdict of each criterion."""
        return {row["criterion"]: row["verdict"] for row in self.report["criteria"]}

    @cached_property
    def phases(self) -> dict[str, dict[str, Any]]:
        """The row of each phase."""
        return {row["name"]: row for row in self.report["phases"]}

    @cached_property
    def tests(self) -> dict[str, dict[str, Any]]:
        """The row of each soak test, by the part of its id behind the file."""
        return {row["test"].partition("::")[2]: row for row in self.report["tests"]}

    @property
    def soaked(self) -> bool:
        return (self.folder / ".resilience").exists()

    @property
    def torn_down(self) -> str:
        """What the session fixture told at its teardown."""
        told = self.folder / "torn_down"
        return told.read_text() if told.exists() else "never"


def run(folder: Path, project: Project) -> Finished:
    """Run the suite to its end."""
    with running(folder, project) as process:
        return finish(folder, process)


def run_together(root: Path, projects: Mapping[str, Project]) -> dict[str, Finished]:
    """Run suites side by side, each in a folder of its own: soaks take time more than work."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        folders = [root / name for name in projects]
        return dict(zip(projects, pool.map(run, folders, projects.values()), strict=True))


@contextmanager
def running(folder: Path, project: Project, *before: str) -> "Iterator[subprocess.Popen[str]]":
    """Run the suite while the block lasts, and not longer; `before` stands before the command."""
    folder.mkdir(parents=True, exist_ok=True)
    project.write(folder)
    with subprocess.Popen(
        [*DEFAULT_SIGNALS, *before, *project.command],
        cwd=folder,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(folder: Path, process: "subprocess.Popen[str]") -> Finished:
    """Wait for the end."""
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return Finished(folder, process.returncode, output)


def wait_for(folder: Path, what: Callable[[RunData], bool]) -> None:
    """Wait until the record of the run in `folder` shows it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _shows(folder, what):
        assert time.monotonic() < deadline, "the run never came that far"
        time.sleep(0.02)


def _shows(folder: Path, what: Callable[[RunData], bool]) -> bool:
    found = latest_folder(folder / ".resilience")
    try:
        return found is not None and what(read(found.database))
    except StoreError:  # the file is being made
        return False
