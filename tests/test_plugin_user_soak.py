"""One soak as a user would write and start it, seen from all sides: output, exit code, files, JUnit XML."""

import itertools
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from plugin_soaks import Finished, Project, run

from pytest_resilience.chaos.scenarios import TEN
from pytest_resilience.soak.criteria import CRITERIA
from pytest_resilience.soak.phases import PHASES
from pytest_resilience.store.reader import read

SECONDS = 12.0
SHOP = {
    "shop/__init__.py": "",
    "shop/odds.py": """
import json
import urllib.request

class OddsClient:
    def __init__(self, url):
        self.url = url

    def fetch(self, game):
        with urllib.request.urlopen(f"{self.url}/{game}", timeout=2.0) as answer:
            return json.load(answer)
""",
    "shop/server.py": """
import http.server

class Odds(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"price": 1.5}')

    def log_message(self, *_):
        pass
""",
    "shop/betting.py": """
from dataclasses import dataclass

@dataclass
class Quote:
    price: float

class Shop:
    def __init__(self, client):
        self.client = client

    def quote(self, game):
        try:
            return Quote(self.client.fetch(game)["price"])
        except OSError:
            return Quote(1.01)
""",
}
CONFTEST = """
import http.server
import threading
import pytest
from shop.betting import Shop
from shop.odds import OddsClient
from shop.server import Odds

@pytest.fixture(scope="session")
def odds_server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odds) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

@pytest.fixture
def shop(odds_server):
    return Shop(OddsClient(odds_server))

@pytest.fixture(scope="session")
def resilience_breakers():
    import pybreaker
    return {"test_circuit": lambda: pybreaker.CircuitBreaker(fail_max=3, reset_timeout=1)}

@pytest.fixture(scope="session")
def resilience_services(odds_server):
    from pytest_resilience import Service
    return [
        Service(
            "odds_provider",
            calls=["shop.odds:OddsClient.fetch"],
            errors=[ConnectionError],
            timeout=2.0,
            timeout_error=TimeoutError,
        )
    ]
"""
TEST = """
import pytest

@pytest.mark.soak
def test_quote(shop):
    assert shop.quote("game-1").price > 0

def test_plain():
    raise AssertionError("is not soaked")
"""
INI = """
soak_phases =
    BASELINE_ESTABLISHMENT = 2s
    CHAOS_INJECTION = 4.5s
    RECOVERY_VALIDATION = 1s
resilience_criteria =
    injection_seconds < 5
"""
KEYS: Mapping[str, type | tuple[type, ...]] = {
    "test_id": str,
    "overall_result": str,
    "exit_criteria_met": bool,
    "test_duration_hours": float,
    "memory_leak_detected": bool,
    "phases_completed": list,
    "chaos_events_triggered": int,
    "successful_recoveries": int,
    "recovery_success_rate": float,
    "memory_growth_percent": float,
    "max_memory_usage_mb": float,
    "circuit_breaker_tests_passed": int,
    "cascading_failure_recovery": (bool, type(None)),
}


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The soak that every test here looks at, with all plugins that are installed."""
    files = {**SHOP, "conftest.py": CONFTEST, "test_shop.py": TEST}
    project = Project((f"--soak-hours={SECONDS / 3600}", "--junitxml=junit.xml"), INI, files, plugins=None)
    return run(tmp_path_factory.mktemp("user"), project)


@pytest.fixture(scope="module")
def junit(soak: Finished) -> ET.Element:
    """The test suite in the JUnit XML file."""
    suite = ET.parse(soak.folder / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    return suite


def test_a_soak_that_survives_exits_0(soak: Finished) -> None:
    """Every criterion that has a subject is met, and the last line counts what pytest counts."""
    assert soak.code == 0, soak.output
    assert soak.report["overall_result"] == "PASSED"
    assert set(soak.verdicts.values()) == {"met", "not_applicable"}
    assert re.search(r"= 14 passed, 3 skipped, 1 deselected in ", soak.output)


def test_a_soak_lasts_as_long_as_asked(soak: Finished) -> None:
    """The run takes the asked time within 3 s, and the report says the time that it took."""
    assert SECONDS - 0.1 <= soak.report["seconds"] <= SECONDS + 3
    assert soak.report["test_duration_hours"] == pytest.approx(soak.report["seconds"] / 3600)


def test_the_report_has_every_key(soak: Finished) -> None:
    """The keys that must stay are there, with values of their types."""
    for key, kind in KEYS.items():
        assert isinstance(soak.report[key], kind), key
    assert soak.report["exit_criteria_met"] is True
    assert soak.report["memory_leak_detected"] is False
    assert soak.report["test_id"] == soak.run.test_id
    assert re.fullmatch(r"resilience_test_\d{8}T\d{6}Z_[0-9a-f]{4}", soak.run.test_id)


def test_faults_fired_and_the_suite_recovered(soak: Finished) -> None:
    """What the report counts are events whose fault was armed, reached and fired."""
    fired = [event for event in soak.report["events"] if event["fired"]]
    assert len(fired) == soak.report["chaos_events_triggered"] == soak.report["successful_recoveries"] > 0
    assert soak.report["recovery_success_rate"] == 1.0
    for event in fired:
        assert event["service"] in ("odds_provider", "host")
        assert event["reached"] >= event["fired"]
        assert event["outcome"] == "recovered"


def test_every_phase_is_reported_with_its_times(soak: Finished) -> None:
    """The nine phases come one after the other; one without a subject is skipped with the reason."""
    rows = soak.report["phases"]
    assert [row["name"] for row in rows] == [kind.name for kind in PHASES]
    skipped = soak.phases["CASCADING_FAILURE_TESTING"]
    assert skipped["status"] == "skipped"
    assert skipped["reason"] == "no service needs another: see Service(needs=[…])"
    ran = [row for row in rows if row is not skipped]
    assert soak.report["phases_completed"] == [row["name"] for row in ran]
    assert all(before["ended"] <= after["started"] for before, after in itertools.pairwise(ran))


def test_budgets_of_phases_are_kept(soak: Finished) -> None:
    """soak_phases sets the time of a phase; what is left over goes to the memory soak."""
    baseline, memory = soak.phases["BASELINE_ESTABLISHMENT"], soak.phases["MEMORY_SOAK_TESTING"]
    assert baseline["planned_seconds"] == 2.0
    assert baseline["seconds"] == pytest.approx(2.0, abs=0.5)
    assert memory["seconds"] > memory["planned_seconds"]


def test_real_breakers_are_verified(soak: Finished) -> None:
    """The declared breaker goes through the scenarios."""
    assert soak.report["circuit_breaker_tests_passed"] > 0
    assert {result["breaker"] for result in soak.report["breakers"]} == {"test_circuit"}
    assert soak.verdicts["circuit_breakers"] == "met"


def test_what_was_not_run_is_listed_with_the_fix(soak: Finished) -> None:
    """Each of the ten was injected, or it says what it lacks: a declaration, or so much more time."""
    listed = soak.report["not_run"]
    injected = {event["scenario"] for event in soak.report["events"]}
    assert injected | {one["scenario"] for one in listed} == {scenario.name for scenario in TEN}
    fixes = {one["reason"]: one["fix"] for one in listed}
    no_spread = "no failure can spread, as no service with a seam needs another one with a seam"
    assert fixes[no_spread].startswith("Declare it in resilience_services: ")
    advice = r"Use --soak-duration=\S+s, or CHAOS_INJECTION = \S+s in soak_phases\."
    for one in listed:
        if one["possible"]:
            assert re.fullmatch(advice, one["fix"]) or one["reason"].startswith("the suite had not recovered")


def test_the_run_names_the_command_that_repeats_it(soak: Finished) -> None:
    """The seed is part of the command."""
    expected = (
        f"pytest --soak-hours={SECONDS / 3600} --junitxml=junit.xml --resilience-seed={soak.report['seed']}"
    )
    assert soak.report["command"] == expected
    assert f"Repeat with: {expected}" in soak.output.splitlines()


def test_latest_points_to_the_newest_run_and_its_files(soak: Finished) -> None:
    """The folder holds the record, the report and the log; the output names the report."""
    latest = soak.folder / ".resilience" / "latest"
    assert latest.resolve() == soak.run.path.resolve()
    assert {path.name for path in latest.iterdir()} == {"run.db", "report.json", "run.log"}
    assert f"Report: {soak.run.report_json}" in soak.output.splitlines()


def test_the_record_holds_what_the_report_tells(soak: Finished) -> None:
    """run.db can be read afterwards."""
    data = read(soak.run.database)
    assert data.run.status == "complete"
    assert data.run.seed == soak.report["seed"]
    assert sum(tally.iterations for tally in data.tallies) == soak.report["iterations"]
    assert len(data.samples) > 40


def test_junit_has_each_criterion_as_a_test(soak: Finished, junit: ET.Element) -> None:
    """Criteria without a subject are skipped tests, the others passed ones."""
    cases = {(case.get("classname"), case.get("name")): case for case in junit.findall("testcase")}
    criteria = [row.default.criterion for row in CRITERIA]
    assert set(cases) == {
        ("test_shop", "test_quote"),
        *(("resilience", criterion) for criterion in criteria),
        ("resilience", "overall_result"),
    }
    for criterion in criteria:
        skipped = cases["resilience", criterion].find("skipped") is not None
        assert skipped == (soak.verdicts[criterion] == "not_applicable")
    assert (junit.get("failures"), junit.get("errors")) == ("0", "0")


def test_junit_has_the_phases_as_properties(soak: Finished, junit: ET.Element) -> None:
    """Status and time of each phase stand in the properties of the suite."""
    given: dict[Any, Any] = {one.get("name"): one.get("value") for one in junit.iter("property")}
    assert given["resilience.test_id"] == soak.run.test_id
    assert given["resilience.overall_result"] == "PASSED"
    assert given["phase.CASCADING_FAILURE_TESTING.status"] == "skipped"
    assert given["phase.MEMORY_SOAK_TESTING.status"] == "done"
    seconds = float(given["phase.MEMORY_SOAK_TESTING.seconds"])
    assert seconds == pytest.approx(soak.phases["MEMORY_SOAK_TESTING"]["seconds"], abs=0.001)
