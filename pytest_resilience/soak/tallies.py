"""Tallies and failures of several workers as one: sums, and quantiles of all their latencies together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_resilience.soak.histogram import Histogram
from pytest_resilience.store.records import Failure, Tally


def merged(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    """Return one tally for each test and phase, in the order in which they first came."""
    groups: dict[tuple[str, str], list[Tally]] = {}
    for tally in tallies:
        groups.setdefault((tally.test, tally.phase), []).append(tally)
    return tuple(group[0] if len(group) == 1 else _merge(group) for group in groups.values())


def _merge(group: Sequence[Tally]) -> Tally:
    """Sum up; the histograms are added bucket by bucket, so the quantiles are as exact as each one's."""
    latency = Histogram()
    for tally in group:
        latency.merge(Histogram.from_text(tally.latencies))
    return replace(
        group[0],
        iterations=sum(tally.iterations for tally in group),
        failures=sum(tally.failures for tally in group),
        failures_in_faults=sum(tally.failures_in_faults for tally in group),
        skipped=sum(tally.skipped for tally in group),
        seconds=sum(tally.seconds for tally in group),
        median=latency.quantile(0.5),
        p95=latency.quantile(0.95),
        longest=max(tally.longest for tally in group),
        latencies=latency.to_text(),
    )


def merged_failures(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """Return one record for each kind of failure, with the first text."""
    kinds: dict[tuple[str, str, str], Failure] = {}
    for failure in failures:
        key = failure.test, failure.crash, failure.event_id
        known = kinds.get(key)
        kinds[key] = failure if known is None else _both(*sorted((known, failure), key=_first))
    return tuple(kinds.values())


def _first(failure: Failure) -> float:
    return failure.first_at


def _both(earlier: Failure, later: Failure) -> Failure:
    last = max(earlier.last_at, later.last_at)
    return replace(earlier, count=earlier.count + later.count, last_at=last)
