"""What the records of a run say about each exit criterion: facts with numbers and names, no limits yet."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeAlias

from pytest_resilience.breakers.costs import percentile
from pytest_resilience.breakers.records import BreakerResult, Cascade, hazard_summary
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.soak.event_recovery import EventRecovery, describe_event, recovery_of
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.recovery import longest_median
from pytest_resilience.soak.tallies import merged, merged_failures
from pytest_resilience.store.records import Failure, Tally
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import counted, format_duration
from pytest_resilience.workers import MAIN

UNREACHED_FIXES = {
    SeamKind.CALLS.value: "Call it in a soak test, or take it out of Service(calls=[…]).",
    SeamKind.ENDPOINT.value: "Connect the code to the fixture service_address instead of the endpoint.",
}
NO_SURVIVOR = "no soak test declares with survives=[…] what it survives"
OPEN = ("undecided", "unknown")
MOST_NAMED = 5
FEWEST_ITERATIONS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """A value that lies between `low` and `high`, which are equal once everything is known.

    Args:
        low, high: the value; 1 and 0 are yes and no.
        fact: the value in words.
        because: what explains it, by name; empty where there is nothing to explain.
        fades: a growth that ends by itself.
        others: the same of other workers; the worst of all counts.
    """

    low: float
    high: float
    fact: str
    because: str = ""
    fades: bool = False
    others: "tuple[Finding, ...]" = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no value, and what would give one."""

    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Why there is nothing to judge."""

    reason: str


Evidence: TypeAlias = Finding | Missing | Absent


def known(value: float, fact: str, because: str = "", *, fades: bool = False) -> Finding:
    """Return a finding whose value is certain."""
    return Finding(value, value, fact, because, fades)


def unreached_fix(seam: str) -> str:
    """Say what to do about a kind of seam that the suite never reaches."""
    return UNREACHED_FIXES.get(seam, "")


# The suite


def failures_outside_faults(data: RunData) -> Evidence:
    """Count the failures that overlap no event."""
    iterations = sum(tally.iterations - tally.skipped for tally in data.tallies)
    if not iterations:
        return Missing("no iteration of a soak test was run")
    failures = [failure for failure in merged_failures(data.failures) if not failure.event_id]
    count = sum(failure.count for failure in failures)
    named = (f"{one.test} {one.count}x in {one.phase} ({_first_line(one.crash)})" for one in failures)
    return known(count, f"{count} of {iterations} iterations failed outside faults", _listed(named))


def failures_to_survive(data: RunData) -> Evidence:
    """Count the failures under faults that the test must survive."""
    surviving = [one for one in data.soak_tests if one.survived]
    if not surviving:
        return Absent(NO_SURVIVOR)
    failures = failures_under_survived(data)
    fired = {event.scenario for event in data.events if event.fired}
    untried = sorted(frozenset().union(*(one.survived for one in surviving)) - fired)
    if untried and not failures:
        tests = _listed(one.test for one in surviving if one.survived & set(untried))
        why = f"{_listed(untried)} never fired, so nothing shows that it is survived by {tests}"
        return Missing(f"{why}. Give {PhaseName.CHAOS} more time, or take it out of survives=[…].")
    count = sum(failure.count for failure in failures)
    named = (f"{one.test} {one.count}x under {one.event_id} ({_first_line(one.crash)})" for one in failures)
    fact = f"{counted(count, 'iteration')} failed under faults that the test must survive"
    return known(count, fact, _listed(named))


def failures_under_survived(data: RunData) -> list[Failure]:
    """Return the failures that happened under a fault that their test must survive."""
    survived = {one.test: one.survived for one in data.soak_tests}
    scenarios = {event.event_id: event.scenario for event in data.events}
    return [one for one in data.failures if scenarios.get(one.event_id) in survived.get(one.test, ())]


def fewest_iterations(data: RunData) -> Evidence:
    """Take the soak test with the fewest iterations; a test that is always skipped is none."""
    counts: Counter[str] = Counter()
    for tally in data.tallies:
        counts[tally.test] += tally.iterations - tally.skipped
    ran = {test: count for test, count in counts.items() if count}
    if not ran:
        return Missing("no iteration of a soak test was run")
    test = min(ran, key=ran.__getitem__)
    high = ran[test] if data.run.status == "complete" else math.inf
    because = "" if data.run.status == "complete" else "the run did not come to its end"
    return Finding(ran[test], high, f"{counted(ran[test], 'iteration')} of {test}", because)


def permanent_degradation(data: RunData) -> Evidence:
    """Compare each test after chaos with itself before, in each worker: pass rate, and median latency.

    A worker that was not there before chaos is compared with what all were.
    """
    before = {one.test: one for one in merged(_tallies(data, PhaseName.BASELINE))}
    own = {(one.test, one.worker): one for one in _tallies(data, PhaseName.BASELINE)}
    after = {(one.test, one.worker): one for one in _tallies(data, PhaseName.RECOVERY)}
    if not before:
        return Missing(f"no test was run in {PhaseName.BASELINE}")
    pairs = [(own.get(key, before[key[0]]), one) for key, one in after.items() if key[0] in before]
    compared = dict.fromkeys(before, 0)
    for earlier, later in pairs:
        compared[later.test] = max(compared[later.test], _comparable(earlier, later))
    lost = {test: count for test, count in compared.items() if count < FEWEST_ITERATIONS}
    worse = {later.test: text for pair in pairs if (text := _degraded(*pair)) and (later := pair[1])}
    if lost and not worse:
        return Missing(_too_short(lost, data.run.duration_seconds))
    fact = f"{len(worse)} of {len(before)} tests are worse after chaos than before"
    return known(bool(worse), fact, _listed(worse.values()))


def _tallies(data: RunData, phase: str) -> list[Tally]:
    return [one for one in data.tallies if one.phase == phase and one.iterations > one.skipped]


def _comparable(before: Tally, after: Tally) -> int:
    """Return how many iterations can be compared: of fewer than FEWEST_ITERATIONS chance decides."""
    return min(before.iterations, after.iterations)


def _too_short(lost: Mapping[str, int], seconds: float) -> str:
    """Say which tests ran too seldom, and how long a run would have to be."""
    fewest = min(lost.values())
    longer = format_duration(math.ceil(FEWEST_ITERATIONS / max(1, fewest)) * seconds)
    few = f"{fewest} of the {FEWEST_ITERATIONS} iterations that are needed in {PhaseName.BASELINE} and in"
    return f"{few} {PhaseName.RECOVERY} for {_listed(lost)}. Use --soak-duration={longer} or more"


def _degraded(before: Tally, after: Tally) -> str:
    rates = _pass_rate(before), _pass_rate(after)
    if rates[1] < rates[0]:
        return f"{after.test} passes {rates[1]:.1%}{place(after.worker)}, before {rates[0]:.1%}"
    limit = longest_median(before.median, before.p95)
    if after.median > limit and _comparable(before, after) >= FEWEST_ITERATIONS:
        took = f"{format_duration(after.median)}, before {format_duration(before.median)}"
        return f"{after.test} takes {took}{place(after.worker)} (limit {format_duration(limit)})"
    return ""


def _pass_rate(tally: Tally) -> float:
    """Return the share of passes; a fault that the suite has not recovered from excuses nothing here."""
    return 1 - tally.failures / (tally.iterations - tally.skipped)


# Chaos


def recovery_success_rate(data: RunData) -> Evidence:
    """Count the fired events after which the suite was back within their limit.

    An event that is still open, or was cut off by the end of its process, may have gone either way.
    """
    recoveries = fired_events(data)
    if not recoveries:
        return Missing(_nothing_fired(data))
    good = sum(one.outcome == "recovered" for one in recoveries)
    open_ones = sum(one.outcome in OPEN for one in recoveries)
    fact = f"{good} of {len(recoveries)} fired events recovered"
    because = _listed(one.sentence for one in recoveries if one.outcome != "recovered")
    return Finding(good / len(recoveries), (good + open_ones) / len(recoveries), fact, because)


def mean_recovery_seconds(data: RunData) -> Evidence:
    """Average the recoveries of the fired events; one that never recovered counts with the time waited.

    One that was cut off by the end of its process has no such time: it is left out.
    """
    everything = fired_events(data)
    recoveries = [one for one in everything if one.outcome != "unknown"]
    if not everything:
        return Missing(_nothing_fired(data))
    if not recoveries:
        return Missing(_listed(one.sentence for one in everything))
    mean = fmean(one.seconds for one in recoveries)
    undecided = [one for one in recoveries if one.outcome == "undecided"]
    slowest = max(recoveries, key=lambda one: one.seconds)
    fact = f"mean of {len(recoveries)} fired events, slowest {format_duration(slowest.seconds)}"
    fact += f" after {describe_event(slowest.event)}"
    cut = len(everything) - len(recoveries)
    fact += f"; {counted(cut, 'event')} cut off by the end of a process left out" if cut else ""
    return Finding(mean, math.inf if undecided else mean, fact, _listed(one.sentence for one in undecided))


def injection_seconds(data: RunData) -> Evidence:
    """Take the slowest injection."""
    if not data.events:
        return Missing(_nothing_fired(data))
    slowest = max(data.events, key=lambda event: event.injection_seconds)
    fact = f"slowest of {counted(len(data.events), 'injection')}: {describe_event(slowest)}"
    return known(slowest.injection_seconds, f"{fact} in {format_duration(slowest.injection_seconds)}")


def fired_events(data: RunData) -> list[EventRecovery]:
    """Return how each event that fired ended."""
    return [recovery_of(event, data.elapsed) for event in data.events if event.fired]


def _nothing_fired(data: RunData) -> str:
    unreached = [seam for seam in data.seams if not seam.reached]
    if unreached and _is_done(data, PhaseName.BASELINE):
        named = _listed(f"{seam.target} of {seam.service}" for seam in unreached)
        fixes = " ".join(dict.fromkeys(unreached_fix(seam.kind) for seam in unreached))
        return f"no fault fired: the suite never reaches {named}. {fixes}"
    if data.events:
        reached = counted(sum(event.reached for event in data.events), "time")
        named = _listed(map(describe_event, data.events))
        return f"no fault fired: {named} reached {reached}. Give CHAOS_INJECTION more time."
    if not _is_done(data, PhaseName.CHAOS):
        return f"no fault was injected: {_why_not(data, PhaseName.CHAOS)}"
    why = dict.fromkeys(f"{one.reason}. {one.fix}" for one in data.not_run if one.service and one.fix)
    return f"no fault was injected: {_listed(reversed(why))}"


def _is_done(data: RunData, name: PhaseName) -> bool:
    phase = data.phase(name)
    return phase is not None and phase.status == "done"


# Workers


def worker_crashes(data: RunData) -> Evidence:
    """Count the workers that died, stopped answering or hung."""
    crashed = [one for one in data.workers if one.status == "crashed"]
    fact = f"{len(crashed)} of {counted(len(data.workers), 'worker')} crashed"
    named = (f"{one.name} at {format_duration(one.ended_at or 0.0)}: {one.reason}" for one in crashed)
    return known(len(crashed), fact, _listed(named))


# Breakers


def circuit_breakers(data: RunData) -> Evidence:
    """Ask whether each scenario that a breaker can be put through passed, and each hazard that counts."""
    judged = [one for one in data.breaker_results if one.verdict != "not_applicable"]
    if not judged:
        details = dict.fromkeys(one.detail for one in data.breaker_results)
        why = _listed(details) or _why_not(data, PhaseName.BREAKERS)
        return Missing(f"no scenario was run on a breaker: {why}")
    failed = [one for one in judged if one.verdict != "passed"]
    fact = f"{len(judged) - len(failed)} of {len(judged)} applicable scenarios passed on {_breakers(judged)}"
    fell = [one for one in data.hazards if one.verdict == "failed" and one.counts]
    bad = [f"{one.scenario} on {one.breaker}: {one.detail}" for one in failed]
    bad += [f"{one.hazard} on {one.breaker}: {one.detail}" for one in fell]
    return known(not bad, fact + hazard_summary(data.hazards), _listed(bad))


def breaker_transition_seconds(data: RunData) -> Evidence:
    """Take the 99th percentile of what a state change costs the call that causes it."""
    if not data.transitions:
        return Missing(f"no state change of a breaker was measured ({_why_not(data, PhaseName.BREAKERS)})")
    ordered = sorted(transition.seconds for transition in data.transitions)
    longest = max(data.transitions, key=lambda transition: transition.seconds)
    p50 = f"p50 {1000 * percentile(ordered, 0.5):.3g} ms"
    fact = f"p99 of {len(ordered)} state changes ({p50}), longest {longest.change} of {longest.breaker}"
    return known(percentile(ordered, 0.99), f"{fact} in {1000 * longest.seconds:.3g} ms")


def cascade_recovery(data: RunData) -> Evidence:
    """Ask whether each cascade was contained and healed, and never took too many services down at once."""
    judged = [one for one in data.cascades if one.verdict != "not_applicable"]
    if not judged:
        return Missing(f"no cascade was run ({_why_not(data, PhaseName.CASCADES)})")
    bad = [text for one in judged if (text := _unrecovered_cascade(one))]
    down = max(one.services_down for one in judged)
    fact = f"{len(judged) - len(bad)} of {len(judged)} cascades recovered, at most {down} services down"
    return known(not bad, fact, _listed(bad))


def _unrecovered_cascade(cascade: Cascade) -> str:
    if cascade.verdict != "passed":
        return f"{cascade.kind}, {cascade.mode}: {cascade.detail}"
    return ""


def _breakers(results: Iterable[BreakerResult]) -> str:
    return _listed(dict.fromkeys(one.breaker for one in results))


# Words


def place(worker: str) -> str:
    """Say in which worker something was, where there are several."""
    return "" if worker == MAIN else f" in {worker}"


def heading(worker: str) -> str:
    """Name the worker that a sentence is about, where there are several."""
    return "" if worker == MAIN else f"{worker}: "


def _why_not(data: RunData, name: PhaseName) -> str:
    phase = data.phase(name)
    status = phase.status if phase else "planned"
    return f"{name} was not reached" if status == "planned" else f"{name} is {status}"


def _listed(names: Iterable[str]) -> str:
    everything: Sequence[str] = tuple(names)
    more = len(everything) - MOST_NAMED
    return "; ".join([*everything[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
