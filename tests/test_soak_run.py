"""A soak in one process in real time: store, link, conductor, sampler and runner together."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from soak_stage import HALF, ODDS, fetch

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.clock import SystemClock
from pytest_resilience.settings import Settings
from pytest_resilience.soak.criteria import CRITERIA
from pytest_resilience.soak.led_run import describe
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.run import SoakRun
from pytest_resilience.soak.run_setup import RunSetup
from pytest_resilience.soak.world import World
from pytest_resilience.store.layout import RunFolder, create_folder
from pytest_resilience.store.run_data import RunData

SETTINGS = Settings(duration_seconds=1.5, seed=7)
BEGAN = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS = {f"resilience-{name}" for name in ("conductor", "sampler", "store", "watchdog")}
"""Threads of a run; tests of breakers that deadlock leave others, which nobody can end."""


class Shop:
    """A suite of one test that really calls the dependency; `between` may end the run."""

    tests = ("test_shop.py::test_quote",)

    def __init__(self, between: Callable[[int], None] = lambda iterations: None) -> None:
        self.ran = 0
        self.on_iteration = between

    def run(self, test: str, following: str) -> Outcome:
        self.ran += 1
        began = time.perf_counter()
        time.sleep(0.005)
        try:
            fetch("a")
        except OSError as error:
            return Outcome(Status.FAILED, time.perf_counter() - began, "call", type(error).__name__)
        return Outcome(Status.PASSED, time.perf_counter() - began)

    def between(self) -> None:
        self.on_iteration(self.ran)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Return the folder of a run."""
    return create_folder(tmp_path, "resilience_test_20250102T030405Z_ab12")


def soak(folder: RunFolder, shop: Shop, settings: Settings = SETTINGS, *, chaos: bool = False) -> SoakRun:
    """Return a soak, ready to loop."""
    clock = SystemClock()
    services = {"odds": ODDS}
    world = (
        World(services, {}, Chaos(services.values(), seed=7, shares=HALF, clock=clock)) if chaos else World()
    )
    setup = RunSetup(settings, folder, clock, BEGAN, "pytest --soak-duration=2s", lambda text: None)
    return SoakRun(shop, world, setup, between=shop.between)


def finish(run: SoakRun, interruption: str = "") -> RunData:
    """Judge and close a run whose loop is over."""
    run.analyse(interruption)
    data, failure = run.close(lambda: None)
    assert failure is None
    assert not {one.name for one in threading.enumerate()} & OURS
    return data


def test_a_run_keeps_everything_and_leaves_no_thread(folder: RunFolder) -> None:
    """All nine phases, tallies, samples and verdicts are in the file, and it lasted its time."""
    began, shop = time.monotonic(), Shop()
    run = soak(folder, shop)
    run.loop()
    assert 1.5 <= time.monotonic() - began < 4.5
    data = finish(run)
    assert (data.run.status, data.run.reason, data.run.seed) == ("complete", "", 7)
    assert {phase.status for phase in data.phases} == {"done", "skipped"}
    assert len(data.phases) == 9
    assert sum(tally.iterations for tally in data.tallies) == shop.ran > 20
    assert any(sample.checkpoint for sample in data.samples)
    assert len(data.verdicts) == len(CRITERIA)
    assert {observer.name for observer in data.observers} == {"sampler", "checkpoints", "conductor"}


def test_a_criterion_that_may_abort_is_judged_while_the_run_goes_on(folder: RunFolder) -> None:
    """And a good run is not ended by it."""
    lines = ("failures_outside_faults == 0 abort after 1m",)
    run = soak(folder, Shop(), replace(SETTINGS, criteria_lines=lines))
    run.loop()
    data = finish(run)
    assert (data.run.status, data.run.reason) == ("complete", "")


def test_an_interrupt_leaves_a_partial_record_and_no_fault(folder: RunFolder) -> None:
    """The loop raises what came, and what was seen until then is kept."""

    def interrupt(iterations: int) -> None:
        if run.now().fault:
            raise KeyboardInterrupt

    settings = replace(SETTINGS, duration_seconds=40.0, phase_lines=("BASELINE_ESTABLISHMENT = 300ms",))
    shop = Shop(interrupt)
    run = soak(folder, shop, settings, chaos=True)
    with pytest.raises(KeyboardInterrupt):
        run.loop()
    data = finish(run, "KeyboardInterrupt")
    assert (data.run.status, data.run.reason) == ("interrupted", "KeyboardInterrupt")
    assert sum(tally.iterations for tally in data.tallies) == shop.ran
    (event,) = data.events
    assert event.removed_at is not None
    chaos = data.phase("CHAOS_INJECTION")
    assert chaos is not None
    assert (chaos.status, chaos.reason) == ("cut", "interrupted")
    assert fetch("a") == "A"


def test_a_defect_of_ours_is_raised_and_everything_is_stopped(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a run that says nothing."""
    run = soak(folder, Shop(), replace(SETTINGS, duration_seconds=60.0))
    monkeypatch.setattr(run._conductor, "_schedule", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.loop()
    assert finish(run, "defect").run.status == "interrupted"


def test_memory_monitoring_can_be_switched_off(folder: RunFolder) -> None:
    """Then nothing is sampled, and its criteria are not applicable."""
    run = soak(folder, Shop(), replace(SETTINGS, enable_memory_monitoring=False))
    run.loop()
    data = finish(run)
    assert data.samples == ()
    verdicts = {verdict.criterion: verdict.verdict for verdict in data.verdicts}
    assert verdicts["memory_growth_percent"] == verdicts["system_memory_percent"] == "not_applicable"


def test_what_the_teardown_raises_is_returned_after_the_record_is_closed(folder: RunFolder) -> None:
    """A failing session fixture does not cost the report."""
    run = soak(folder, Shop(lambda iterations: run._runner.stop()))
    run.loop()
    run.analyse()

    def tear_down() -> None:
        raise OSError("the server is gone")

    data, failure = run.close(tear_down)
    assert str(failure) == "the server is gone"
    cleanup = data.phase("CLEANUP")
    assert cleanup is not None
    assert cleanup.status == "done"


@pytest.mark.parametrize("settings", [Settings(seed=7), Settings(duration_seconds=1.0)])
def test_a_soak_needs_a_duration_and_a_seed(settings: Settings) -> None:
    """Both are drawn or asked for before."""
    with pytest.raises(ValueError, match=r"^A soak needs a duration and a seed\.$"):
        describe(settings, "resilience_test_x", BEGAN, "pytest")


def test_the_record_of_a_run_says_how_to_repeat_it() -> None:
    """Seed, command, settings and where it ran."""
    run = describe(SETTINGS, "resilience_test_x", BEGAN, "pytest --soak-duration=2s")
    assert (run.seed, run.command, run.started_utc) == (
        7,
        "pytest --soak-duration=2s",
        "2025-01-02T03:04:05+00:00",
    )
    assert '"seed": 7' in run.settings
    assert '"python"' in run.environment
    assert run.status == "running"
