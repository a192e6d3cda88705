"""What failing calls leave behind is a leak if it stays, comes again with later faults, and is enough."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_soaks import Finished, Project, run_together
from sample_runs import event, run_data, samples

from pytest_resilience.chaos.records import ChaosEvent, EventMetrics
from pytest_resilience.memory.records import Culprit, Sample
from pytest_resilience.settings import Settings
from pytest_resilience.soak.criteria import judge
from pytest_resilience.soak.failure_leaks import failure_leaks
from pytest_resilience.soak.memory_evidence import leaks
from pytest_resilience.store.records import Attempt, Record
from pytest_resilience.store.run_data import RunData

BEFORE = 20
Rises = Sequence[tuple[int, int]]


def faults(rises: Rises, signal: str, worker: str = "main", **changes: str) -> Iterator[Record]:
    """Yield events, a second each, with how often they fired and by how much the signal rose over each."""
    count = BEFORE
    for place, (fired, rose) in enumerate(rises):
        one = event(place + 1, "network_partition", fired=fired, armed_at=10.0 + place)
        yield replace(one, **changes)  # type: ignore[arg-type]
        for moment, value in (("before", count), ("after", count + rose)):
            usual = EventMetrics(one.event_id, moment, 1.0, 100, BEFORE, BEFORE, 2, worker)
            yield replace(usual, **{signal: value})  # type: ignore[arg-type]
        count += rose


def sampled(signal: str, end: int, worker: str = "main") -> Iterator[Sample]:
    """Yield samples that show `end` from the memory soak on."""
    for sample in samples():
        shown = {"fds": BEFORE, "threads": BEFORE, signal: BEFORE if sample.at < 48 else end}
        yield replace(sample, worker=worker, **shown)  # type: ignore[arg-type]


def run(rises: Rises, end: int, *more: Record, signal: str = "fds", **changes: str) -> RunData:
    """Build a run with such events, after which the signal stands at `end`."""
    without = (Sample, ChaosEvent)
    return run_data(*faults(rises, signal, **changes), *sampled(signal, end), *more, without=without)


STEADY = [(100, 90), (50, 50), (0, 0), (20, 0), (40, 38)]


def test_descriptors_that_failures_leave_are_a_leak() -> None:
    """Told with hits and events; an event that never fired does not count, one that left nothing does."""
    data = run(STEADY, BEFORE + 178)
    (found,) = failure_leaks(data)
    assert found.line == (
        "leak: failures of odds_provider leave 178 descriptors behind, after 210 hits in 3 of 4 events"
    )
    (leak,) = leaks(data)
    assert (leak.signal, leak.kind, leak.pattern, leak.unit) == (
        "fds",
        "descriptors",
        "stepwise",
        "descriptors",
    )
    assert (leak.baseline, leak.current, leak.samples, leak.confidence) == (BEFORE, BEFORE + 178, 4, 0.75)
    assert leak.per_hour == pytest.approx(178 * 3600 / 90)
    assert leak.projection_24h == pytest.approx(leak.current + 24 * leak.per_hour)
    assert leak.culprits == "failures of odds_provider"


def test_the_criterion_is_unmet_and_says_where_to_look() -> None:
    """With the name of what is open, if it is known; threads too."""
    named = Culprit("threads", "thread", "thread poll", 24, "threads")
    data = run([(10, 8), (10, 8), (10, 8)], BEFORE + 24, named, signal="threads")
    verdict = next(one for one in judge(data) if one.criterion == "memory_leak_detected")
    assert verdict.verdict == "unmet"
    assert verdict.detail == (
        "leak: failures of odds_provider leave 24 threads (thread poll) behind, after 30 hits in 3 of 3 "
        "events: Look at what is opened or started before a call of odds_provider fails, and end it in "
        "`finally` or `with`."
    )


@pytest.mark.parametrize(
    ("why", "rises", "end"),
    [
        ("closed later", STEADY, BEFORE + 7),
        ("most of it closed later", STEADY, BEFORE + 50),
        ("a pool that has grown", [(100, 90), (50, 5), (40, 1), (20, 0), (20, 0)], BEFORE + 96),
        ("two events only", [(100, 90), (50, 50), (40, 0), (40, 0)], BEFORE + 140),
        ("too little", [(100, 2), (50, 2), (40, 3)], BEFORE + 9),
        ("it comes and goes", [(10, 9), (10, -9), (10, 9), (10, -9), (10, 9), (10, -9)], BEFORE + 9),
    ],
)
def test_what_does_not_last_is_none(why: str, rises: Rises, end: int) -> None:
    """Connections that are closed later, a pool, noise."""
    assert failure_leaks(run(rises, end)) == [], why


def test_faults_of_the_host_are_nobodys_calls() -> None:
    """They take descriptors by design."""
    assert failure_leaks(run(STEADY, BEFORE + 178, service="host", seam="host")) == []


@pytest.mark.parametrize("name", ["file /srv/prices.csv", "failures of odds_provider"])
def test_what_is_known_is_accepted(name: str) -> None:
    """By the name that the report gives it: of what is open, or of the failures where nobody knows that."""
    culprits = [Culprit("fds", "descriptor", name, 178, "descriptors")] if name.startswith("file") else []
    data = run(STEADY, BEFORE + 178, *culprits)
    assert leaks(data)[0].culprits == name
    known = replace(data, run=replace(data.run, settings=Settings(known_leaks=(name,)).to_json()))
    assert leaks(known) == []


def test_what_leaks_all_the_time_is_told_once() -> None:
    """The memory soak shows it too, and says at which rate."""
    growing = [replace(one, fds=one.iteration) for one in samples()]
    data = run_data(*faults(STEADY, "fds"), *growing, without=(Sample, ChaosEvent))
    assert failure_leaks(data)
    assert [leak.per_iteration is None for leak in leaks(data) if leak.signal == "fds"] == [False]


def test_each_worker_is_asked_by_itself() -> None:
    """The one that leaks is named."""
    rows = [*sampled("fds", BEFORE + 178, "gw1"), *sampled("fds", BEFORE, "gw0")]
    data = run_data(*faults(STEADY, "fds", worker="gw1"), *rows, without=(Sample, ChaosEvent))
    assert [(one.worker, one.left) for one in failure_leaks(data)] == [("gw1", 178)]
    verdict = next(one for one in judge(data) if one.criterion == "memory_leak_detected")
    assert verdict.detail.startswith("gw1: leak: failures of odds_provider leave 178 descriptors behind")


def test_a_resumed_run_is_not_asked() -> None:
    """Its processes have descriptors of their own."""
    attempts = [Attempt(number, "", 30.0 * (number - 1), 30.0 * number) for number in (1, 2)]
    assert failure_leaks(run(STEADY, BEFORE + 178, *attempts)) == []


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(-50, 50)), max_size=12), st.integers(-20, 7))
def test_nothing_that_is_gone_at_the_end_is_a_leak(rises: list[tuple[int, int]], held: int) -> None:
    """Whatever happened in between."""
    assert failure_leaks(run(rises, BEFORE + held)) == []


SHOP = """
import time

opened = []

def fetch(game):
    time.sleep(0.001)
    return 1.5

def close(file):
    opened.remove(file)
    file.close()

def quote(game):
    file = open(__file__)
    opened.append(file)
    try:
        price = fetch(game)
    except OSError:
        {on_failure}
        return 1.0
    close(file)
    return price

UNTOUCHED = fetch.__code__
"""
INI = """
resilience_scenarios =
    intermittent_errors
    network_partition
    provider_timeout
soak_phases =
    CHAOS_INJECTION = 60%
    MEMORY_SOAK_TESTING = 25%
"""
RUNS = {
    name: Project(
        ("--soak-duration=20s", "--soak-rate=200/s"), INI, {"shop.py": SHOP.format(on_failure=what)}
    )
    for name, what in {"leaking": "pass", "closing": "close(file)"}.items()
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Soak code that forgets to close a file where a call fails, and code that does not."""
    return run_together(tmp_path_factory.mktemp("failures"), RUNS)


def test_a_soak_finds_what_failures_leave_and_names_it(runs: Mapping[str, Finished]) -> None:
    """By the target of the descriptors."""
    run = runs["leaking"]
    assert run.verdicts["memory_leak_detected"] == "unmet", run.output
    (leak,) = (one for one in run.report["leaks"] if one["signal"] == "fds")
    (culprit,) = leak["culprits"]
    assert culprit.endswith("/leaking/shop.py"), run.output
    line = next(one["detail"] for one in run.report["criteria"] if one["criterion"] == "memory_leak_detected")
    assert line.startswith("leak: failures of odds_provider leave "), run.output


def test_a_soak_of_code_that_closes_finds_nothing(runs: Mapping[str, Finished]) -> None:
    """The same faults."""
    run = runs["closing"]
    assert run.report["leaks"] == [], run.output
    assert run.verdicts["memory_leak_detected"] == "met", run.output
    assert sum(event["fired"] > 0 for event in run.report["events"]) >= 3
