"""The three examples do what their READMEs say: soaked at the same time, each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.chaos.scenarios import TEN

EXAMPLES = Path(__file__).parents[1] / "examples"
DURATIONS = {"odds_shop": "60s", "leaky_shop": "25s", "fragile_shop": "50s"}
HOST_SCENARIOS = ("memory_pressure", "cpu_saturation", "resource_exhaustion")
NOT_ON_THE_HOST = "resilience_scenarios=" + "\n".join(f"not {name}" for name in HOST_SCENARIOS)
MORE_CHAOS = "soak_phases=CHAOS_INJECTION = 60%"
"""Only odds_shop, which has time for all ten scenarios, loads the machine that all three share."""

SEED = 20261123
TIMEOUT_SECONDS = 180


class Soak:
    """A soak of one example that has ended."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", directory: Path) -> None:
        self.output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        self.exit_code = process.returncode
        (report,) = directory.glob("runs/*/report.json")
        self.report: dict[str, Any] = json.loads(report.read_text("utf-8"))
        self.verdicts = {row["criterion"]: row["verdict"] for row in self.report["criteria"]}


def start(name: str, directory: Path) -> "subprocess.Popen[str]":
    """Soak an example as a user does, in its own folder."""
    options = [
        f"--soak-duration={DURATIONS[name]}",
        f"--resilience-seed={SEED}",
        f"--resilience-dir={directory}",
        f"--override-ini={MORE_CHAOS if name == 'odds_shop' else NOT_ON_THE_HOST}",
    ]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.Popen(
        command, cwd=EXAMPLES / name, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.fixture(scope="module")
def soaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Soak]]:
    """Soak all three, side by side."""
    folders = {name: tmp_path_factory.mktemp(name) for name in DURATIONS}
    processes = {name: start(name, folder) for name, folder in folders.items()}
    try:
        yield {name: Soak(name, process, folders[name]) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()


def test_odds_shop_survives(soaks: dict[str, Soak]) -> None:
    """All ten scenarios fired, the shop came back from each, memory is flat: exit 0."""
    soak = soaks["odds_shop"]
    assert (soak.exit_code, soak.report["overall_result"]) == (0, "PASSED"), soak.output
    fired = {event["scenario"] for event in soak.report["events"] if event["fired"]}
    assert fired == {scenario.name for scenario in TEN}
    assert soak.report["successful_recoveries"] == soak.report["chaos_events_triggered"]
    assert soak.report["circuit_breaker_tests_passed"] == 4
    assert soak.verdicts["memory_growth_percent"] in ("met", "warning")
    assert soak.verdicts["memory_leak_detected"] == "met", "the cache of slips fills up, and is no leak"


def test_leaky_shop_is_caught(soaks: dict[str, Soak]) -> None:
    """The list that is never trimmed is a leak, and nothing else is wrong: exit 1."""
    soak = soaks["leaky_shop"]
    assert (soak.exit_code, soak.report["overall_result"]) == (1, "FAILED"), soak.output
    assert soak.report["memory_leak_detected"] is True
    assert soak.verdicts["memory_leak_detected"] == "unmet"
    assert soak.verdicts["recovery_success_rate"] == "met"
    (leak,) = (row for row in soak.report["criteria"] if row["criterion"] == "memory_leak_detected")
    named = "of shop.odds.Odds, held by conftest.AuditedShop.audit (fixture shop)"
    assert named in leak["detail"].partition(": Look")[0]


def test_fragile_shop_does_not_come_back(soaks: dict[str, Soak]) -> None:
    """The state that stays wrong after an error is no recovery: exit 1, and the event is named."""
    soak = soaks["fragile_shop"]
    assert (soak.exit_code, soak.report["overall_result"]) == (1, "FAILED"), soak.output
    lost = [event for event in soak.report["events"] if event["outcome"] == "not recovered"]
    assert lost
    shown = " ".join(soak.output.split())
    for event in lost:
        assert f"{event['event_id']} on {event['service']} did not recover within 30.0s" in shown
    assert soak.verdicts["permanent_degradation"] == "unmet"
    assert soak.verdicts["memory_leak_detected"] != "unmet"


@pytest.mark.parametrize("name", DURATIONS)
def test_the_examples_are_ordinary_suites_too(name: str) -> None:
    """Without a soak option each test runs once and passes."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=EXAMPLES / name, text=True, capture_output=True, timeout=TIMEOUT_SECONDS
    )
    assert done.returncode == 0, done.stdout
    assert "9 passed" in done.stdout
