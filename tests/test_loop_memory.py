"""The loop keeps nothing of an iteration: not what pytest piles up, not what its users make it pile up."""

import gc
import logging
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import _pytest.logging
import pytest
from loop_cases import CASES, write_case

from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.plugin.suite import KEPT_TMP_PATHS, SWEEP_ITERATIONS, PytestSuite
from pytest_resilience.settings import Settings
from pytest_resilience.soak.outcome import Status

SWEEPS = 3
KEPT_PER_ITERATION = 0.5


Look = Callable[[pytest.Session], int]


class Looping:
    """A plugin that loops the tests in turn; `look` is asked after each of the sweeps."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.seen: list[int] = []
        self.sections: list[list[tuple[str, str]]] = []
        self.failures: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        suite = PytestSuite(session, Settings())
        tests = suite.tests
        with private.loop_shortcuts(session):
            for number in range(SWEEPS * SWEEP_ITERATIONS):
                outcome = suite.run(tests[number % len(tests)], tests[(number + 1) % len(tests)])
                if (number + 1) % SWEEP_ITERATIONS == 0:
                    self.seen.append(self._look(session))
                if outcome.status is Status.FAILED:
                    self.failures[:] = [outcome.text()]
        suite.close()
        return True

    @pytest.hookimpl
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.when == "teardown":
            sections = [(f"{key} {when}", text.strip()) for when, key, text in item._report_sections]
            self.sections[:] = [*self.sections[:1], sections]


def loop(folder: Path, look: Look = lambda session: 0) -> Looping:
    """Loop the tests in `folder` in this process, with no recorder of hooks and no outer log, which grow."""
    (folder / "pytest.ini").touch()
    looping = Looping(look)
    options = ["-q", "-W", "default", "--capture=fd", "--import-mode=importlib", f"--rootdir={folder}"]
    without = ["no:cacheprovider", "no:randomly", "no:asyncio"]
    root, outer = logging.getLogger(), list(logging.getLogger().handlers)
    root.handlers.clear()
    try:
        pytest.main([str(folder), *options, *(f"-p{name}" for name in without)], plugins=[looping])
    finally:
        root.handlers[:] = outer
        for module in folder.glob("test_*.py"):
            sys.modules.pop(module.stem, None)
    return looping


def write(folder: Path, source: str) -> None:
    (folder / "test_it.py").write_text(dedent(source))


def blocks(session: pytest.Session) -> int:
    gc.collect()
    return sys.getallocatedblocks()


def test_what_the_session_and_its_fixtures_keep_does_not_grow(tmp_path: Path) -> None:
    """Fixtures that finished leave no finalizer behind on what outlives them."""
    write_case("parameters of a session fixture", tmp_path)

    def finalizers(session: pytest.Session) -> int:
        return sum(len(kept) for kept, _ in session._setupstate.stack.values())

    assert len(set(loop(tmp_path, finalizers).seen)) == 1


@pytest.mark.parametrize("case", CASES)
def test_python_keeps_no_memory_of_an_iteration(case: str, tmp_path: Path) -> None:
    """From one sweep to another the number of allocated blocks stays the same, whatever the test does."""
    write_case(case, tmp_path)

    growth = [other - one for one, other in pairwise(loop(tmp_path, blocks).seen)]

    assert min(growth) / SWEEP_ITERATIONS < KEPT_PER_ITERATION


def test_a_few_warnings_of_a_place_are_kept_for_the_summary(tmp_path: Path) -> None:
    """A warning whose text changes each time is shown a few times, an unchanging one once."""
    write(
        tmp_path,
        """
        import warnings
        numbers = iter(range(10**6))
        def test():
            warnings.warn("the same")
            warnings.warn(f"number {next(numbers)}")
        """,
    )

    def warnings(session: pytest.Session) -> int:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        return len(reporter.stats["warnings"])

    assert loop(tmp_path, warnings).seen == [1 + private.KEPT_WARNINGS] * SWEEPS


def test_only_the_first_failures_keep_their_tmp_path(tmp_path: Path) -> None:
    """Folders of iterations that pass go at once, those of failures but for a few."""
    write(tmp_path, "def test(tmp_path): assert tmp_path is None")

    def folders(session: pytest.Session) -> int:
        base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        return len([path for path in base.iterdir() if path.is_dir() and not path.is_symlink()])

    assert loop(tmp_path, folders).seen == [KEPT_TMP_PATHS] * SWEEPS


def test_an_iteration_sees_its_own_output_and_log_only(tmp_path: Path) -> None:
    """What setup, call and teardown print and log is reported for each of them, as without a loop."""
    write(
        tmp_path,
        """
        import logging, os
        import pytest
        @pytest.fixture
        def own():
            print("in setup")
            logging.getLogger("shop").warning("logged in setup")
            yield
            print("in teardown")
        def test(own, caplog):
            os.system("echo in a child")
            logging.getLogger("shop").warning("logged in call")
            assert [record.message for record in caplog.records] == ["logged in call"]
            assert not caplog
        """,
    )
    first, last = loop(tmp_path).sections

    assert [name for name, _ in first] == [
        "stdout setup", "log setup", "stdout call", "log call", "stdout teardown"
    ]  # fmt: skip
    assert dict(first)["stdout call"] == "in a child"
    assert "logged in call" in dict(first)["log call"]
    assert last == first


def test_logging_that_a_test_sets_up_anew_is_still_caught(tmp_path: Path) -> None:
    """Neither a test that replaces the root handlers nor a logger that does not propagate hides a record."""
    write(
        tmp_path,
        """
        import logging
        numbers = iter(range(10**6))
        def test(caplog):
            logger = logging.getLogger(f"shop.{next(numbers) // 100}")
            logger.warning("sold")
            assert "sold" in caplog.text
            logging.basicConfig(force=True, handlers=[logging.NullHandler()])
        def test_alone(caplog):
            logging.getLogger("alone").warning("sold")
            assert "sold" in caplog.text
            logging.getLogger("alone").propagate = False
        """,
    )
    before = _pytest.logging.catching_logs

    assert loop(tmp_path).failures == []
    assert _pytest.logging.catching_logs is before
