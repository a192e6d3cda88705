"""Iterations that hang in real runs: interrupted where that is possible, else the run ends with a report."""

from collections.abc import Mapping

import pytest
from plugin_soaks import (
    CONFTEST,
    MOSTLY_CHAOS,
    NO_CHAOS,
    NO_MEMORY,
    Finished,
    Project,
    run_together,
)

HANG = """
import asyncio
import itertools
import threading
import time
import pytest
import shop

count = itertools.count()

def hang():
    {how}

def tick():
    return next(count) == 60

{test}
"""
BODY = """
@pytest.mark.soak
def test_hangs():
    assert shop.quote("game-1") > 0
    if tick():
        hang()
"""
SETUP = """
@pytest.fixture
def slow():
    if tick():
        hang()
    yield

@pytest.mark.soak
def test_hangs(slow):
    pass
"""
TEARDOWN = """
@pytest.fixture
def slow():
    yield
    if tick():
        hang()

@pytest.mark.soak
def test_hangs(slow):
    pass
"""
SLEEP = "time.sleep(1000)"
LOCK = "lock = threading.Lock(); lock.acquire(); lock.acquire()"
LOOP = "asyncio.run(waits())\n\nasync def waits():\n    await asyncio.Event().wait()"
BUSY = "\n    while True: pass"
SWALLOWS = """
    while True:
        try:
            time.sleep(0.2)
        except BaseException:
            pass"""
ITS_OWN_END = "shop.end = time.monotonic() + 1.5\n    while time.monotonic() < shop.end: time.sleep(0.1)"
HANGING_SCENARIO = """
from pytest_resilience import CustomScenario, faults

def pytest_resilience_scenarios(config):
    return [CustomScenario("hang", fault=faults.Hang(error=ConnectionError))]
"""
ONLY_HANG = "resilience_scenarios =\n    hang\n"
LIMIT = "--soak-iteration-timeout=500ms"


def hanging(how: str, test: str = BODY, *arguments: str, ini: str = NO_MEMORY + NO_CHAOS) -> Project:
    """Return a suite one of whose iterations hangs."""
    return Project(
        ("--soak-duration=4s", LIMIT, *arguments), ini, {"test_shop.py": HANG.format(how=how, test=test)}
    )


INTERRUPTIBLE = {
    "sleep": hanging(SLEEP),
    "lock": hanging(LOCK),
    "loop": hanging(LOOP),
    "busy": hanging(BUSY),
    "setup": hanging(SLEEP, SETUP),
    "teardown": hanging(SLEEP, TEARDOWN),
}
PROJECTS = {
    **INTERRUPTIBLE,
    "swallows": hanging(SWALLOWS, BODY, "--soak-duration=60s", "--junitxml=soak.xml"),
    "swallows under a fault": Project(
        ("--soak-duration=15s", LIMIT),
        NO_MEMORY + "resilience_scenarios =\n    valuation_exception\n" + MOSTLY_CHAOS,
        {
            "test_shop.py": HANG.format(how=SWALLOWS, test=BODY.replace("if tick()", "if False")).replace(
                'assert shop.quote("game-1") > 0', "if shop.quote('game-1') == 1.0: hang()"
            )
        },
    ),
    "off": Project(
        ("--soak-duration=4s", "--soak-iteration-timeout=0"),
        files={"test_shop.py": HANG.format(how=ITS_OWN_END, test=BODY)},
    ),
    "fault": Project(
        ("--soak-duration=12s", LIMIT),
        NO_MEMORY + ONLY_HANG + MOSTLY_CHAOS,
        {"conftest.py": CONFTEST + HANGING_SCENARIO},
    ),
    "baseline": Project(
        ("--soak-duration=20s", LIMIT), files={"test_shop.py": HANG.format(how=SLEEP, test=BODY)}
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Run all suites."""
    return run_together(tmp_path_factory.mktemp("hangs"), PROJECTS)


@pytest.mark.parametrize("name", INTERRUPTIBLE)
def test_an_iteration_that_hangs_fails_and_the_run_is_told_where(
    runs: Mapping[str, Finished], name: str
) -> None:
    """Stacks in the terminal, in run.log and in the report; and a traceback as of any failure."""
    run = runs[name]
    assert run.code == 1, run.output
    (hang,) = run.report["hangs"]
    assert hang["ending"] == "interrupted"
    assert hang["test"] == "test_shop.py::test_hangs"
    assert 0.5 <= hang["seconds"] < 3
    assert "MainThread:" in hang["stacks"]
    assert "in hang: " in hang["stacks"]
    log = run.run.log.read_text("utf-8")
    for text in (log, run.output):
        assert "test_shop.py::test_hangs hangs, for " in text
        assert "in hang: " in text
        assert "test_shop.py::test_hangs hung: interrupted" in text
    assert (
        "IterationTimedOut: the iteration hung: it took longer than soak_iteration_timeout (500ms)"
        in run.output
    )
    (failure,) = run.report["failures"]
    assert failure["count"] == 1
    assert run.torn_down == "untouched"
    assert "INTERNALERROR" not in run.output


def test_tasks_of_a_loop_are_shown(runs: Mapping[str, Finished]) -> None:
    """What the loop waits for is in no thread's stack."""
    (hang,) = runs["loop"].report["hangs"]
    assert "waits: await asyncio.Event().wait()" in hang["stacks"]


def test_the_stage_that_hung_is_the_one_that_failed(runs: Mapping[str, Finished]) -> None:
    """Setup and teardown too."""
    stages = {name: run.report["failures"][0]["stage"] for name, run in runs.items() if name in INTERRUPTIBLE}
    assert stages == {**dict.fromkeys(INTERRUPTIBLE, "call"), "setup": "setup", "teardown": "teardown"}


@pytest.mark.parametrize("name", ["swallows", "swallows under a fault"])
def test_what_cannot_be_interrupted_ends_the_run_with_a_report(
    runs: Mapping[str, Finished], name: str
) -> None:
    """Written by another thread; the process ends with exit code 1, long before the run's time."""
    run = runs[name]
    assert run.code == 1, run.output
    assert run.report["status"] == "aborted"
    assert run.report["reason"] == "test_shop.py::test_hangs hung and could not be interrupted"
    assert run.report["seconds"] < 30
    (hang,) = run.report["hangs"]
    assert hang["ending"] == "it could not be interrupted, so the run ends"
    assert "The run was aborted: test_shop.py::test_hangs hung and could not be interrupted." in run.output
    assert "in hang: time.sleep(0.2)" in run.output
    assert "short test summary info" in run.output
    assert run.torn_down == "never"


def test_a_hang_outside_faults_is_a_failure_and_one_under_a_fault_is_its_own(
    runs: Mapping[str, Finished],
) -> None:
    """FAILED, or PARTIAL if nothing but the fault is to blame."""
    alone, faulty = runs["swallows"].report, runs["swallows under a fault"].report
    assert alone["overall_result"] == "FAILED"
    assert [failure["crash"] for failure in alone["failures"]] == ["hung"]
    assert faulty["overall_result"] == "PARTIAL"
    assert faulty["hangs"][0]["event_id"].startswith("valuation_exception-")
    assert faulty["failures"][0]["event_id"] == faulty["hangs"][0]["event_id"]


def test_the_junit_file_is_written_all_the_same(runs: Mapping[str, Finished]) -> None:
    """CI reads it."""
    assert "hung and could not be interrupted" in (runs["swallows"].folder / "soak.xml").read_text("utf-8")


def test_the_watchdog_can_be_switched_off(runs: Mapping[str, Finished]) -> None:
    """Then slow is slow."""
    run = runs["off"]
    assert run.code == 0, run.output
    assert run.report["hangs"] == []
    assert run.tests["test_hangs"]["longest"] >= 1.5


def test_a_call_that_a_fault_lets_hang_is_no_hang(runs: Mapping[str, Finished]) -> None:
    """It ends with the fault, though it took four times the limit."""
    run = runs["fault"]
    assert run.report["events"], run.output
    assert run.report["hangs"] == []
    assert run.tests["test_quote"]["longest"] > 1.5
    assert run.verdicts["failures_outside_faults"] == "met"


def test_a_hang_before_chaos_is_a_broken_suite(runs: Mapping[str, Finished]) -> None:
    """As any failure there."""
    run = runs["baseline"]
    assert run.code == 1
    assert run.report["reason"].startswith("test_shop.py::test_hangs passes once, fails when repeated")
