"""The marker `chaos`: the fault is there while the body of the test runs, on every kind of test."""

import re
from collections.abc import Mapping

import pytest
from plugin_soaks import Finished, Project, run_together

SHOP = """
import asyncio

def fetch(game):
    return 1.5

async def fetch_later(game):
    await asyncio.sleep(0)
    return 1.5

def quote(game):
    try:
        return fetch(game)
    except OSError:
        return 1.0

UNTOUCHED = fetch.__code__, fetch_later.__code__
"""
CONFTEST = """
import pytest
import shop

@pytest.fixture(scope="session")
def resilience_services():
    from pytest_resilience import Service
    calls = ["shop:fetch", "shop:fetch_later"]
    return [Service("odds", calls=calls, errors=[ConnectionError], timeout=0.01)]

@pytest.fixture(autouse=True)
def untouched_around():
    assert shop.UNTOUCHED == (shop.fetch.__code__, shop.fetch_later.__code__)
    yield
    assert shop.UNTOUCHED == (shop.fetch.__code__, shop.fetch_later.__code__)

def pytest_collection_modifyitems(items):
    for item in items:
        if item.name == "test_marked_by_a_hook":
            item.add_marker(pytest.mark.chaos("valuation_exception", "odds"))
"""
TESTS = """
import time
import unittest
import pytest
import shop
from pytest_resilience import CustomScenario, faults, first

hit = pytest.mark.chaos("valuation_exception", target="odds")
hit_once = pytest.mark.chaos("valuation_exception", target="odds", trigger=first(1))
unreached = pytest.mark.chaos("valuation_exception", "odds")

def scenarios(chaos):
    return [injection.scenario for injection in chaos.active()]

@hit
def test_in_the_body():
    with pytest.raises(ConnectionError, match="injected by pytest-resilience"):
        shop.fetch("game-1")

@pytest.mark.chaos("valuation_exception", target="odds", trigger=first(1), errors=[TimeoutError])
def test_parameters():
    with pytest.raises(TimeoutError):
        shop.fetch("game-1")
    assert shop.fetch("game-1") == 1.5

@pytest.mark.chaos("provider_timeout", target="odds", probability=0.2)
def test_a_share_of_the_calls():
    quotes = [shop.quote("game-1") for _ in range(200)]
    assert 20 <= quotes.count(1.0) <= 60

@pytest.mark.chaos(scenario="latency_spike", target="odds", delay=0.03)
@hit_once
def test_several(chaos):
    assert scenarios(chaos) == ["latency_spike", "valuation_exception"]
    with pytest.raises(ConnectionError):
        shop.fetch("game-1")
    started = time.monotonic()
    assert shop.fetch("game-1") == 1.5
    assert time.monotonic() - started >= 0.03

@hit
@pytest.mark.chaos("latency_spike", "odds", delay=0.03)
def test_several_the_other_way_round(chaos):
    assert scenarios(chaos) == ["valuation_exception", "latency_spike"]
    started = time.monotonic()
    with pytest.raises(ConnectionError):
        shop.fetch("game-1")
    assert time.monotonic() - started >= 0.03, "the newest fault meets the call first"

@pytest.mark.chaos("latency_spike", "odds", delay=0.001)
class TestClass:
    def test_one(self, chaos):
        assert scenarios(chaos) == ["latency_spike"]
        shop.fetch("game-1")

    @hit_once
    def test_and_its_own(self, chaos):
        assert scenarios(chaos) == ["latency_spike", "valuation_exception"]
        assert shop.quote("game-1") == 1.0
        assert shop.quote("game-1") == 1.5

@hit
@pytest.mark.parametrize("game", ["one", "two"])
def test_each_parameter(game):
    assert shop.quote(game) == 1.0

@pytest.mark.parametrize("price", [1.5, pytest.param(1.0, marks=hit)])
def test_one_parameter(price, request):
    assert shop.quote("game-1") == price
    assert ("chaos" in request.fixturenames) is (price == 1.0)

@pytest.mark.asyncio
@hit
async def test_asyncio():
    with pytest.raises(ConnectionError):
        await shop.fetch_later("game-1")

@pytest.fixture
def anyio_backend():
    return "asyncio"

@hit
@pytest.mark.anyio
async def test_anyio():
    with pytest.raises(ConnectionError):
        await shop.fetch_later("game-1")

class TestCase(unittest.TestCase):
    @hit
    def test_unittest(self):
        with self.assertRaises(ConnectionError):
            shop.fetch("game-1")

    @unreached
    def test_unittest_fails_by_itself(self):
        self.fail("of the test case itself")

    @unreached
    def test_unittest_never_reached(self):
        pass

    @unreached
    def test_unittest_skipped(self):
        self.skipTest("not today")

@hit
class TestSetUp(unittest.TestCase):
    def setUp(self):
        self.price = shop.quote("game-1")

    def test_unittest_has_it_in_the_body_of_pytest(self):
        assert self.price == 1.0

@hit
class TestMarkedCase(unittest.IsolatedAsyncioTestCase):
    async def test_unittest_async(self):
        with self.assertRaises(ConnectionError):
            await shop.fetch_later("game-1")

@pytest.mark.chaos("valuation_exception", "odds", duration=1)
def test_duration():
    assert shop.quote("game-1") == 1.0
    deadline = time.monotonic() + 10
    while shop.quote("game-1") == 1.0:
        assert time.monotonic() < deadline

@pytest.mark.chaos("valuation_exception", "odds", must_fire=False)
def test_need_not_fire():
    pass

@pytest.mark.chaos(CustomScenario("slow", fault=faults.Delay(0.03)), "odds")
def test_custom():
    started = time.monotonic()
    shop.fetch("game-1")
    assert time.monotonic() - started >= 0.03

def test_marked_by_a_hook():
    assert shop.quote("game-1") == 1.0

@hit
def test_beside_the_fixture(chaos):
    chaos.inject("latency_spike", "odds", delay=0.001)
    with chaos.inject("provider_timeout", "odds", trigger=first(1)):
        assert [shop.quote("game-1"), shop.quote("game-1")] == [1.0, 1.0]
        with pytest.raises(Exception, match="At most 3 scenarios may be active at once"):
            chaos.inject("database_slowdown", "odds", delay=0.001)

@unreached
def test_never_reached():
    pass

@unreached
def test_fails_by_itself():
    raise KeyError("of the test itself")

@unreached
@pytest.mark.xfail
def test_expected_to_fail():
    pass

@unreached
@pytest.mark.skip
def test_skipped():
    pass

@hit
def test_uncaught():
    shop.fetch("game-1")

@pytest.mark.chaos("valuation_exception", "odds", when=lambda game: game.no_such_field, must_fire=False)
def test_wrong_predicate():
    try:
        shop.fetch("game-1")
    except Exception:
        pass

@pytest.mark.chaos
def test_wrong_bare():
    pass

@pytest.mark.chaos(target="odds")
def test_wrong_without_scenario():
    pass

@pytest.mark.chaos(["valuation_exception"], "odds")
def test_wrong_list():
    pass

@pytest.mark.chaos("valuation_exception", ["odds"])
def test_wrong_target():
    pass

@pytest.mark.chaos("valuation_exception", "odds", 0.2)
def test_wrong_position():
    pass

@pytest.mark.chaos("valuation_excepton", "odds")
def test_wrong_scenario():
    raise KeyError("it must not run")

@pytest.mark.chaos("valuation_exception", "ods")
def test_wrong_service():
    pass

@pytest.mark.chaos("valuation_exception", "odds", delay=3)
def test_wrong_parameter():
    pass

@hit
@pytest.mark.chaos("valuation_exception", "odds", probability=2)
def test_wrong_value():
    pass

@pytest.mark.chaos("memory_pressure", "odds")
def test_wrong_kind_of_target():
    pass

@hit
@hit
@hit
@hit
def test_wrong_number():
    pass

@pytest.fixture
def too_late(request):
    request.node.add_marker(hit)

def test_wrong_time(too_late):
    pass
"""
OWN_FIXTURE = """
import pytest

@pytest.fixture
def chaos():
    return "my own"

@pytest.mark.chaos("valuation_exception", "odds")
def test_wrong_fixture():
    pass
"""
MODULE = """
import pytest
import shop
from pytest_resilience import first

pytestmark = [pytest.mark.chaos("latency_spike", "odds", delay=0.001)]

@pytest.mark.chaos("valuation_exception", "odds", trigger=first(1))
def test_module(chaos):
    assert [one.scenario for one in chaos.active()] == ["latency_spike", "valuation_exception"]
    assert [shop.quote("game-1"), shop.quote("game-1")] == [1.0, 1.5]
"""
PASS = {
    *("test_in_the_body", "test_parameters", "test_a_share_of_the_calls", "test_several"),
    *("test_several_the_other_way_round", "TestClass::test_one", "TestClass::test_and_its_own"),
    *("test_each_parameter[one]", "test_each_parameter[two]", "test_one_parameter[1.5]"),
    *("test_one_parameter[1.0]", "test_asyncio", "test_anyio", "TestCase::test_unittest"),
    *(
        "TestSetUp::test_unittest_has_it_in_the_body_of_pytest",
        "TestMarkedCase::test_unittest_async",
        "test_duration",
        "test_need_not_fire",
        "test_custom",
    ),
    *("test_marked_by_a_hook", "test_beside_the_fixture", "test_module"),
}
UNREACHED = (
    "valuation_exception-1 on odds reached 0 times: nothing called shop:fetch or shop:fetch_later "
    "while it was armed. Call it, or correct calls= of Service('odds', …)."
)
WRITE = 'Write @pytest.mark.chaos("provider_timeout", target="odds_provider").'
NO_SCENARIO = "@pytest.mark.chaos is wrong (missing a required argument: 'scenario')"
NO_EFFECT = (
    "@pytest.mark.chaos has no effect here: the marker was added after the collection, or a fixture of yours "
    "is named 'chaos', too. Add it at the collection, or give the fixture another name."
)
FAIL = {
    "test_never_reached": UNREACHED,
    "TestCase::test_unittest_never_reached": UNREACHED,
    "TestCase::test_unittest_fails_by_itself": "E       AssertionError: of the test case itself",
    "test_fails_by_itself": "E       KeyError: 'of the test itself'",
    "test_uncaught": "E   ConnectionError: injected by pytest-resilience",
    "test_wrong_predicate": "no_such_field",
    "test_wrong_scenario": "There is no scenario 'valuation_excepton'. Did you mean 'valuation_exception'?",
    "test_wrong_service": "There is no service 'ods' in resilience_services. Did you mean 'odds'?",
    "test_wrong_parameter": (
        "Scenario 'valuation_exception' takes no parameter 'delay'. "
        "It takes: probability, trigger, when, scope, errors."
    ),
    "test_wrong_value": "probability must be a share of the calls above 0 and up to 1, not 2.",
    "test_wrong_kind_of_target": (
        "Scenario 'memory_pressure' acts on the host, not on service 'odds'. Leave the target out."
    ),
    "test_wrong_number": (
        "At most 3 scenarios may be active at once; these are: "
        "valuation_exception-1, valuation_exception-2, valuation_exception-3. Remove one first."
    ),
    "test_wrong_time": NO_EFFECT,
    "test_wrong_fixture": NO_EFFECT,
}
ERROR = {
    "test_wrong_bare": f"{NO_SCENARIO}: chaos(). {WRITE}",
    "test_wrong_without_scenario": f"{NO_SCENARIO}: chaos(target='odds'). {WRITE}",
    "test_wrong_list": (
        "@pytest.mark.chaos is wrong (the scenario is no name): "
        f"chaos(['valuation_exception'], 'odds'). {WRITE}"
    ),
    "test_wrong_target": (
        "@pytest.mark.chaos is wrong (the target is no name of a service): "
        f"chaos('valuation_exception', ['odds']). {WRITE}"
    ),
    "test_wrong_position": (
        "@pytest.mark.chaos is wrong (too many positional arguments): "
        f"chaos('valuation_exception', 'odds', 0.2). {WRITE}"
    ),
}
TWICE = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, nextitem=nextitem, log=False)
    item._initrequest()
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
ASYNC = ("pytest_asyncio.plugin", "anyio.pytest_plugin")
INI = "asyncio_default_fixture_loop_scope = function\n"
FILES = {
    "shop.py": SHOP,
    "conftest.py": CONFTEST,
    "test_shop.py": TESTS,
    "test_module.py": MODULE,
    "test_own_fixture.py": OWN_FIXTURE,
}
AGAIN = {**FILES, "conftest.py": CONFTEST + TWICE}
ARGUMENTS = ("-rA", "-Werror", "--strict-markers")
WAYS = {
    "alone": Project(ARGUMENTS, INI, FILES, ASYNC),
    "under xdist": Project((*ARGUMENTS, "-n", "2"), INI, FILES, (*ASYNC, "xdist.plugin")),
    "each test twice": Project(ARGUMENTS, INI, AGAIN, ASYNC),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """The suite run once in each way."""
    return run_together(tmp_path_factory.mktemp("markers"), WAYS)


def named(run: Finished, outcome: str) -> set[str]:
    """Return the tests that the summary lists with this outcome."""
    return set(re.findall(rf"^{outcome} test_\w+\.py::(\S+)", run.output, re.MULTILINE))


def section(run: Finished, test: str) -> str:
    """Return what is told of a test that failed."""
    name = re.escape(test.replace("::", "."))
    part = re.split(rf"^_+ (?:ERROR at setup of )?{name} _+$", run.output, flags=re.MULTILINE)[1]
    return re.split(r"^(?:_{5,}|={5,}) ", part, maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("way", WAYS)
def test_marked_faults_bite_in_the_body_alone(runs: Mapping[str, Finished], way: str) -> None:
    """On functions, classes, modules, parameters, async tests and test cases, and never in a fixture."""
    run = runs[way]
    assert named(run, "PASSED") == PASS, run.output
    assert named(run, "FAILED") == set(FAIL)
    assert named(run, "ERROR") == set(ERROR)
    assert named(run, "XFAIL") == {"test_expected_to_fail"}
    assert run.output.count("SKIPPED [1] test_shop.py") == 2
    assert "INTERNALERROR" not in run.output


@pytest.mark.parametrize("test", [*FAIL, *ERROR])
def test_a_failure_says_what_is_wrong(runs: Mapping[str, Finished], test: str) -> None:
    """A fault that never fired is told with why, a wrong marker in one line with the fix."""
    told = section(runs["alone"], test)
    assert {**FAIL, **ERROR}[test] in told
    if "test_wrong" in test and test != "test_wrong_predicate":
        assert told.strip() == {**FAIL, **ERROR}[test]


@pytest.mark.parametrize("test", ["test_fails_by_itself", "TestCase::test_unittest_fails_by_itself"])
def test_a_test_that_fails_by_itself_keeps_its_own_failure(runs: Mapping[str, Finished], test: str) -> None:
    """That its fault never fired is no news then."""
    assert "reached 0 times" not in section(runs["alone"], test)


def test_a_predicate_that_raises_fails_the_test_though_the_code_swallowed_it(
    runs: Mapping[str, Finished],
) -> None:
    """What `when` did wrong is told even where the fault need not fire."""
    told = section(runs["alone"], "test_wrong_predicate").strip()
    assert told.startswith("when ")
    assert "AttributeError" in told
    assert "\n" not in told


ELSEWHERE = """
import pytest

class Case(pytest.Item):
    def runtest(self):
        pass

class Cases(pytest.File):
    def collect(self):
        yield Case.from_parent(self, name="case")

def pytest_collect_file(parent, file_path):
    return Cases.from_parent(parent, path=file_path) if file_path.suffix == ".yaml" else None

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.DoctestItem) or item.name == "case":
            item.add_marker(pytest.mark.chaos("latency_spike", "odds", delay=0.001))
"""
DOCTEST = '''
def fetch(game):
    """
    >>> fetch("game-1")
    1.5
    """
    return 1.5

UNTOUCHED = fetch.__code__, fetch.__code__
fetch_later = fetch
'''


def test_a_marker_on_other_items(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctest has fixtures, so the fault reaches it; an item without them fails with the reason."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST.partition("def pytest_coll")[0] + ELSEWHERE)
    pytester.makepyfile(shop=DOCTEST)
    pytester.makefile(".yaml", cases="")
    result = pytester.runpytest_subprocess("-p", "pytest_resilience.plugin", "--doctest-modules")
    result.assert_outcomes(passed=1, errors=1)
    assert "@pytest.mark.chaos must be on a test function, not on Case 'case'." in result.outlines


def test_the_markers_are_described(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pytest --markers` says how to write them, in one line each."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    lines = pytester.runpytest_subprocess("-p", "pytest_resilience.plugin", "--markers").outlines
    (chaos,) = [line for line in lines if line.startswith("@pytest.mark.chaos(scenario, target=None")]
    assert 'chaos("provider_timeout", target="odds_provider", probability=0.2)' in chaos
    assert "must_fire=False" in chaos
    assert any(line.startswith("@pytest.mark.soak(weight=1, survives=[]): ") for line in lines)
