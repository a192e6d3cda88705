"""What the iterations did: exact counts, the first text of each kind of failure, bounded memory."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.soak.legacy import Legacy
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.telemetry import (
    LONGEST_TEXT,
    MOST_KINDS_OF_FAILURE,
    OTHER,
    Telemetry,
    shortened,
)
from pytest_resilience.store.records import Failure, Tally

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["test_a", "test_b"]),
        st.sampled_from(["BASELINE_ESTABLISHMENT", "CHAOS_INJECTION"]),
        st.sampled_from(list(Status)),
        st.sampled_from(["", "event-1", "event-2"]),
        st.booleans(),  # drain afterwards
    ),
    max_size=60,
)


def failed(crash: str, text: str = "E   assert 0") -> Outcome:
    """Return an iteration that failed."""
    return Outcome(Status.FAILED, 0.1, "call", crash, lambda: text)


def outside(test: str, started: float, ended: float) -> str:
    """Let no failure belong to an event."""
    return ""


@given(STEPS)
def test_what_is_drained_adds_up_whenever_it_is_drained(
    steps: list[tuple[str, str, Status, str, bool]],
) -> None:
    """The last record of each key has the exact counts, however often one looked in between."""
    owner = ""
    telemetry = Telemetry(lambda test, started, ended: owner)
    records: dict[object, Tally | Failure] = {}

    def drain() -> None:
        for record in telemetry.drain():
            records[type(record), *(getattr(record, name) for name in record.KEY)] = record

    for at, (test, phase, status, owner, now) in enumerate(steps):
        telemetry.add(test, phase, Outcome(status, 0.1, "call", "shop.py:1: E"), float(at), at + 0.5)
        if now:
            drain()
    drain()
    tallies = [record for record in records.values() if isinstance(record, Tally)]
    failures = [record for record in records.values() if isinstance(record, Failure)]
    ran = Counter((test, phase) for test, phase, *_ in steps)
    assert {(one.test, one.phase): one.iterations for one in tallies} == ran
    bad = [(test, event) for test, _, status, event, _ in steps if status is Status.FAILED]
    assert {(one.test, one.event_id): one.count for one in failures} == Counter(bad)
    assert sum(one.failures for one in tallies) == len(bad) == telemetry.failures
    assert sum(one.failures_in_faults for one in tallies) == sum(bool(event) for _, event in bad)
    assert telemetry.failures_outside == sum(not event for _, event in bad)
    assert sum(one.skipped for one in tallies) == sum(status is Status.SKIPPED for *_, status, _, _ in steps)
    assert telemetry.iterations == len(steps)


def test_only_what_changed_is_drained() -> None:
    """A second look at the same state gives nothing."""
    telemetry = Telemetry(outside)
    telemetry.add("test_a", "CHAOS_INJECTION", failed("x"), 0.0, 1.0)
    assert len(list(telemetry.drain())) == 2
    assert list(telemetry.drain()) == []


def test_latencies_are_those_of_passes() -> None:
    """A failure at once would make a broken test look fast."""
    telemetry = Telemetry(outside)
    for seconds in (0.2, 0.2, 0.4):
        telemetry.add("test_a", "BASELINE_ESTABLISHMENT", Outcome(Status.PASSED, seconds), 0.0, 0.5)
    telemetry.add("test_a", "BASELINE_ESTABLISHMENT", failed("x"), 0.5, 3.0)
    (tally, _) = telemetry.drain()
    assert isinstance(tally, Tally)
    assert (tally.iterations, tally.failures) == (4, 1)
    assert tally.median == pytest.approx(0.2, rel=0.01)
    assert tally.longest == 2.5, "of any iteration, with its setup and teardown"
    assert tally.seconds == pytest.approx(0.8)
    assert telemetry.baseline("test_a").count == 3
    assert telemetry.baseline("test_b").count == 0


def test_a_kind_of_failure_keeps_its_first_text_and_is_built_once() -> None:
    """Building a traceback is costly: the second of the same kind is only counted."""
    telemetry = Telemetry(outside)
    built: list[int] = []

    def text(number: int) -> str:
        built.append(number)
        return f"text {number}"

    for number in range(3):
        outcome = Outcome(Status.FAILED, 0.1, "setup", "shop.py:9: E", lambda number=number: text(number))  # type: ignore[misc]
        telemetry.add("test_a", "CHAOS_INJECTION", outcome, 10.0 + number, 11.0 + number)
    failure = next(record for record in telemetry.drain() if isinstance(record, Failure))
    assert (failure.text, failure.count, failure.stage) == ("text 0", 3, "setup")
    assert (failure.first_at, failure.last_at) == (10.0, 12.0)
    assert built == [0]


@pytest.mark.parametrize("event", ["", "event-1"])
def test_ten_thousand_kinds_of_failures_are_kept_in_bounded_memory(event: str) -> None:
    """What does not fit in is counted together, and no count is lost."""
    telemetry = Telemetry(lambda test, started, ended: event)
    for number in range(10_000):
        telemetry.add("test_a", "CHAOS_INJECTION", failed(f"shop.py:{number}: E"), number, number + 0.5)
    failures = [record for record in telemetry.drain() if isinstance(record, Failure)]
    assert len(failures) == MOST_KINDS_OF_FAILURE + 1
    assert sum(failure.count for failure in failures) == 10_000
    rest = [failure for failure in failures if failure.crash == OTHER]
    assert [failure.count for failure in rest] == [10_000 - MOST_KINDS_OF_FAILURE]


def test_failures_within_faults_leave_room_for_those_outside() -> None:
    """The kind that fails the run is never lost among those that chaos caused."""
    owner = "event-1"
    telemetry = Telemetry(lambda test, started, ended: owner)
    for number in range(1000):
        telemetry.add("test_a", "CHAOS_INJECTION", failed(f"shop.py:{number}: E"), 0.0, 0.5)
    owner = ""
    telemetry.add("test_a", "MEMORY_SOAK_TESTING", failed("shop.py:12: Stale", "the evidence"), 0.0, 0.5)
    gating = [one for one in telemetry.drain() if isinstance(one, Failure) and not one.event_id]
    assert [(one.crash, one.text) for one in gating] == [("shop.py:12: Stale", "the evidence")]


def test_a_text_that_is_too_long_loses_its_middle() -> None:
    """Some megabytes of captured output in each kind of failure would fill the disk of a long run."""
    telemetry = Telemetry(outside)
    text = "begin" + "x" * 1_000_000 + "end"
    telemetry.add("test_a", "CHAOS_INJECTION", failed("x", text), 0.0, 0.5)
    (failure,) = (record for record in telemetry.drain() if isinstance(record, Failure))
    assert failure.text.startswith("beginxxx")
    assert failure.text.endswith("xxxend")
    assert f"… {len(text) - LONGEST_TEXT:,} characters left out …" in failure.text
    assert shortened("short") == "short"


@given(STEPS)
def test_a_restored_telemetry_goes_on_as_if_nothing_had_happened(
    steps: list[tuple[str, str, Status, str, bool]],
) -> None:
    """Counts, latencies and kinds of failures of two processes are those of one."""
    owner = ""
    whole, first = (Telemetry(lambda test, started, ended: owner) for _ in range(2))
    half = len(steps) // 2

    def feed(telemetry: Telemetry, some: list[tuple[str, str, Status, str, bool]], at: float) -> None:
        nonlocal owner
        for place, (test, phase, status, owner, _) in enumerate(some):
            began = at + place
            outcome = Outcome(status, 0.1 * (place % 7), "call", "shop.py:1: E")
            telemetry.add(test, phase, outcome, began, began + 0.5)

    feed(whole, steps[:half], 0.0)
    feed(whole, steps[half:], 100.0)
    feed(first, steps[:half], 0.0)
    left = list(first.drain())
    second = Telemetry(lambda test, started, ended: owner)
    second.restore(
        Legacy(
            tallies=tuple(one for one in left if isinstance(one, Tally)),
            failures=tuple(one for one in left if isinstance(one, Failure)),
        )
    )
    feed(second, steps[half:], 100.0)
    kept = {(type(one), *(getattr(one, name) for name in one.KEY)): one for one in (*left, *second.drain())}
    wanted = {(type(one), *(getattr(one, name) for name in one.KEY)): one for one in whole.drain()}
    assert kept.keys() == wanted.keys()
    for key, one in wanted.items():
        ours = kept[key]
        if isinstance(ours, Tally) and isinstance(one, Tally):
            assert ours.seconds == pytest.approx(one.seconds)
            assert replace(ours, seconds=one.seconds) == one
        else:
            assert ours == one
    assert (second.iterations, second.failures, second.failures_outside) == (
        whole.iterations,
        whole.failures,
        whole.failures_outside,
    )


def test_what_others_have_counted_adds_to_the_sums_and_stays_theirs() -> None:
    """A process that resumes a run of several workers goes on with its own counts only."""
    theirs = Tally("test_a", "BASELINE_ESTABLISHMENT", 10, 3, 1, 0, 1.0, 0.1, 0.1, 0.2, worker="gw0")
    own = replace(theirs, iterations=4, failures=2, latencies="600:2", worker="main")
    telemetry = Telemetry(outside)
    telemetry.restore(Legacy(tallies=(theirs, own), baseline=(("test_a", "600:7"), ("test_b", "500:1"))))
    assert (telemetry.iterations, telemetry.failures, telemetry.failures_outside) == (14, 5, 3)
    assert (telemetry.baseline("test_a").count, telemetry.baseline("test_b").count) == (9, 1)
    telemetry.add("test_a", "BASELINE_ESTABLISHMENT", Outcome(Status.PASSED, 0.1), 0.0, 0.1)
    (tally,) = telemetry.drain()
    assert isinstance(tally, Tally)
    assert (tally.iterations, tally.worker) == (5, "main")
