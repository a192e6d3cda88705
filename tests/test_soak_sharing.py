"""What is shared among workers and summed over them: tests by group, tallies, one record of each event."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_runs import event

from pytest_resilience.soak import messages
from pytest_resilience.soak.crew_events import EventBook
from pytest_resilience.soak.groups import GROUP_OF, share
from pytest_resilience.soak.histogram import Histogram
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.tallies import merged
from pytest_resilience.store.records import Tally

latencies = st.lists(st.floats(1e-6, 100.0), min_size=1, max_size=30)
ids = st.tuples(st.sampled_from(["a.py", "b/c.py"]), st.sampled_from(["::A", ""]), st.integers(0, 9)).map(
    lambda parts: f"{parts[0]}{parts[1]}::test_{parts[2]}"
)


def tally_of(worker: str, seconds: Sequence[float]) -> Tally:
    """Return the tally of a worker whose passes took these seconds."""
    histogram = Histogram()
    for one in seconds:
        histogram.add(one)
    quantiles = histogram.quantile(0.5), histogram.quantile(0.95)
    counts = len(seconds), 0, 0, 0
    return Tally("t", "p", *counts, histogram.total, *quantiles, max(seconds), histogram.to_text(), worker)


@given(st.lists(latencies, min_size=1, max_size=4))
def test_quantiles_of_several_workers_are_those_of_all_their_latencies(parts: list[list[float]]) -> None:
    """Not the mean of the workers' own: the histograms are added."""
    (whole,) = merged(tally_of(f"gw{number}", part) for number, part in enumerate(parts))
    together = tally_of("all", [one for part in parts for one in part])
    assert (whole.iterations, whole.median, whole.p95, whole.longest) == (
        together.iterations,
        together.median,
        together.p95,
        together.longest,
    )
    assert whole.seconds == pytest.approx(together.seconds)


@given(st.lists(ids, unique=True), st.integers(1, 5), st.sampled_from(sorted(GROUP_OF)), st.randoms())
def test_each_test_has_one_worker_and_each_group_too(
    tests: list[str], workers: int, mode: str, random: st.DataObject
) -> None:
    """Nothing is lost, and no group is torn apart."""
    marks = [random.choice(["", "x", "y"]) for _ in tests]  # type: ignore[attr-defined]
    shares = share(tests, marks, workers, mode)
    assert len(shares) == workers
    assert sorted(test for one in shares for test in one) == sorted(tests)
    group_of = {test: GROUP_OF[mode](test, mark) for test, mark in zip(tests, marks, strict=True)}
    groups = [{group_of[test] for test in one} for one in shares]
    assert sum(map(len, groups)) == len(set().union(*groups))


WORKERS = ("gw0", "gw1", "gw2")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fired"), st.sampled_from(WORKERS), st.integers(0, 50)),
        st.tuples(st.sampled_from(["recovered", "gone"]), st.sampled_from(WORKERS), st.just(0)),
        st.tuples(st.just("removed"), st.just(""), st.just(0)),
    ),
    max_size=20,
)


@given(steps)
def test_an_event_recovers_once_and_only_when_all_that_are_left_have(
    taken: list[tuple[str, str, int]],
) -> None:
    """In whatever order workers report, die and recover."""
    book = EventBook(lambda: 100.0)
    shared = book.begin(messages.Inject("e", "s", "t", "calls"), WORKERS, ())
    fired = dict.fromkeys(WORKERS, 0)
    for name in WORKERS:
        part = replace(event(1, "s"), event_id="e", reached=0, fired=0, removed_at=None, recovered_at=None)
        list(book.take(name, part))
    told: list[Message] = []
    left, back, removed = set(WORKERS), set(), False
    for what, name, count in taken:
        if what == "fired" and name in left and not removed:
            fired[name] = count
            told += book.take(name, messages.Fired("e", count, count))
        elif what == "recovered" and name in left and removed:
            back.add(name)
            told += book.take(name, messages.Recovered("e", 50.0))
        elif what == "gone" and name in left:
            left.discard(name)
            told += book.gone(name)
        elif what == "removed" and not removed:
            removed = True
            told += book.removed(shared)
    recovered = [one for one in told if isinstance(one, messages.Recovered)]
    assert len(recovered) == (1 if removed and back and left <= back else 0)
    assert shared.record(100.0).fired == sum(fired.values())
