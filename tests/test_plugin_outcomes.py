"""What a soak concludes: exit 0 or 1, what was skipped, not run or never reached, early ends."""

import os
import pty
import re
import subprocess
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest
from plugin_soaks import (
    HOST_SCENARIOS,
    NO_CHAOS,
    NO_HOST,
    NO_MEMORY,
    Finished,
    Project,
    run_together,
)

from pytest_resilience.chaos.scenarios import TEN

SHORT = "--soak-duration=1s"
FOUR_SERVICES = {
    "conftest.py": """
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def resilience_services():
    return [
        Service(name, calls=[f"shop:{name}"], errors=[ConnectionError], timeout=0.02)
        for name in ("odds", "props", "bets", "cache")
    ]
""",
    "shop.py": """
import time

def odds(): time.sleep(0.0005)
def props(): time.sleep(0.0005)
def bets(): time.sleep(0.0005)
def cache(): time.sleep(0.0005)
""",
    "test_shop.py": """
import contextlib
import pytest
import shop

@pytest.mark.soak
def test_all():
    for call in (shop.odds, shop.props, shop.bets, shop.cache):
        with contextlib.suppress(OSError):
            call()
""",
}
UNREACHING = """
import time
import pytest

@pytest.mark.soak
def test_elsewhere():
    time.sleep(0.001)
"""
SPARSE = """
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def resilience_services():
    return [Service("odds_provider", calls=["shop:fetch"]), Service("bets")]
"""
FAILS_LATER = """
import time
import pytest

began = time.monotonic()

@pytest.mark.soak
def test_bad():
    assert time.monotonic() - began < 1
"""


def chaos_for(seconds: str) -> str:
    return f"{NO_MEMORY}{NO_HOST}soak_phases =\n    CHAOS_INJECTION = {seconds}\n"


def seeded(seed: int) -> Project:
    return Project(("--soak-duration=5.2s", f"--resilience-seed={seed}"), chaos_for("4.6s"), FOUR_SERVICES)


OFF = (
    f"{NO_MEMORY}{NO_CHAOS}resilience_enable_circuit_breaker_testing = no\n"
    "resilience_enable_cascading_failure_testing = no\n"
)
ABORT = (
    f"{NO_MEMORY}{NO_CHAOS}soak_phases =\n    BASELINE_ESTABLISHMENT = 0.3s\n"
    "resilience_criteria =\n    failures_outside_faults == 0 abort after 1s\n"
)
OUT_OF_REACH = f"{NO_MEMORY}{NO_CHAOS}resilience_criteria =\n    failures_outside_faults >= 3\n"
RUNS = {
    "seed 7": seeded(7),
    "seed 7 again": seeded(7),
    "seed 8": seeded(8),
    "unreached": Project(("--soak-duration=3.5s",), chaos_for("2.5s"), {"test_shop.py": UNREACHING}),
    "sparse": Project(("--soak-duration=3.5s",), chaos_for("2.7s"), {"conftest.py": SPARSE}),
    "undeclared": Project((SHORT,), NO_MEMORY, {"conftest.py": ""}),
    "switched off": Project((SHORT,), OFF),
    "too short": Project((SHORT,), NO_MEMORY),
    "aborted": Project(("--soak-duration=30s",), ABORT, {"test_shop.py": FAILS_LATER}),
    "unmet": Project((SHORT, "--junitxml=junit.xml"), OUT_OF_REACH),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Every run that this file looks at."""
    return run_together(tmp_path_factory.mktemp("outcomes"), RUNS)


def schedule(run: Finished) -> list[tuple[str, str]]:
    """Return the injections of a run in their order."""
    return [(event["scenario"], event["service"]) for event in run.report["events"]]


def not_run(run: Finished) -> dict[tuple[str, str], str]:
    """Return why scenarios were not run, and what to do."""
    return {
        (one["scenario"], one["service"]): f"{one['reason']}: {one['fix']}" for one in run.report["not_run"]
    }


def test_a_seed_repeats_the_fault_schedule(runs: Mapping[str, Finished]) -> None:
    """The same seed injects the same scenarios in the same order, another seed others."""
    first, again, other = (schedule(runs[name]) for name in ("seed 7", "seed 7 again", "seed 8"))
    common = min(len(first), len(again))
    assert common >= 2
    assert first[:common] == again[:common]
    assert first[:2] != other[:2]


def test_faults_that_fired_and_recoveries_pass(runs: Mapping[str, Finished]) -> None:
    """Each event counts because its fault fired, and the suite was back afterwards."""
    run = runs["seed 7"]
    assert run.report["chaos_events_triggered"] == run.report["successful_recoveries"] >= 2
    assert run.verdicts["recovery_success_rate"] == "met"


def test_a_seam_that_is_never_reached_is_named_in_the_baseline(runs: Mapping[str, Finished]) -> None:
    """The line appears with the baseline, in the log as on the terminal, not at the end of the run."""
    run = runs["unreached"]
    told = "the suite never reaches shop:fetch of odds_provider: no fault can fire there"
    assert f"resilience: {told}" in run.output.splitlines()
    at, text = run.run.log.read_text().strip().split(maxsplit=1)
    assert text == told
    baseline = run.phases["BASELINE_ESTABLISHMENT"]
    assert float(at) == pytest.approx(baseline["ended"], abs=0.3)
    (seam,) = run.report["seams_never_reached"]
    assert (seam["service"], seam["target"]) == ("odds_provider", "shop:fetch")


def test_chaos_without_a_fault_that_fires_is_partial(runs: Mapping[str, Finished]) -> None:
    """Nothing was shown, so nothing is passed: exit 1, and what was missing is said."""
    run = runs["unreached"]
    assert run.code == 1
    assert run.report["overall_result"] == "PARTIAL"
    assert run.verdicts["recovery_success_rate"] == "inconclusive"
    assert "INCONCLUSIVE resilience::recovery_success_rate" in run.output
    assert run.report["chaos_events_triggered"] == 0
    assert run.report["recovery_success_rate"] is None


def test_a_run_too_short_for_chaos_is_partial_and_says_how_long_it_needs(
    runs: Mapping[str, Finished],
) -> None:
    """Without room for one injection the run lists all of them, with the budget that they need."""
    run = runs["too short"]
    assert run.code == 1
    assert run.report["overall_result"] == "PARTIAL"
    why = not_run(run)["latency_spike", "odds_provider"]
    assert re.fullmatch(
        r"no room in the budget of CHAOS_INJECTION: "
        r"Use --soak-duration=\S+s, or CHAOS_INJECTION = \S+s in soak_phases\.",
        why,
    )


def test_what_a_service_lacks_for_a_scenario_is_listed(runs: Mapping[str, Finished]) -> None:
    """A scenario without what it needs is not run, and the report says what to declare."""
    listed = not_run(runs["sparse"])
    assert listed["provider_timeout", "odds_provider"] == (
        "service 'odds_provider' declares no timeout: "
        "Add it in resilience_services: Service('odds_provider', timeout=2.0, …)."
    )
    assert not any(service == "bets" for _, service in listed), "a service without a seam has no faults"
    lacking = {scenario for (scenario, _), why in listed.items() if "declares no" in why}
    assert lacking == {"provider_timeout", "valuation_exception", "intermittent_errors"}
    injected = {scenario for scenario, service in schedule(runs["sparse"]) if service == "odds_provider"}
    assert injected <= {"latency_spike", "database_slowdown", "network_partition"}
    accounted = {one for one, _ in (*listed, *schedule(runs["sparse"]))}
    assert accounted == {scenario.name for scenario in TEN} - set(HOST_SCENARIOS)


def test_phases_without_a_subject_are_skipped_with_the_reason(runs: Mapping[str, Finished]) -> None:
    """A suite that declares nothing is still soaked; what concerns nothing is not applicable."""
    run = runs["undeclared"]
    reasons = {name: row["reason"] for name, row in run.phases.items() if row["status"] == "skipped"}
    assert reasons == {
        "CHAOS_INJECTION": "no declared service has a seam that a scenario can use: see resilience_services",
        "CIRCUIT_BREAKER_TESTING": "no circuit breaker is registered: see resilience_breakers",
        "CASCADING_FAILURE_TESTING": "no circuit breaker is registered: see resilience_breakers",
    }
    assert run.verdicts["recovery_success_rate"] == "not_applicable"
    assert run.report["phases_completed"][-1] == "CLEANUP"


def test_what_is_switched_off_is_skipped_and_not_applicable(runs: Mapping[str, Finished]) -> None:
    """The report names the option; memory that is not watched is not judged."""
    run = runs["switched off"]
    reasons = [row["reason"] for row in run.report["phases"] if row["status"] == "skipped"]
    assert reasons == [
        "switched off by resilience_enable_chaos_testing = false",
        "switched off by resilience_enable_circuit_breaker_testing = false",
        "switched off by resilience_enable_cascading_failure_testing = false",
    ]
    off = ("recovery_success_rate", "circuit_breakers", "cascade_recovery", "memory_growth_percent")
    assert {run.verdicts[name] for name in off} == {"not_applicable"}
    assert run.report["max_memory_usage_mb"] is None


def test_a_criterion_that_is_unmet_too_long_ends_the_run(runs: Mapping[str, Finished]) -> None:
    """`abort after 1s` saves the other 27 seconds; the report is complete."""
    run = runs["aborted"]
    assert run.code == 1
    assert run.report["seconds"] < 15
    assert run.report["status"] == "aborted"
    assert run.report["reason"].startswith("failures_outside_faults was unmet for 1.0s: ")
    assert run.report["overall_result"] == "FAILED"
    assert set(re.findall(r"^FAILED (\S+)", run.output, re.MULTILINE)) == {
        "test_shop.py::test_bad",
        "resilience::failures_outside_faults",
        "resilience::overall_result",
    }
    assert "INCONCLUSIVE" not in run.output


def test_failures_of_one_assert_are_one_kind(runs: Mapping[str, Finished]) -> None:
    """The values in an assertion's message do not make each failure a new one."""
    kinds = {failure["crash"] for failure in runs["aborted"].report["failures"]}
    assert len(kinds) == 1
    assert kinds.pop().endswith("test_shop.py:9: AssertionError")


def test_an_unmet_criterion_fails_the_run_and_its_junit_test(runs: Mapping[str, Finished]) -> None:
    """Exit 1; the criterion is a failed test with the numbers."""
    run = runs["unmet"]
    assert run.code == 1
    assert run.report["overall_result"] == "FAILED"
    failed = {
        case.get("name"): failure.text or ""
        for case in ET.parse(run.folder / "junit.xml").getroot().iter("testcase")
        for failure in case.findall("failure")
    }
    assert set(failed) >= {"failures_outside_faults", "overall_result"}
    assert failed["failures_outside_faults"].startswith("failures_outside_faults >= 3 is unmet: 0 of ")


def test_a_terminal_shows_a_live_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On a terminal one line is written over and over: phase, time, speed."""
    folder = tmp_path_factory.mktemp("terminal")
    project = Project(("--soak-duration=2s",), NO_MEMORY + NO_CHAOS)
    project.write(folder)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        project.command, cwd=folder, env=project.environment | WIDE, stdout=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
        assert process.wait(60) == 0
    os.close(ours)
    lines = [line for line in shown.decode().split("\r") if line.startswith("soak ")]
    assert len(lines) >= 2
    assert all(re.match(r"soak \S+/2\.0s \| \w+ \| [\d,]+ it/s \| 0 failures", line) for line in lines)
    assert re.search(rb"outside faults\) *\r\n", shown), "the result does not stand in the live line"
    assert b"PASSED: " in shown


WIDE = {"COLUMNS": "120"}


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""
