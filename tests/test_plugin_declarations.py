"""Wrong declarations: exit 4 with one line in a soak, elsewhere a failed test with that line."""

import pytest

import pytest_resilience.plugin.soak_plugin  # noqa: F401  (each run in this process would import it anew)
from pytest_resilience.breakers.libraries import MODULES

SHOP = """
import time

def fetch(game):
    return 1.5
"""
CONFTEST = """
import pathlib
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session", autouse=True)
def world():
    yield
    pathlib.Path("torn_down").touch()

@pytest.fixture(scope="session")
def resilience_services():
    {services}

@pytest.fixture(scope="session")
def resilience_breakers():
    return {breakers}
"""
TESTS = """
import pathlib
import pytest
import shop

@pytest.mark.soak
def test_quote():
    pathlib.Path("soaked").touch()

def test_chaos(chaos):
    pathlib.Path("injectable").touch()
"""
FINE = 'return [Service("odds", calls=["shop:fetch"], errors=[ConnectionError])]'
HOW = 'Write "package.module:Class.method", or give the callable itself.'
UNRESOLVABLE = (
    'return [Service("odds", calls=["shp:fetch"])]',
    f"Target 'shp:fetch': there is no module 'shp'. {HOW}",
)
UNPATCHABLE = (
    'return [Service("odds", calls=["datetime:datetime.now"])]',
    (
        "Target 'datetime:datetime.now' belongs to the immutable type 'datetime'. "
        "Use time-machine to change the time."
    ),
)
NO_LIST = ("return None", "resilience_services must be a list of Service, not None.")
WRONG_SERVICES = [
    UNRESOLVABLE,
    UNPATCHABLE,
    NO_LIST,
    (
        'return [Service("odds", calls=["shop:ftch"])]',
        "Target 'shop:ftch': shop has no 'ftch'. Did you mean 'fetch'?",
    ),
    (
        'return [Service("odds", calls=["shop:time"])]',
        "Target 'shop:time' must be a callable, not <module 'time' (built-in)>. Name a function or a method.",
    ),
    (
        'return [Service("odds", calls="shop:fetch")]',
        "Service('odds').calls must be a list, not 'shop:fetch'. Write calls=['shop:fetch'].",
    ),
    (
        'return [Service("odds", errors=[UnicodeDecodeError])]',
        (
            "A service's error must be a type that can be built from one message, an instance or a factory, "
            "not <class 'UnicodeDecodeError'>. "
            "Building it failed (function takes exactly 5 arguments (1 given)): "
            "give an instance or a factory instead."
        ),
    ),
    (
        'return [Service("odds", timeout=-1)]',
        "Service('odds').timeout must be finite and above 0, not -1.",
    ),
    (
        'return [Service("odds"), Service("odds", timeout=2)]',
        "Service 'odds' is declared twice, differently. Give each one its own name.",
    ),
    (
        'return [Service("odds", needs=["ods"])]',
        "Service 'odds' needs 'ods', which is not declared. Did you mean 'odds'?",
    ),
    ('return "odds"', "resilience_services must be a list of Service, not 'odds'."),
    ('return ["odds"]', "Each of resilience_services must be a Service, not 'odds'."),
    (
        'pytest.skip("no server")',
        "What the soak tests declare was skipped: no server. Deselect these tests, or declare what is there.",
    ),
]
SUPPORTED = f"Supported: {', '.join(sorted(MODULES))}; describe your own by a BreakerAdapter."
NO_BREAKER = "Breaker 'odds' must be a circuit breaker, or a function without arguments that returns one, "
WRONG_BREAKERS = [
    ("[1]", 'resilience_breakers must be a mapping from names, not [1]. Return {"name": breaker}.'),
    ('{"odds": 3}', f"{NO_BREAKER}not 3. {SUPPORTED}"),
    ('{"odds": dict}', f"{NO_BREAKER}not {{}}. {SUPPORTED}"),
    (
        '{"odds": divmod}',
        (
            f"{NO_BREAKER}not <built-in function divmod>. "
            "Calling it raised TypeError: divmod expected 2 arguments, got 0."
        ),
    ),
]


@pytest.fixture(autouse=True)
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load no other plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(
    pytester: pytest.Pytester, *arguments: str, services: str = FINE, breakers: str = "{}"
) -> pytest.RunResult:
    """Run the suite with these declarations, in this process: what is refused leaves nothing behind."""
    pytester.makeconftest(CONFTEST.format(services=services, breakers=breakers))
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    pytester.syspathinsert()
    return pytester.runpytest("-p", "pytest_resilience.plugin", *arguments)


def assert_refused(pytester: pytest.Pytester, result: pytest.RunResult, message: str) -> None:
    """Check that the soak never began."""
    assert [line for line in result.errlines if line] == [f"ERROR: {message}"]
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "soaked").exists()
    assert not (pytester.path / ".resilience").exists()
    assert (pytester.path / "torn_down").exists()


@pytest.mark.parametrize(("services", "message"), WRONG_SERVICES)
def test_wrong_services_are_one_line_and_exit_4_in_a_soak(
    pytester: pytest.Pytester, services: str, message: str
) -> None:
    """A soak does not begin with services that no fault could reach."""
    assert_refused(pytester, run(pytester, "--soak-duration=5s", services=services), message)


@pytest.mark.parametrize(("breakers", "message"), WRONG_BREAKERS)
def test_wrong_breakers_are_one_line_and_exit_4_in_a_soak(
    pytester: pytest.Pytester, breakers: str, message: str
) -> None:
    """A soak does not begin with a breaker that could not be verified hours later."""
    assert_refused(pytester, run(pytester, "--soak-duration=5s", breakers=breakers), message)


@pytest.mark.parametrize(("services", "message"), [UNRESOLVABLE, UNPATCHABLE, NO_LIST])
def test_wrong_services_fail_a_test_that_asks_for_chaos(
    pytester: pytest.Pytester, services: str, message: str
) -> None:
    """In an ordinary test the same line, and no traceback, is why it fails."""
    result = run(pytester, "-k", "chaos", services=services)
    result.assert_outcomes(errors=1, deselected=1)
    assert result.outlines.count(message) == 1
    assert "Traceback" not in result.stdout.str()
    assert not (pytester.path / "injectable").exists()


def test_a_declaration_that_raises_fails_with_its_traceback(pytester: pytest.Pytester) -> None:
    """An error of the fixture itself is a failure of the run: exit 1, the traceback, no soak."""
    result = run(pytester, "--soak-duration=5s", services='raise RuntimeError("no server")')
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*raise RuntimeError*", "E * RuntimeError: no server", "conftest.py:*"])
    assert "INTERNALERROR" not in result.stdout.str()
    assert not (pytester.path / ".resilience").exists()
    assert (pytester.path / "torn_down").exists()


def test_declarations_are_not_asked_for_without_need(pytester: pytest.Pytester) -> None:
    """Without a soak and without the chaos fixture a wrong declaration harms nobody."""
    run(pytester, "-k", "quote", services="raise RuntimeError").assert_outcomes(passed=1, deselected=1)
