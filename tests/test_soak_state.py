"""What the conductor knows of its runner."""

import sys
import threading
from collections.abc import Callable, Iterator
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


def conductor_with(store: Callable[[Record], None]) -> Conductor:
    """Return a conductor whose records go to `store`."""
    return Conductor(
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


def state_after(*heard: messages.Message) -> RunnerState:
    """Return what is known after these messages."""
    state = RunnerState()
    for message in heard:
        state.take(message)
    return state


def test_the_life_of_an_event() -> None:
    """Active, then awaited, then recovered; each change gives the whole record."""
    state = RunnerState()
    assert state.take(ARMED) == ARMED
    assert state.active() == [ARMED]
    assert state.take(messages.Fired(ARMED.event_id, 5, 2)) == replace(ARMED, reached=5, fired=2)
    assert state.awaited() is None
    assert state.take(REMOVED) == REMOVED == state.awaited() == state.unrecovered()
    assert state.active() == []
    recovered = replace(REMOVED, recovered_at=27.5, waited_seconds=7.5)
    assert state.take(messages.Recovered(ARMED.event_id, 27.5)) == recovered
    assert state.awaited() is None
    assert state.unrecovered() is None


def test_events_that_are_injected_together_are_followed_each_for_itself() -> None:
    """Those that are armed in their order; then the first whose recovery is open, until all are back."""
    other = replace(ARMED, event_id="cpu_saturation-2", service="host")
    state = state_after(ARMED, other)
    assert state.active() == [ARMED, other]
    state.take(REMOVED)
    assert state.active() == [other]
    gone = replace(other, fired=1, removed_at=20.0)
    state.take(gone)
    assert state.active() == []
    assert state.awaited() == REMOVED
    state.take(messages.Recovered(ARMED.event_id, 21.0))
    assert state.awaited() == state.unrecovered() == gone
    state.take(messages.Recovered(gone.event_id, 22.0))
    assert state.unrecovered() is None


def test_after_an_event_that_never_fired_there_is_nothing_to_recover_from() -> None:
    """It is neither awaited nor does it keep others from being injected."""
    state = state_after(ARMED, replace(REMOVED, fired=0))
    assert (state.active(), state.awaited(), state.unrecovered()) == ([], None, None)


def test_several_events_live_side_by_side() -> None:
    """Each is active, awaited and recovered by itself; the one that was armed first is named first."""
    other = replace(ARMED, event_id="outage-2", scenario="outage", service="cache")
    state = state_after(ARMED, other)
    assert state.active() == [ARMED, other]
    state.take(messages.Fired(other.event_id, 4, 1))
    assert [event.fired for event in state.active()] == [0, 1]
    state.take(replace(other, fired=1, removed_at=20.0))
    assert state.active() == [ARMED]
    state.take(REMOVED)
    assert state.awaited() == REMOVED
    state.take(messages.Recovered(ARMED.event_id, 21.0))
    assert state.awaited() == state.unrecovered() == replace(other, fired=1, removed_at=20.0)
    state.take(messages.Recovered(other.event_id, 22.0))
    assert state.awaited() is None


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

    conductor = conductor_with(store)
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


@pytest.mark.usefixtures("eager_threads")
def test_a_limit_and_a_recovery_may_cross_on_two_threads() -> None:
    """The store has both in the end, whichever thread was first: its last record is the newest."""
    stored: dict[str, Record] = {}

    def store(record: Record) -> None:
        if isinstance(record, ChaosEvent):
            stored[record.event_id] = record

    conductor = conductor_with(store)
    events = [replace(REMOVED, event_id=f"event-{number}") for number in range(5000)]
    for event in events:
        conductor.take(event)
    turn = threading.Barrier(2)

    def recover() -> None:
        for event in events:
            turn.wait()
            conductor.take(messages.Recovered(event.event_id, 21.0))

    runner = threading.Thread(target=recover)
    runner.start()
    for event in events:
        turn.wait()
        conductor.change(event.event_id, limit_seconds=30.0)
    runner.join()
    both = [replace(event, recovered_at=21.0, waited_seconds=1.0, limit_seconds=30.0) for event in events]
    assert list(stored.values()) == list(conductor.state.events.values()) == both


def test_an_event_that_is_given_up_stays_unrecovered() -> None:
    """Nobody waits for it, but the suite is still ill."""
    state = state_after(ARMED, REMOVED)
    assert state.update_event(ARMED.event_id, waited_seconds=120.0) == replace(REMOVED, waited_seconds=120.0)
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
