"""Suites that fake the file system (pyfakefs) are soaked, and may inject faults and look for leaks."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from plugin_soaks import MOSTLY_CHAOS, NO_HOST, Finished, Project, run_together

FAKING = """
import os
import pytest
import shop

@pytest.mark.soak
def test_quote(fs):
    fs.create_file("/data/odds", contents="1.5")
    assert shop.quote("game-1") > 0
    with open("/data/odds") as odds:
        assert odds.read() == "1.5"
    assert not os.path.exists("/proc/self/statm")
"""
ORDINARY = """
import time
import pytest
import shop

def test_a_fault_on_calls(fs, chaos):
    with chaos.inject("latency_spike", "odds_provider", delay=0.001) as event:
        shop.fetch("game-1")
    assert event.fired == 1

def test_a_fault_outside(fs, chaos):
    with chaos.inject("cpu_saturation", "host", load=0.3) as event:
        while not event.fired:
            time.sleep(0.05)

def test_a_loop(fs, memory_sampler):
    for _ in memory_sampler.loop(200):
        shop.quote("game-1")
    memory_sampler.assert_no_leak()

@pytest.mark.leak_limit(fds=0, iterations=20)
def test_a_limit(fs):
    shop.quote("game-1")
"""
PLUGIN = "pyfakefs.pytest_plugin"
OPTIONS = ("--soak-duration=8s",)
INI = NO_HOST + MOSTLY_CHAOS
RUNS = {
    "one process": Project(OPTIONS, INI, {"test_shop.py": FAKING}, (PLUGIN,)),
    "two workers": Project((*OPTIONS, "-n2"), INI, {"test_shop.py": FAKING}, (PLUGIN, "xdist.plugin")),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Run both."""
    return run_together(tmp_path_factory.mktemp("fake"), RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_soak_of_tests_with_fake_files_is_a_soak(runs: Mapping[str, Finished], name: str) -> None:
    """The record has samples and faults, and the tests their own files."""
    run = runs[name]
    assert run.report["status"] == "complete", run.output
    assert run.report["failures"] == [], run.output
    assert any(event["fired"] for event in run.report["events"]), run.output
    assert run.verdicts["monitoring_overhead_percent"] == "met", run.output
    assert "INTERNALERROR" not in run.output


def test_ordinary_tests_with_fake_files_may_use_everything(tmp_path: Path) -> None:
    """Faults on calls and outside, the sampler and the limit."""
    project = Project((), "", {"test_shop.py": ORDINARY}, (PLUGIN,))
    project.write(tmp_path)
    done = subprocess.run(
        project.command, cwd=tmp_path, env=project.environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
