"""An empty iteration goes through pytest's protocol, and leaves what is set up as it is."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_resilience.memory.calibrate import WINDOW, WINDOWS
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.suite import PytestSuite
from pytest_resilience.settings import Settings
from pytest_resilience.soak.outcome import Outcome, Status

TESTS = """
import pytest

SET_UP = []


@pytest.fixture(scope="module")
def shop():
    SET_UP.append("shop")


class TestShop:
    @pytest.fixture(scope="class", autouse=True)
    def counter(self):
        SET_UP.append("counter")

    def test_quote(self, shop):
        pass

    def test_bet(self, shop):
        pass
"""
PLUGIN = """
import pytest

SEEN = []


def pytest_runtest_setup(item):
    SEEN.append(item.name)
"""


class Calibrating:
    """A plugin that runs two tests with empty iterations in between."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.set_up: list[str] = []
        self.seen: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        suite = PytestSuite(session, Settings())
        first, second = suite.tests
        with private.loop_shortcuts(session):
            self.outcomes.append(suite.run(first, second))
            for _ in range(WINDOW * WINDOWS):
                suite.run_empty(second)
            self.outcomes.append(suite.run(second, first))
        self.set_up = list(sys.modules["test_it"].SET_UP)
        self.seen = list(sys.modules["conftest"].SEEN)
        suite.close()
        return True


def test_empty_iterations_set_up_nothing_and_tear_down_nothing(tmp_path: Path) -> None:
    """Fixtures of the module and the class stay; hooks of the user's see each empty iteration."""
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_it.py").write_text(dedent(TESTS))
    calibrating = Calibrating()
    shadowed = {name: sys.modules.pop(name, None) for name in ("conftest", "test_it")}
    options = ["-q", f"--rootdir={tmp_path}", "-pno:cacheprovider", "-pno:randomly", "-pno:asyncio"]
    try:
        pytest.main([str(tmp_path), *options], plugins=[calibrating])
    finally:
        for name, module in shadowed.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    assert [outcome.status for outcome in calibrating.outcomes] == [Status.PASSED, Status.PASSED]
    assert sorted(calibrating.set_up) == ["counter", "shop"]
    assert calibrating.seen.count("resilience calibration") == WINDOW * WINDOWS
