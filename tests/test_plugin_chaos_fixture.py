"""The `chaos` fixture in ordinary tests: real faults, evidence that they fired, nothing left behind."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from plugin_soaks import Finished, Project, run, run_together

SHOP = """
import asyncio
import time

def fetch(game):
    return 1.5

def wait():
    time.sleep(0)

async def fetch_later(game):
    await asyncio.sleep(0)
    return 1.5

UNTOUCHED = fetch.__code__, fetch_later.__code__
"""
CONFTEST = """
import pytest
import shop

@pytest.fixture(scope="session")
def resilience_services():
    from pytest_resilience import Service
    calls = ["shop:fetch", "shop:fetch_later"]
    return [
        Service("odds", calls=calls, errors=[ConnectionError], timeout=0.05),
        Service("clock", calls=["time:sleep"], errors=[OSError]),
    ]

@pytest.fixture(autouse=True)
def untouched_afterwards():
    yield
    assert shop.UNTOUCHED == (shop.fetch.__code__, shop.fetch_later.__code__)
"""
TESTS = """
import time
import pytest
import shop
from pytest_resilience import Chaos

def test_error_is_raised(chaos: Chaos):
    with chaos.inject("valuation_exception", "odds") as event:
        with pytest.raises(ConnectionError):
            shop.fetch("game-1")
    assert (event.reached, event.fired) == (1, 1)
    assert shop.fetch("game-1") == 1.5

def test_latency_is_real(chaos):
    with chaos.inject("latency_spike", "odds", delay=0.05):
        started = time.monotonic()
        assert shop.fetch("game-1") == 1.5
    assert time.monotonic() - started >= 0.05

def test_timeout_hangs_then_raises(chaos):
    with chaos.inject("provider_timeout", "odds"), pytest.raises(TimeoutError):
        shop.fetch("game-1")

def test_ends_with_the_test(chaos):
    chaos.inject("valuation_exception", "odds")
    with pytest.raises(ConnectionError):
        shop.fetch("game-1")

def test_ends_with_an_error_in_the_test(chaos):
    chaos.inject("latency_spike", "odds", delay=0.001)
    shop.fetch("game-1")
    raise KeyError("of the test itself")

def test_error_in_the_block_gets_through(chaos):
    with pytest.raises(KeyError), chaos.inject("latency_spike", "odds", must_fire=False):
        raise KeyError("of the test itself")

def test_never_reached(chaos):
    with chaos.inject("valuation_exception", "odds"):
        pass

def test_never_fired(chaos):
    with chaos.inject("valuation_exception", "odds", probability=0.01):
        shop.fetch("game-1")

@pytest.fixture
def broken_odds(chaos):
    chaos.inject("valuation_exception", "odds")

def test_never_reached_by_fixture(broken_odds):
    pass

@pytest.fixture
def broken_at_the_end(chaos):
    yield
    chaos.inject("valuation_exception", "odds")

def test_never_reached_in_teardown(broken_at_the_end):
    pass

@pytest.mark.asyncio
async def test_never_reached_asyncio(chaos):
    chaos.inject("valuation_exception", "odds")

@pytest.mark.anyio
async def test_never_reached_anyio(chaos):
    chaos.inject("valuation_exception", "odds")

def test_skipped_under_a_fault(chaos):
    chaos.inject("valuation_exception", "odds")
    pytest.skip("not today")

@pytest.mark.xfail
def test_expected_to_fail(chaos):
    chaos.inject("valuation_exception", "odds")

def test_uncaught(chaos):
    chaos.inject("valuation_exception", "odds")
    shop.fetch("game-1")

@pytest.mark.asyncio
async def test_uncaught_asyncio(chaos):
    chaos.inject("valuation_exception", "odds")
    await shop.fetch_later("game-1")

def test_uncaught_native(chaos):
    chaos.inject("valuation_exception", "clock")
    shop.wait()

def test_need_not_fire(chaos):
    with chaos.inject("valuation_exception", "odds", must_fire=False):
        pass

def test_unknown_scenario(chaos):
    chaos.inject("latency_spyke", "odds")

def test_unknown_service(chaos):
    chaos.inject("latency_spike", "ods")

def test_wrong_parameter(chaos):
    chaos.inject("latency_spike", "odds", delay=-1)

@pytest.mark.anyio
async def test_anyio(chaos):
    with chaos.inject("valuation_exception", "odds") as event:
        with pytest.raises(ConnectionError):
            await shop.fetch_later("game-1")
    assert event.fired == 1

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.asyncio
async def test_asyncio(chaos):
    with chaos.inject("valuation_exception", "odds") as event:
        with pytest.raises(ConnectionError):
            await shop.fetch_later("game-1")
    assert event.fired == 1

def test_last_finds_nothing_patched():
    assert shop.fetch("game-1") == 1.5
"""
PASS = {
    "test_never_reached_in_teardown",
    "test_error_is_raised",
    "test_latency_is_real",
    "test_timeout_hangs_then_raises",
    "test_ends_with_the_test",
    "test_error_in_the_block_gets_through",
    "test_need_not_fire",
    "test_anyio",
    "test_asyncio",
    "test_last_finds_nothing_patched",
}
UNREACHING = (
    "test_never_reached",
    "test_never_reached_by_fixture",
    "test_never_reached_asyncio",
    "test_never_reached_anyio",
)
UNREACHED = (
    "valuation_exception-1 on odds reached 0 times: nothing called shop:fetch or shop:fetch_later "
    "while it was armed. Call it, or correct calls= of Service('odds', …)."
)
UNCAUGHT = {"test_uncaught": "shop.py:5", "test_uncaught_asyncio": "shop.py:11"}
FAIL = {
    "test_ends_with_an_error_in_the_test": "KeyError: 'of the test itself'",
    "test_unknown_scenario": "There is no scenario 'latency_spyke'. Did you mean 'latency_spike'?",
    "test_unknown_service": "There is no service 'ods' in resilience_services. Did you mean 'odds'?",
    "test_wrong_parameter": "delay must be a number of seconds above 0, not -1.",
    "test_never_fired": (
        "valuation_exception-1 on odds reached 1 time, share 0.01: the first hit comes by call 100. "
        "Call it more often, or hit every call with probability=1."
    ),
    **dict.fromkeys(UNREACHING, UNREACHED),
    **dict.fromkeys(UNCAUGHT, "ConnectionError: injected by pytest-resilience"),
    "test_uncaught_native": "OSError: injected by pytest-resilience",
}
ASYNC = ("pytest_asyncio.plugin", "anyio.pytest_plugin")
INI = "asyncio_default_fixture_loop_scope = function"
FILES = {"shop.py": SHOP, "conftest.py": CONFTEST, "test_shop.py": TESTS}
WAYS = {
    "alone": Project(("-rA", "-Werror"), INI, FILES, ASYNC),
    "under xdist": Project(("-rA", "-n", "2"), INI, FILES, (*ASYNC, "xdist.plugin")),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """The suite run once in each way."""
    return run_together(tmp_path_factory.mktemp("fixture"), WAYS)


def named(run: Finished, outcome: str) -> set[str]:
    """Return the tests that the summary lists with this outcome."""
    return set(re.findall(rf"^{outcome} test_shop\.py::(\w+)", run.output, re.MULTILINE))


@pytest.mark.parametrize("way", WAYS)
def test_faults_are_real_and_end_with_the_test(runs: Mapping[str, Finished], way: str) -> None:
    """Each injection hits its calls, in sync and async tests, also under xdist, and then is gone."""
    run = runs[way]
    assert named(run, "PASSED") == PASS, run.output
    assert named(run, "FAILED") == set(FAIL)
    assert named(run, "ERROR") == {"test_never_reached_in_teardown"}
    assert named(run, "XFAIL") == {"test_expected_to_fail"}
    assert "SKIPPED [1] test_shop.py" in run.output


@pytest.mark.parametrize("message", sorted(set(FAIL.values())))
def test_a_failure_says_what_is_wrong(runs: Mapping[str, Finished], message: str) -> None:
    """Wrong names and values are told with the nearest right one; a fault that never fired, with why."""
    assert message in runs["alone"].output


def test_a_wrong_call_is_shown_by_its_own_line(runs: Mapping[str, Finished]) -> None:
    """The report of a wrong injection ends in the test, not in the depths of the plugin."""
    assert "scenarios.py" not in runs["alone"].output
    assert "engine.py" not in runs["alone"].output


@pytest.mark.parametrize(("name", "place"), [*UNCAUGHT.items(), ("test_uncaught_native", "shop.py:9")])
def test_an_injected_error_is_shown_where_the_user_gets_it(
    runs: Mapping[str, Finished], name: str, place: str
) -> None:
    """The traceback ends in the function that was hit, or that called the compiled one that was."""
    section = re.split(rf"_+ {name} _+", runs["alone"].output)[1].partition("____")[0]
    places = re.findall(r"^(\S+\.py:\d+): ", section, re.MULTILINE)
    assert places[-1] == place
    assert "pytest_resilience/" not in section


def test_the_fixture_says_nothing_else(runs: Mapping[str, Finished]) -> None:
    """An ordinary run gets no section of the plugin and no folder."""
    assert "= resilience =" not in runs["alone"].output
    assert "INTERNALERROR" not in runs["alone"].output
    assert not runs["alone"].soaked


STAYS = """
import time
import shop

def test_stays(chaos):
    injection = chaos.inject("latency_spike", "odds", delay=0.001, duration=0.01)
    deadline = time.monotonic() + (0.2 if {stays} else 10)
    while injection.active and time.monotonic() < deadline:
        time.sleep(0.005)
    assert injection.active is {stays}
    injection.remove()
    assert not injection.active
    shop.fetch("game-1")
    assert injection.reached == 0
    injection.must_fire = False
"""


@pytest.mark.parametrize(("value", "stays"), [("false", True), ("true", False)])
def test_without_auto_recovery_a_fault_stays_beyond_its_duration(
    tmp_path: Path, value: str, stays: bool
) -> None:
    """The setting is for ordinary tests, too; whoever removes the fault is still obeyed."""
    ini = f"resilience_auto_recovery = {value}\n"
    ended = run(tmp_path / "shop", Project((), ini, {**FILES, "test_shop.py": STAYS.format(stays=stays)}))
    assert ended.code == 0, ended.output
