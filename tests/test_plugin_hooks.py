"""The hooks of the plugin: scenarios of the user's own, and news of each fault, in tests and in soaks."""

import re
from collections.abc import Mapping

import pytest
from plugin_soaks import CONFTEST, NO_MEMORY, TEST, Finished, Project, run_together

SCENARIOS = """
from pytest_resilience import CustomScenario, faults

def pytest_resilience_scenarios(config):
    assert config.rootpath
    return [CustomScenario("slow_fetch", "low", faults.Delay(0.002))]
"""
PLUGIN = """
class Plugin:
    def pytest_resilience_scenarios(self):
        from pytest_resilience import CustomScenario, faults
        return (CustomScenario("dead_fetch", fault=faults.Raise([ConnectionResetError])),)

def pytest_configure(config):
    config.pluginmanager.register(Plugin(), "of-a-plugin")
"""
NEWS = """
import threading

def pytest_resilience_event(event, change):
    main = threading.current_thread() is threading.main_thread()
    with open("news.txt", "a") as file:
        print(event.event_id, change, event.fired > 0, event.removed_at is not None, main, file=file)
"""
USES = """
import pytest
import shop

def test_by_name(chaos):
    with chaos.inject("dead_fetch", "odds_provider"), pytest.raises(ConnectionResetError):
        shop.fetch("game-1")
    with chaos.inject("slow_fetch", "odds_provider", probability=0.5) as event:
        [shop.fetch("game-1") for _ in range(9)]
    assert 0 < event.fired < 9

@pytest.mark.chaos("dead_fetch", target="odds_provider")
def test_marked():
    assert shop.quote("game-1") == 1.0

def test_here_there_is_no_other(chaos):
    chaos.inject("sub_fetch", "odds_provider")
"""
SUB_CONFTEST = SCENARIOS.replace("slow_fetch", "sub_fetch")
SUB = """
import pytest
import shop

@pytest.mark.chaos("sub_fetch", target="odds_provider")
def test_of_a_subfolder(chaos):
    shop.fetch("game-1")
    with chaos.inject("slow_fetch", "odds_provider"):
        shop.fetch("game-1")
"""
TOLD = """
import time
import pytest
import shop

def test_told(chaos):
    with chaos.inject("latency_spike", "odds_provider", delay=0.001):
        shop.fetch("game-1")

def test_unfired(chaos):
    chaos.inject("latency_spike", "odds_provider", delay=0.002, must_fire=False)

def test_duration(chaos):
    injection = chaos.inject("valuation_exception", "odds_provider", duration=1)
    shop.quote("game-1")
    deadline = time.monotonic() + 10
    while injection.active:
        assert time.monotonic() < deadline
        time.sleep(0.005)

def test_wrong(chaos):
    with pytest.raises(Exception, match="spare must be below"):
        chaos.inject("resource_exhaustion", spare=10**9, must_fire=False)

@pytest.mark.chaos("valuation_exception", "odds_provider")
def test_marked():
    shop.quote("game-1")
"""
BROKEN_NEWS = """
import pytest

def pytest_resilience_event(event, change):
    if change == "{change}":
        {wrong}
"""
TWO_FAULTS = """
import pytest
import shop

def test_two(chaos):
    chaos.inject("latency_spike", "odds_provider", delay=0.001)
    with chaos.inject("valuation_exception", "odds_provider", must_fire=False) as event:
        assert event.active
    assert not event.active
    shop.fetch("game-1")

def test_own_failure(chaos):
    chaos.inject("latency_spike", "odds_provider", delay=0.001)
    raise KeyError("of the test itself")

def test_after():
    assert shop.fetch.__code__ is shop.UNTOUCHED
"""
WRONG = {
    "raises": (
        "raise ValueError('no scenarios today')",
        r"A hook pytest_resilience_scenarios raised ValueError: no scenarios today \(.+conftest\.py:\d+\)\.",
    ),
    "no list": (
        "return 3",
        re.escape(
            "pytest_resilience_scenarios must be a list of CustomScenario, not 3. "
            'Return [CustomScenario("slow_and_lossy", …)].'
        ),
    ),
    "a text": (
        "return 'slow_fetch'",
        re.escape(
            "pytest_resilience_scenarios must be a list of CustomScenario, not 'slow_fetch'. "
            'Return [CustomScenario("slow_and_lossy", …)].'
        ),
    ),
    "wrong type": (
        "return ['slow_fetch']",
        re.escape("Each of the custom scenarios must be a CustomScenario, not 'slow_fetch'."),
    ),
    "taken name": (
        "return [CustomScenario('latency_spike', fault=faults.Delay(1))]",
        re.escape("There is already a scenario 'latency_spike'. Give yours another name."),
    ),
    "double name": (
        "return [CustomScenario('slow', fault=faults.Delay(1))] * 2",
        re.escape("There is already a scenario 'slow'. Give yours another name."),
    ),
    "wrong field": (
        "return [CustomScenario('slow')]",
        re.escape("CustomScenario('slow') does nothing. Give it a fault (for calls) or toxics."),
    ),
}
"""What a hook does, and the one line about it."""

ASKS = """
import pytest
import shop

@pytest.mark.soak
def test_asks(chaos):
    raise AssertionError("it must not run")
"""
CALM = f"""{NO_MEMORY}resilience_criteria =
    injection_seconds < 9
"""
SOAK_INI = f"""{CALM}soak_phases =
    BASELINE_ESTABLISHMENT = 0.5s
    CHAOS_INJECTION = 6s
resilience_scenarios =
    slow_fetch
"""


def project(*arguments: str, ini: str = "", conftest: str = "", **files: str) -> Project:
    """Describe a run of the shop's suite, its conftest with these hooks."""
    named = {f"{name.replace('__', '/')}.py": text for name, text in files.items()}
    return Project(arguments, ini, {"conftest.py": CONFTEST + conftest, **named})


def broken(change: str, wrong: str, *arguments: str) -> Project:
    """Describe a run in which a hook goes wrong at this change."""
    return project(*arguments, conftest=BROKEN_NEWS.format(change=change, wrong=wrong), test_shop=TWO_FAULTS)


def soak(wrong: str) -> Project:
    """Describe a soak in which the hook does this at a removal."""
    hooks = SCENARIOS + NEWS + f'    if change == "removed":\n        {wrong}\n'
    return project("--soak-duration=7s", ini=SOAK_INI, conftest=hooks, test_shop=TEST)


def wrongly(body: str, *arguments: str) -> Project:
    """Describe a run whose scenarios are wrong."""
    hook = f"""
from pytest_resilience import CustomScenario, faults

def pytest_resilience_scenarios():
    {body}
"""
    return project(*arguments, ini=CALM, conftest=hook, test_shop=ASKS)


RUNS = {
    "scenarios": project(
        *("-rA", "-p", "plug"),
        conftest=SCENARIOS,
        plug=PLUGIN,
        test_shop=USES,
        sub__conftest=SUB_CONFTEST,
        sub__test_sub=SUB,
    ),
    "news": project("-v", "-p", "no:randomly", conftest=NEWS, test_shop=TOLD),
    **{
        f"broken {change}": broken(change, "raise ValueError('of the hook')")
        for change in ("armed", "removed")
    },
    "failing news": broken("removed", "pytest.fail('of the hook')"),
    "ending news": broken("armed", "pytest.exit('of the hook')"),
    "soak": soak("pass"),
    "soak with broken news": soak("raise ValueError('of the hook')"),
    "soak with ending news": soak("pytest.exit('of the hook')"),
    **{f"{name}, test": wrongly(body) for name, (body, _) in WRONG.items()},
    **{f"{name}, soak": wrongly(body, "--soak-duration=5s") for name, (body, _) in WRONG.items()},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Every run that this file looks at."""
    return run_together(tmp_path_factory.mktemp("hooks"), RUNS)


def news(run: Finished) -> list[list[str]]:
    """Return the changes of each event in their order: id, change, whether fired, removed, main thread."""
    return [line.split() for line in (run.folder / "news.txt").read_text().splitlines()]


def test_scenarios_of_conftests_and_plugins_are_injected_by_name(runs: Mapping[str, Finished]) -> None:
    """In a test and in a marker; those of a subfolder are for the tests there."""
    run = runs["scenarios"]
    assert "3 passed" in run.output, run.output
    assert "1 failed" in run.output
    assert "There is no scenario 'sub_fetch'. Did you mean 'slow_fetch'?" in run.output


@pytest.mark.parametrize("name", WRONG)
def test_wrong_scenarios_fail_a_test_with_one_line(runs: Mapping[str, Finished], name: str) -> None:
    """The line says what is wrong, and there is no traceback."""
    run = runs[f"{name}, test"]
    assert run.code == 1
    told = [line for line in run.output.splitlines() if re.fullmatch(WRONG[name][1], line)]
    assert len(told) == 1, run.output
    assert "1 error in" in run.output
    assert "Traceback" not in run.output
    assert "INTERNALERROR" not in run.output


@pytest.mark.parametrize("name", WRONG)
def test_wrong_scenarios_keep_a_soak_from_beginning(runs: Mapping[str, Finished], name: str) -> None:
    """Exit 4 with the line, and everything is torn down."""
    run = runs[f"{name}, soak"]
    assert run.code == 4
    assert re.fullmatch(f"ERROR: {WRONG[name][1]}", run.output.strip().splitlines()[-1]), run.output
    assert not run.soaked
    assert run.torn_down == "untouched"


def test_news_of_a_test_come_in_order_on_its_thread(runs: Mapping[str, Finished]) -> None:
    """Also of a fault that a thread removes after its duration; what could not be armed is no news."""
    run = runs["news"]
    assert run.code == 0, run.output
    assert news(run) == [
        *(["latency_spike-1", change, fired, gone, "True"] for change, fired, gone in FIRED),
        *(["latency_spike-1", change, "False", gone, "True"] for change, gone in UNFIRED),
        *(["valuation_exception-1", change, fired, gone, "True"] for change, fired, gone in FIRED),
        *(["valuation_exception-1", change, fired, gone, "True"] for change, fired, gone in FIRED),
    ]


FIRED = (("armed", "False", "False"), ("fired", "True", "True"), ("removed", "True", "True"))
UNFIRED = (("armed", "False"), ("removed", "True"))


@pytest.mark.parametrize("name", ["broken armed", "broken removed", "failing news"])
def test_a_hook_that_raises_fails_the_test_and_keeps_no_fault(
    runs: Mapping[str, Finished], name: str
) -> None:
    """All faults are removed; the error comes in the teardown, beside the test's own failure."""
    run = runs[name]
    assert run.code == 1
    assert "1 failed, 2 passed, 2 errors in" in run.output, run.output
    assert run.output.count("of the hook") >= 2
    assert "KeyError: 'of the test itself'" in run.output
    assert "INTERNALERROR" not in run.output
    assert run.torn_down == "untouched"


def test_a_hook_may_end_the_session(runs: Mapping[str, Finished]) -> None:
    """What it raises with pytest.exit gets through, and no fault is left."""
    run = runs["ending news"]
    assert run.code == 2
    assert "Exit: of the hook" in run.output
    assert run.torn_down == "untouched"


def test_a_soak_injects_the_users_own_scenario_and_tells_of_it(runs: Mapping[str, Finished]) -> None:
    """Armed, fired, removed, recovered: in this order, between iterations on the main thread."""
    run = runs["soak"]
    assert {event["scenario"] for event in run.report["events"]} == {"slow_fetch"}
    assert run.report["chaos_events_triggered"] > 0
    told = news(run)
    assert {main for *_, main in told} == {"True"}
    first = [change for event, change, *_ in told if event == "slow_fetch-1"]
    assert first == ["armed", "fired", "removed", "recovered"]


def test_a_soak_goes_on_after_a_hook_has_raised_and_fails(runs: Mapping[str, Finished]) -> None:
    """It is told at once, in one line, and once again with the traceback in the result."""
    run = runs["soak with broken news"]
    assert run.code == 1, run.output
    lines = [line for line in run.output.splitlines() if line.startswith("resilience: a hook ")]
    assert len(lines) == 1
    assert re.fullmatch(
        r"resilience: a hook pytest_resilience_event raised ValueError: of the hook "
        r"\(.+conftest\.py:\d+\): the soak goes on and will fail",
        lines[0],
    )
    assert "pytest_resilience_event failed: ValueError: of the hook" in run.output.splitlines()
    assert "FAILED resilience::pytest_resilience_event" in run.output
    assert run.report["status"] == "complete"
    assert [change for event, change, *_ in news(run) if event == "slow_fetch-1"][-1] == "recovered"
    assert run.torn_down == "untouched"


def test_a_hook_may_end_the_soak(runs: Mapping[str, Finished]) -> None:
    """It ends as after an interruption: with a report, without faults."""
    run = runs["soak with ending news"]
    assert run.code == 2
    assert run.report["reason"] == "stopped: of the hook"
    assert run.torn_down == "untouched"
