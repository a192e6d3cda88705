"""What ends a distributed soak before its time, or before it begins: told once, with pytest's exit codes."""

from pathlib import Path

from distributed_soaks import distributed
from plugin_soaks import CONFTEST, Project, run_together

BROKEN_MODULE = "import nothing_of_that_name\n"
NO_TESTS = "def test_plain(): pass\n"
WRONG_SERVICE = """
import pytest

@pytest.fixture(scope="session")
def resilience_services():
    return ["database"]
"""
FAILING_FIXTURE = """
import pytest

@pytest.fixture(scope="session")
def resilience_services():
    raise RuntimeError("no database here")
"""
EXITING = """
import pytest

count = 0

@pytest.mark.soak
def test_quote():
    global count
    count += 1
    if count > 50:
        pytest.exit("enough", returncode=3)
"""
FAILING = """
import pytest

count = 0

@pytest.mark.soak
def test_quote():
    global count
    count += 1
    assert count < 2
"""
TEARDOWN = CONFTEST.replace("    yield\n", "    yield\n    raise RuntimeError('still in use')\n")


def test_each_ending_is_told_as_without_workers(tmp_path: Path) -> None:
    """Exit codes, and the line that says why, once."""
    projects: dict[str, Project] = {
        "no tests": distributed("-n2", files={"test_shop.py": NO_TESTS}),
        "wrong service": distributed("-n2", files={"conftest.py": WRONG_SERVICE}),
        "failing fixture": distributed("-n2", files={"conftest.py": FAILING_FIXTURE}),
        "broken module": distributed("-n2", files={"test_shop.py": BROKEN_MODULE}),
        "exit": distributed("-n2", files={"test_shop.py": EXITING}, duration="30s"),
        "failing": distributed("-n2", files={"test_shop.py": FAILING}, duration="30s"),
        "teardown": distributed("-n2", files={"conftest.py": TEARDOWN}),
    }
    expected = {
        "no tests": (4, "No soak test is selected."),
        "wrong service": (4, "Each of resilience_services must be a Service, not 'database'."),
        "failing fixture": (1, "RuntimeError: no database here"),
        "broken module": (2, "1 errors during collection"),
        "exit": (3, "enough"),
        "failing": (1, "test_shop.py::test_quote passes once, fails when repeated"),
        "teardown": (1, "RuntimeError: still in use"),
    }
    done = run_together(tmp_path, projects)
    for name, (code, text) in expected.items():
        assert "INTERNALERROR" not in done[name].output, done[name].output
        assert (done[name].code, text in done[name].output) == (code, True), done[name].output
    assert done["exit"].report["status"] == "interrupted"
    assert done["failing"].report["status"] == "aborted"
