"""How the report tells what faults did: seam, words, who caught the error, and the state of the process."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_runs import SEAM, event, run_data

from pytest_resilience.chaos.records import ChaosEvent, EventMetrics, NotRun
from pytest_resilience.memory.records import Sample
from pytest_resilience.report import json_report
from pytest_resilience.report.model import Report, UnreachedSeam, build
from pytest_resilience.report.table import NARROWEST, WIDTH, table
from pytest_resilience.report.terminal import MOST_NOT_RUN, lines
from pytest_resilience.soak.evidence import unreached_fix

SEAMS = ("calls", "endpoint", "process", "host", "topology")
NAMES = st.text("abcdefghij_", min_size=1, max_size=24)
WORDS = st.lists(st.text("abcdefghij0123456789.,:/", min_size=1, max_size=20), max_size=20).map(" ".join)


def metrics(event_id: str) -> tuple[EventMetrics, ...]:
    """Return what was measured of one event."""
    return tuple(
        EventMetrics(event_id, moment, 10.0 * number, 100 + number, 5, 23, 2)
        for number, moment in enumerate(("before", "during", "after"))
    )


def section(report: Report, first_word: str) -> list[str]:
    """Return the block of the report whose heading begins with a word."""
    shown = lines(report)
    begin = next(place for place, line in enumerate(shown) if line.startswith(first_word))
    end = shown.index("", begin)
    return shown[begin + 1 : end]


def test_each_event_has_its_own_metrics() -> None:
    """Three moments each, in order; in the JSON report they stand beside the event."""
    one, other = event(1, "latency_spike"), event(2, "cpu_saturation")
    data = run_data(one, other, *metrics(one.event_id), *metrics(other.event_id), without=(ChaosEvent,))
    report = build(data)
    assert [row.metrics for row in report.events] == [metrics(one.event_id), metrics(other.event_id)]
    content = json.loads(json_report.to_json(report))
    assert content["events"][1]["metrics"] == [asdict(row) for row in metrics(other.event_id)]


def test_an_event_without_metrics_is_told_all_the_same() -> None:
    """A moment without a free descriptor is left out."""
    one = event(1, "resource_exhaustion")
    before, _, after = metrics(one.event_id)
    report = build(run_data(one, before, after, without=(ChaosEvent,)))
    assert [row.moment for row in report.events[0].metrics] == ["before", "after"]
    assert [row.metrics for row in build(run_data()).events] == [(), (), ()]


@pytest.mark.parametrize("seam", SEAMS)
def test_seam_words_and_catcher_are_in_model_and_json(seam: str) -> None:
    """As they were recorded."""
    told = replace(
        event(1, "latency_spike"), seam=seam, detail="2 connections", observed="shop.py:7 in quote"
    )
    report = build(run_data(told, without=(ChaosEvent,)))
    (row,) = report.events
    assert (row.seam, row.detail, row.observed) == (seam, "2 connections", "shop.py:7 in quote")
    (content,) = json.loads(json_report.to_json(report))["events"]
    assert (content["seam"], content["detail"], content["observed"]) == (row.seam, row.detail, row.observed)


def test_faults_at_two_seams_of_one_service_are_two_faults() -> None:
    """What was injected at one says nothing about the other."""
    hit = replace(event(1, "latency_spike"), seam="calls")
    spared = NotRun("latency_spike", hit.service, "no room", "Longer.", possible=True, seam="endpoint")
    coverage = build(run_data(hit, spared, without=(ChaosEvent, NotRun))).coverage
    assert (coverage.possible, coverage.injected, coverage.never_broken) == (2, 1, ())


def test_an_endpoint_that_is_never_reached_has_its_own_fix() -> None:
    """Beside the call's."""
    call = replace(SEAM, reached=0)
    endpoint = replace(SEAM, target="127.0.0.1:5432", kind="endpoint", reached=0)
    report = build(run_data(call, endpoint))
    assert report.seams_never_reached == (
        UnreachedSeam(SEAM.service, SEAM.target, unreached_fix("calls")),
        UnreachedSeam(SEAM.service, "127.0.0.1:5432", unreached_fix("endpoint")),
    )
    shown = " ".join(" ".join(section(report, "service ")).split())
    assert shown.endswith(f"{SEAM.service} 127.0.0.1:5432 {unreached_fix('endpoint')}")


# The terminal


def test_the_columns_of_the_events() -> None:
    """One row per event: what, where, how often, how long, and what was done."""
    told = replace(
        event(1, "latency_spike"), service="db", seam="endpoint", detail="9 exchanges, 1,024 bytes"
    )
    assert lines(build(run_data(told, without=(ChaosEvent,))))[13:15] == [
        "event            target  seam      reached  fired  recovered in  what was done",
        "latency_spike-1  db      endpoint       40      4  1.5s          9 exchanges, 1,024 bytes",
    ]


def test_what_has_no_room_beside_its_event_stands_below() -> None:
    """Within the width, whatever the names are."""
    long = replace(
        event(12, "resource_exhaustion", recovered_at=None, waited_seconds=120.0),
        service="payment_provider_in_frankfurt",
        seam="endpoint",
        detail="12 connections reset, 48 new ones closed at once, 3,072 bytes",
    )
    shown = section(build(run_data(long, without=(ChaosEvent,))), "event ")
    begin = "resource_exhaustion-12  payment_provider_in_frankfurt  endpoint       40      4"
    assert shown == [
        "    what was done",
        f"{begin}  not recovered (waited 2m00s)",
        "    12 connections reset, 48 new ones closed at once, 3,072 bytes",
    ]


@st.composite
def events(draw: st.DrawFn) -> ChaosEvent:
    """Draw an event with any names and words."""
    waited = draw(st.sampled_from([None, 120.0]))
    recovered_at = None if waited else 16.5
    one = event(draw(st.integers(1, 999)), draw(NAMES), recovered_at=recovered_at, waited_seconds=waited)
    return replace(
        one, service=draw(NAMES), seam=draw(st.sampled_from(SEAMS)), detail=draw(WORDS), observed=draw(WORDS)
    )


@given(st.lists(events(), max_size=8, unique_by=lambda one: one.event_id))
def test_no_event_is_wider_than_a_terminal(found: list[ChaosEvent]) -> None:
    """And none is missing."""
    shown = lines(build(run_data(*found, without=(ChaosEvent, Sample))))
    assert max(map(len, shown)) <= WIDTH
    assert all(any(line.startswith(one.event_id) for line in shown) for one in found)


CELL = st.text("abc", max_size=30)


@given(st.lists(st.tuples(CELL, CELL, WORDS), min_size=1, max_size=5))
def test_the_last_column_loses_no_word(rows: list[tuple[str, str, str]]) -> None:
    """Beside or below, in its order; no line is wider than its first columns make it."""
    found = table(("one", "two", "three"), rows)
    words = [word for row in rows for cell in row for word in cell.split()]
    assert [word for line in found for word in line.split() if word not in ("one", "two", "three")] == words
    assert max(map(len, found), default=0) <= WIDTH
    assert NARROWEST < WIDTH


SCENARIOS = ("cascading_failure", "database_slowdown", "latency_spike")


def no_room(
    count: int, scenario: str = "latency_spike", seam: str = "calls", reason: str = "no room"
) -> list[NotRun]:
    """Return so many faults on different services that had no room."""
    usual = NotRun(scenario, "", reason, "Use --soak-duration=5m00s.", possible=True, seam=seam)
    return [replace(usual, service=f"service_{number:02d}") for number in range(count)]


def listed(*missing: NotRun) -> list[str]:
    """Return the block of what was not run."""
    return section(build(run_data(*missing, without=(NotRun, Sample))), "not run:")


def test_a_few_that_were_not_run_are_named() -> None:
    """With the seam where there is more than one kind."""
    few = no_room(2) + no_room(1, "network_partition", seam="endpoint")
    assert " ".join(" ".join(listed(*few)).split()) == (
        "- latency_spike on service_00, latency_spike on service_01, network_partition on service_00 "
        "(endpoint): no room. Use --soak-duration=5m00s."
    )


def test_many_that_were_not_run_are_counted_and_report_json_has_each() -> None:
    """Thirty-five faults of one reason are two lines."""
    many = [one for number, scenario in enumerate(SCENARIOS) for one in no_room(10 + 2 * number, scenario)]
    shown = listed(*many)
    assert len(shown) == 2
    assert " ".join(" ".join(shown).split()) == (
        "- cascading_failure on 10 targets, database_slowdown on 12 targets, latency_spike on 14 targets: "
        "no room. Use --soak-duration=5m00s."
    )
    content = json.loads(json_report.to_json(build(run_data(*many, without=(NotRun,)))))
    assert len(content["not_run"]) == len(many) == 36


def test_reasons_are_counted_each_for_itself() -> None:
    """One lacks a field, the others had no room."""
    lack = NotRun("provider_timeout", "odds", "service 'odds' declares no timeout", "Add it.", seam="calls")
    assert listed(*no_room(6), lack) == [
        "  - latency_spike on 6 targets: no room. Use --soak-duration=5m00s.",
        "  - provider_timeout on odds: service 'odds' declares no timeout. Add it.",
    ]


@given(st.integers(1, 60), st.integers(1, 60))
def test_the_list_of_what_was_not_run_stays_short(first: int, second: int) -> None:
    """However many there are: a line or two per reason."""
    missing = [*no_room(first), *no_room(second, "database_slowdown", reason="the suite had not recovered")]
    shown = listed(*missing)
    assert len(shown) <= 2 * 3
    assert max(map(len, shown)) <= WIDTH
    text = " ".join(shown)
    for scenario, count in (("latency_spike", first), ("database_slowdown", second)):
        counted = f"{scenario} on {count} targets"
        assert (counted in text) == (count > MOST_NOT_RUN)


def test_a_run_without_faults_has_no_such_blocks() -> None:
    """Nothing injected, nothing left out."""
    shown = lines(build(run_data(without=(ChaosEvent, NotRun))))
    assert not [line for line in shown if line.startswith(("event ", "not run:", "service "))]
