"""A soak in real time whose own process is out of descriptors to the end of the chaos phase."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from soak_stage import ODDS, fetch

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.clock import SystemClock
from pytest_resilience.descriptors import exhausted
from pytest_resilience.settings import Settings
from pytest_resilience.soak.criteria import CRITERIA
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.run import SoakRun
from pytest_resilience.soak.run_setup import RunSetup
from pytest_resilience.soak.world import World
from pytest_resilience.store.layout import create_folder
from pytest_resilience.store.run_data import RunData

BEGAN = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = Settings(
    duration_seconds=9.0,
    seed=7,
    auto_recovery=False,
    phase_lines=("BASELINE_ESTABLISHMENT = 700ms", "CHAOS_INJECTION = 5s"),
    criteria_lines=("failures_outside_faults == 0 abort after 1m",),
    memory_interval=0.05,
)


class Shop:
    """A suite of one test; `starved` counts how often it found the process without a descriptor."""

    tests = ("test_shop.py::test_quote",)

    def __init__(self) -> None:
        self.starved = 0

    def run(self, test: str, following: str) -> Outcome:
        began = time.perf_counter()
        time.sleep(0.01)
        fetch("a")
        self.starved += exhausted()
        return Outcome(Status.PASSED, time.perf_counter() - began)


@dataclass(frozen=True)
class Soaked:
    """A soak that is over: its record, what it said and told, and what the shop saw."""

    data: RunData
    failure: Exception | None
    said: list[str]
    told: list[tuple[str, str]]
    starved: int

    @property
    def event(self) -> ChaosEvent:
        (event,) = self.data.events
        return event


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Soaked:
    """Return a soak whose only fault was resource_exhaustion."""
    clock, shop, said = SystemClock(), Shop(), list[str]()
    told: list[tuple[str, str]] = []
    chaos = Chaos([ODDS], seed=7, clock=clock, chosen=["resource_exhaustion"])
    try:
        run = SoakRun(
            shop,
            World({"odds": ODDS}, {}, chaos),
            RunSetup(
                SETTINGS,
                create_folder(tmp_path_factory.mktemp("runs"), "resilience_test_20250102T030405Z_ab12"),
                clock,
                BEGAN,
                "pytest --soak-duration=9s",
                said.append,
                lambda event, change: told.append((event.event_id, change)),
            ),
            between=lambda: None,
        )
        run.loop()
        run.analyse()
        data, failure = run.close(lambda: None)
    finally:
        chaos.close()
    assert not exhausted()
    return Soaked(data, failure, said, told, shop.starved)


def test_the_run_is_complete(soaked: Soaked) -> None:
    """All phases, all verdicts, no complaint: also where a criterion that may abort could not be judged."""
    run = soaked.data.run
    assert (run.status, run.reason, soaked.failure, soaked.said) == ("complete", "", None, [])
    statuses = {phase.name: phase.status for phase in soaked.data.phases}
    assert {name for name, status in statuses.items() if status != "done"} == {
        "CIRCUIT_BREAKER_TESTING",
        "CASCADING_FAILURE_TESTING",
    }
    assert len(soaked.data.verdicts) == len(CRITERIA)


def test_the_suite_itself_could_open_nothing(soaked: Soaked) -> None:
    """Iteration after iteration, and the event's checks say so."""
    assert soaked.starved > 10
    event = soaked.event
    assert (event.service, event.seam, event.impact) == ("host", "host", "critical")
    assert event.fired > event.reached / 2 > 0
    assert event.detail == f"{event.fired} of {event.reached} checks met EMFILE"


def test_what_was_counted_meanwhile_is_in_the_record(soaked: Soaked) -> None:
    """Every iteration of the phase."""
    (tally,) = [one for one in soaked.data.tallies if one.phase == PhaseName.CHAOS]
    assert tally.iterations >= soaked.starved
    assert tally.failures == 0


def test_samples_are_taken_again_afterwards(soaked: Soaked) -> None:
    """Those that had no descriptor are left out; the sampler lives on."""
    removed_at = soaked.event.removed_at
    assert removed_at is not None
    assert any(sample.at > removed_at for sample in soaked.data.samples)
    assert any(sample.at > removed_at and sample.checkpoint for sample in soaked.data.samples)


def test_the_fault_stayed_to_the_end_of_the_phase_and_the_suite_came_back(soaked: Soaked) -> None:
    """As the setting asks for; each change was told once, in order."""
    event, chaos = soaked.event, soaked.data.phase(PhaseName.CHAOS)
    assert chaos is not None
    assert chaos.started is not None
    assert chaos.ended is not None
    assert event.removed_at is not None
    assert chaos.started <= event.armed_at
    assert event.removed_at - event.armed_at > 2.0
    assert event.removed_at == pytest.approx(chaos.ended, abs=1.0)
    assert event.recovered_at is not None
    changes = ("armed", "fired", "removed", "recovered")
    assert soaked.told == [(event.event_id, change) for change in changes]
