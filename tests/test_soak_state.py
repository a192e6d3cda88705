"""What the conductor knows of its runner."""

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pytest_resilience.chaos.records import ChaosEvent, Seam
from pytest_resilience.clock import ManualClock
from pytest_resilience.memory.records import Sample
from pytest_resilience.soak import messages
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.link import Loopback
from pytest_resilience.soak.state import RunnerState
from pytest_resilience.store.records import Note, Record

ARMED = ChaosEvent("latency_spike-1", "latency_spike", "odds", "medium", 7, "", 10.0, 0.001)
REMOVED = replace(ARMED, reached=9, fired=3, removed_at=20.0)


def state_after(*heard: messages.Message) -> RunnerState:
    """Return what is known after these messages."""
    state = RunnerState()
    for message in heard:
        state.take(message)
    return state


def test_the_life_of_an_event() -> None:
    """Active, then awaited, then recovered; each change gives the whole record."""
    state = RunnerState()
    assert state.take(ARMED) == ARMED == state.active()
    assert state.take(messages.Fired(ARMED.event_id, 5, 2)) == replace(ARMED, reached=5, fired=2)
    assert state.awaited() is None
    assert state.take(REMOVED) == REMOVED == state.awaited() == state.unrecovered()
    assert state.active() is None
    recovered = replace(REMOVED, recovered_at=27.5, waited_seconds=7.5)
    assert state.take(messages.Recovered(ARMED.event_id, 27.5)) == recovered
    assert state.awaited() is None
    assert state.unrecovered() is None


def test_a_count_that_comes_after_the_removal_is_old() -> None:
    """The record of a removed event has its last counts."""
    state = state_after(ARMED, REMOVED)
    assert state.take(messages.Fired(ARMED.event_id, 1, 1)) is None
    assert state.events[ARMED.event_id] == REMOVED


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads switch as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("eager_threads")
def test_a_removal_and_a_count_may_cross_on_two_threads() -> None:
    """What is known and what is stored last are the removal, whichever thread was faster."""
    stored: dict[str, Record] = {}

    def store(record: Record) -> None:
        if isinstance(record, ChaosEvent):
            stored[record.event_id] = record

    conductor = Conductor(
        Loopback(),
        clock=ManualClock(),
        origin=0.0,
        duration=1.0,
        budgets={},
        disabled={},
        seed=7,
        store=store,
        say=lambda text: None,
    )
    events = {f"event-{number}": replace(ARMED, event_id=f"event-{number}") for number in range(3000)}
    active: list[str] = ["event-0"]
    over = threading.Event()

    def count() -> None:
        while not over.is_set():
            conductor.take(messages.Fired(active[0], 1, 1))

    runner = threading.Thread(target=count)
    runner.start()
    for active[0], event in events.items():
        conductor.take(event)
        conductor.take(replace(event, removed_at=20.0))
    over.set()
    runner.join()
    removed = {name: replace(event, removed_at=20.0) for name, event in events.items()}
    assert conductor.state.events == removed
    assert stored == removed


def test_an_event_that_is_given_up_stays_unrecovered() -> None:
    """Nobody waits for it, but the suite is still ill."""
    state = state_after(ARMED, REMOVED)
    assert state.give_up(ARMED.event_id, 140.0) == replace(REMOVED, waited_seconds=120.0)
    assert state.awaited() is None
    assert state.unrecovered() == replace(REMOVED, waited_seconds=120.0)


def test_news_of_an_unknown_event_change_nothing() -> None:
    """It may be that it could not be injected."""
    state = RunnerState()
    assert state.take(messages.Fired("latency_spike-9", 1, 1)) is None
    assert state.events == {}


def test_the_first_broken_test_is_the_one_that_counts() -> None:
    """What breaks later may be its consequence."""
    first, second = messages.Broken("test_a", "fails at once"), messages.Broken("test_b", "fails at once")
    assert state_after(first, second).broken == first


def test_the_latest_of_what_is_counted_and_all_of_what_is_told() -> None:
    """Progress replaces, troubles and seams add up, tasks end once."""
    last = messages.Progress(2.0, 20, 3, 0, 0, 1.0)
    state = state_after(
        replace(last, iterations=10),
        last,
        messages.Trouble("one"),
        messages.Trouble("two"),
        Seam("odds", "fetch", 3),
        messages.Finished("VerifyBreakers"),
    )
    assert state.progress == last
    assert state.troubles == ["one", "two"]
    assert [seam.target for seam in state.seams] == ["fetch"]
    assert state.finished == {"VerifyBreakers"}


def test_the_machines_memory_is_that_of_the_last_sample_that_read_it() -> None:
    """Not every sample reads every signal."""
    sample = Sample(1.0, "BASELINE_ESTABLISHMENT", False, 1, rss=100, system_percent=40.0)
    state = state_after(sample, replace(sample, rss=200, system_percent=None))
    assert (state.rss, state.system_percent) == (200, 40.0)


@pytest.mark.parametrize("record", [Note(1.0, "x")])
def test_other_records_are_not_the_conductors(record: Note) -> None:
    """They go to the store, and change no event."""
    assert RunnerState().take(record) is None
