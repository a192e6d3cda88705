"""Breakers in real soaks: hazards are recorded beside the scenarios, and count where that was asked for."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from plugin_soaks import CONFTEST, NO_CHAOS, NO_MEMORY, Finished, Project, run_together

BREAKERS = """
@pytest.fixture(scope="session")
def resilience_breakers():
    import pybreaker
    return {"test_circuit": pybreaker.CircuitBreaker(fail_max=3)}
"""
STRICTNESS = {"default": "", "wrong": "resilience_breaker_strictness = wrong\n"}


@pytest.fixture(scope="module")
def soaks(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Soak the same suite twice, differently strict."""
    root: Path = tmp_path_factory.mktemp("soaks")
    files = {"conftest.py": CONFTEST + BREAKERS}
    arguments = ("--soak-duration=4s", "--junitxml=junit.xml")
    projects = {
        name: Project(arguments, NO_MEMORY + NO_CHAOS + line, files) for name, line in STRICTNESS.items()
    }
    return run_together(root, projects)


def test_hazards_stand_beside_the_scenarios(soaks: Mapping[str, Finished]) -> None:
    """The report has seven results and all hazards; known defects of the library do not fail the run."""
    soak = soaks["default"]
    assert len(soak.report["breakers"]) == 7
    assert soak.report["circuit_breaker_tests_passed"] == 4
    fell = {one["hazard"] for one in soak.report["hazards"] if one["verdict"] == "failed"}
    assert {"interrupt_replaced", "waits_for_hung_probe", "clock_set_back"} <= fell
    assert {one["counts"] for one in soak.report["hazards"]} == {False}
    assert soak.verdicts["circuit_breakers"] == "met", soak.output


def test_hazards_are_told(soaks: Mapping[str, Finished]) -> None:
    """The terminal has a row for each that failed, the criterion their numbers."""
    output = " ".join(soaks["default"].output.split())
    assert "interrupt_replaced test_circuit wrong A KeyboardInterrupt in a call reaches the caller" in output
    assert "4 of 4 applicable scenarios passed on test_circuit, 5 wrong and " in output


def test_what_counts_decides(soaks: Mapping[str, Finished]) -> None:
    """With strictness wrong the criterion is unmet and names the hazards, in JUnit XML too."""
    soak = soaks["wrong"]
    assert soak.code == pytest.ExitCode.TESTS_FAILED
    assert soak.verdicts["circuit_breakers"] == "unmet"
    assert {one["level"] for one in soak.report["hazards"] if one["counts"]} == {"wrong"}
    cases = ET.parse(soak.folder / "junit.xml").iter("testcase")
    (criterion,) = [case for case in cases if "circuit_breakers" in case.attrib["name"]]
    failure = criterion.find("failure")
    assert failure is not None
    assert "interrupt_replaced on test_circuit: A KeyboardInterrupt in a call" in failure.attrib["message"]
