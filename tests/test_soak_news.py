"""News of events: each change is told once, in the order in which it happened, on the tests' thread."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.soak.news import News, changes

ARMED = ChaosEvent("latency_spike-1", "latency_spike", "odds", "medium", 7, "", 10.0, 0.001)
FIRED = replace(ARMED, reached=5, fired=2)
REMOVED = replace(FIRED, removed_at=20.0)
RECOVERED = replace(REMOVED, recovered_at=22.0, waited_seconds=2.0)
GAVE_UP = replace(REMOVED, waited_seconds=120.0)
ORDER = ("armed", "fired", "removed", "gave up", "recovered")

Told = list[tuple[str, str]]


def telling() -> tuple[News, Told]:
    """Return news, and what they have told."""
    told: Told = []
    return News(lambda event, change: told.append((event.event_id, change))), told


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, ARMED, ["armed"]),
        (None, FIRED, ["armed", "fired"]),
        (None, RECOVERED, ["armed", "fired", "removed", "recovered"]),
        (ARMED, ARMED, []),
        (ARMED, FIRED, ["fired"]),
        (FIRED, replace(FIRED, reached=9, fired=3), []),
        (ARMED, REMOVED, ["fired", "removed"]),
        (ARMED, replace(ARMED, removed_at=20.0), ["removed"]),
        (REMOVED, replace(REMOVED, limit_seconds=30.0), []),
        (REMOVED, RECOVERED, ["recovered"]),
        (REMOVED, GAVE_UP, ["gave up"]),
        (GAVE_UP, replace(GAVE_UP, recovered_at=150.0), ["recovered"]),
        (RECOVERED, replace(RECOVERED, waited_seconds=3.0), []),
    ],
)
def test_what_is_new_in_a_record(before: ChaosEvent | None, after: ChaosEvent, expected: list[str]) -> None:
    """A record may bring several changes at once, or none."""
    assert list(changes(before, after)) == expected


def test_nothing_is_told_before_it_is_asked_for() -> None:
    """Records come on any thread; hooks are called on the tests' own."""
    threads: list[threading.Thread] = []
    news = News(lambda event, change: threads.append(threading.current_thread()))
    other = threading.Thread(target=news.take, args=[FIRED])
    other.start()
    other.join()
    assert not threads
    news.tell_all()
    assert threads == [threading.current_thread()] * 2


def test_the_record_that_is_told_is_the_one_that_changed() -> None:
    """Not the newest: a hook that is told "armed" sees an event that is armed."""
    seen: list[tuple[str, int, float | None]] = []
    news = News(lambda event, change: seen.append((change, event.fired, event.removed_at)))
    for record in (ARMED, FIRED, REMOVED):
        news.take(record)
    news.tell_all()
    assert seen == [("armed", 0, None), ("fired", 2, None), ("removed", 2, 20.0)]


def test_what_a_hook_raises_loses_no_later_news() -> None:
    """The rest is told the next time."""
    told: list[str] = []

    def tell(event: ChaosEvent, change: str) -> None:
        told.append(change)
        if change == "fired":
            raise ValueError("a hook of the user")

    news = News(tell)
    for record in (ARMED, FIRED, REMOVED):
        news.take(record)
    with pytest.raises(ValueError, match="a hook of the user"):
        news.tell_all()
    news.tell_all()
    assert told == ["armed", "fired", "removed"]


def test_news_may_come_while_news_are_told() -> None:
    """A hook that removes a fault brings the next change itself."""
    told: list[str] = []

    def tell(event: ChaosEvent, change: str) -> None:
        told.append(change)
        if change == "fired":
            news.take(REMOVED)

    news = News(tell)
    news.take(FIRED)
    news.tell_all()
    assert told == ["armed", "fired", "removed"]


@st.composite
def lives(draw: st.DrawFn) -> list[ChaosEvent]:
    """Draw the records of one event, each at least as far as the one before it."""
    records = [ARMED]
    for _ in range(draw(st.integers(0, 8))):
        last = records[-1]
        options = [last, replace(last, limit_seconds=30.0)]
        if last.removed_at is None:
            options += [replace(last, reached=9, fired=last.fired + 1), replace(last, removed_at=20.0)]
        elif last.fired and last.recovered_at is None:
            options += [
                replace(last, waited_seconds=9.0),
                replace(last, recovered_at=29.0, waited_seconds=9.0),
            ]
        records.append(draw(st.sampled_from(options)))
    return records


def facts(records: Sequence[ChaosEvent]) -> list[str]:
    """Return what became of an event, in order, read from all its records."""
    gave_up = any(one.waited_seconds is not None and one.recovered_at is None for one in records)
    last = records[-1]
    happened = (True, last.fired, last.removed_at is not None, gave_up, last.recovered_at is not None)
    return [change for change, did in zip(ORDER, happened, strict=True) if did]


@given(st.lists(lives(), min_size=1, max_size=4), st.data())
def test_each_change_is_told_once_and_in_order(
    histories: list[list[ChaosEvent]], data: st.DataObject
) -> None:
    """However the records of several events are mixed, and however often the news are asked for."""
    news, told = telling()
    names = [f"event-{number}" for number in range(len(histories))]
    waiting = {name: list(history) for name, history in zip(names, histories, strict=True)}
    while left := [name for name, records in waiting.items() if records]:
        name = data.draw(st.sampled_from(left))
        news.take(replace(waiting[name].pop(0), event_id=name))
        if data.draw(st.booleans()):
            news.tell_all()
    news.tell_all()
    news.tell_all()
    for name, history in zip(names, histories, strict=True):
        assert [change for event_id, change in told if event_id == name] == facts(history)
