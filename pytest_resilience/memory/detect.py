"""The leak verdict of a run: a vote per signal, and the signal that names the culprit first.

RSS alone is the wrong signal: allocators keep what was freed, and fragments. So malloc, Python blocks,
descriptors, threads and child processes decide; containers are evidence beside them, and RSS counts only
where nothing else explains its growth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pytest_resilience.memory.floor import level, smallest_slope
from pytest_resilience.memory.known_leaks import is_known
from pytest_resilience.memory.patterns import name_pattern, name_severity, trait_of
from pytest_resilience.memory.records import Culprit, Leak, Reading, Sample
from pytest_resilience.memory.series import HEAP, Series, Window, read_gauges, read_series, within
from pytest_resilience.memory.trend import theil_sen
from pytest_resilience.memory.verdict_lines import (
    UNNAMED,
    Rate,
    advice_on,
    clean_line,
    grown_line,
    leak_line,
    little_line,
    suspect_line,
    too_few_line,
)
from pytest_resilience.memory.vote import DEFAULTS, WARM_UP, Finding, Outcome, Thresholds, decide

EVIDENCE = ("gc_objects", "uncollectable")
SIZES = (*HEAP, *EVIDENCE, "rss")
EXPLAINED = 0.5
PACE_CHANGES = 1.3
OBJECTS_WEIGHT = 4
"""Python objects have from malloc much of what they hold: they explain up to so many times their blocks."""

STRICT = Thresholds(votes=4, lasting=0.85)

Findings: TypeAlias = Mapping[str, tuple[Series, Finding]]


@dataclass(frozen=True, slots=True)
class LeakVerdict:
    """Whether the run leaked.

    Args:
        verdict: clean, leak or inconclusive.
        line: the verdict with its numbers, in one line.
        leaks: what leaks, the culprit first.
        culprits: who holds what leaks, as far as attribution found it; those of the first leak come first.
            Without a leak who was suspect, and grew to the end.
        suspects: what grew and cannot be told from a warm-up or a cycle yet, the most likely culprit first.
        samples: how many the verdict rests on.
        smallest_per_iteration: bytes of the smallest leak that would have been found at 95 %; None without
            iterations, and in a run that leaks: its leaks have one each.
        smallest_per_hour: the same in bytes per hour; None with too few samples.
    """

    verdict: Literal["clean", "leak", "inconclusive"]
    line: str
    leaks: tuple[Leak, ...] = ()
    suspects: tuple[Leak, ...] = ()
    samples: int = 0
    smallest_per_iteration: float | None = None
    smallest_per_hour: float | None = None
    culprits: tuple[Culprit, ...] = ()


def judge(
    samples: Sequence[Sample],
    window: Window | None = None,
    own_slope: Mapping[str, float] | None = None,
    thresholds: Thresholds = DEFAULTS,
    culprits: Iterable[Culprit] = (),
    readings: Sequence[Reading] = (),
    *,
    known: Sequence[str] = (),
    floors: bool = True,
) -> LeakVerdict:
    """Decide whether the samples of a run show a leak.

    Args:
        samples: of one process, in the order of time; of a watched one only its last incarnation counts.
        window: start and end, in seconds of the run, of the phase to judge; everything if None.
        own_slope: by signal, what the plugin itself adds per iteration; it is subtracted.
        thresholds: what the vote asks for.
        culprits: what attribution found while the samples were taken.
        readings: of the signals that the user declared.
        known: patterns of names whose leaks are accepted: it is clean if nobody else leaks.
        floors: work out the smallest leak that would have been found, which costs some tenths of a second.
    """
    samples = _last_incarnation(samples)
    series = {**read_series(samples, own_slope or {}, window), **read_gauges(readings, window)}
    findings = {name: find(one, thresholds) for name, one in series.items()}
    if not findings.keys() & {*HEAP, "rss"}:
        count = len(within(samples, window))
        return LeakVerdict("inconclusive", too_few_line(count), samples=count)
    count = max(len(one.points) for one in series.values())
    leaks = _records(findings, {"leak"})
    if leaks:
        complete = [_complete(leak, findings, thresholds) for leak in leaks] if floors else leaks
        return _leak(complete, findings, count, culprits, known)
    smallest = _smallest(findings, thresholds) if floors else (None, None)
    suspects = _records(findings, {"late", "sawtooth"})
    if suspects:
        held = held_by(suspects, culprits)
        line = suspect_line(*findings[suspects[0].signal]) + grown_line(held)
        return LeakVerdict("inconclusive", line, (), suspects, count, *smallest, held)
    held = tuple(culprits)
    line = clean_line(count, *smallest) + little_line(held)
    return LeakVerdict("clean", line, (), (), count, *smallest, held)


def _last_incarnation(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Leave out what ran before a watched process was started anew."""
    return [one for one in samples if one.pid == samples[-1].pid]


def find(series: Series, thresholds: Thresholds) -> tuple[Series, Finding]:
    """Ask for the vote on what garbage collection leaves, then on all readings.

    Over the iterations, and over the time where their pace hides steady growth.
    """
    collected = series.after_collection()
    if collected is not None:
        left = decide(collected.points, series.floor, thresholds)
        if left.outcome == "leak":
            return series, replace(left, begins=series.collected[left.begins])
    strict = series.signal == "children_pss"  # what a page counts depends on who else has it
    finding = decide(series.points, series.floor, STRICT if strict else thresholds)
    if finding.outcome == "steady" and series.iterates and series.changes_pace(PACE_CHANGES):
        timed = series.over_time()
        found = decide(timed.points, series.floor, STRICT)
        if found.outcome == "leak":
            return timed, found
    return series, finding


def _leak(
    leaks: Sequence[Leak],
    findings: Findings,
    count: int,
    culprits: Iterable[Culprit],
    known: Sequence[str],
) -> LeakVerdict:
    """Report what leaks and is not known; if all is known, that as clean."""
    held = held_by(leaks, culprits)
    unknown = [one for one in held if not is_known(one.noun, known)]
    left = [leak for leak in leaks if _of(leak, unknown) or not _of(leak, held)]
    named = tuple(_named(leak, _of(leak, unknown)) for leak in left)
    first = named[0] if named else _named(leaks[0], _of(leaks[0], held))
    line = leak_line(first, _of(first, held), _in_bytes(first, findings), known)
    if named:
        return LeakVerdict("leak", line, named, (), count, culprits=held)
    return LeakVerdict("clean", f"clean but for what is known: {line}.", (), (), count, culprits=held)


def held_by(leaks: Sequence[Leak], culprits: Iterable[Culprit]) -> tuple[Culprit, ...]:
    """Return the culprits of these leaks, by leak, the most likely one of each first."""
    known = sorted(culprits, key=lambda culprit: culprit.rank)
    ordered = (one for leak in leaks for one in known if _concerns(one, leak.signal))
    return tuple(dict.fromkeys(ordered))


def _of(leak: Leak, culprits: Iterable[Culprit]) -> list[Culprit]:
    return [one for one in culprits if _concerns(one, leak.signal)]


def _concerns(culprit: Culprit, signal: str) -> bool:
    """Tell whether a culprit explains a signal: all sizes of the heap look at the same objects."""
    return culprit.signal == signal or {culprit.signal, signal} <= set(SIZES)


def _named(leak: Leak, culprits: Sequence[Culprit]) -> Leak:
    nouns = "\n".join(one.noun for one in culprits)
    otherwise = f"{leak.recommendation} {UNNAMED}" if leak.signal in HEAP else leak.recommendation
    return replace(leak, culprits=nouns, recommendation=advice_on(culprits, otherwise))


# What the run could have seen


def _smallest(findings: Findings, thresholds: Thresholds) -> Rate:
    """Return the bytes per iteration and per hour that would have been found in the heap, or in RSS."""
    heap = [name for name in HEAP if name in findings]
    if len(heap) < len(HEAP) and "rss" in findings:
        heap.append("rss")  # a leak in what was read too seldom would show there only
    sizes = [findings[name] for name in heap]
    floors = [(smallest_found(*size, thresholds), size[0].trait.weight) for size in sizes]
    each = [rate * weight for (rate, _), weight in floors if rate is not None]
    hourly = [rate * weight for (_, rate), weight in floors if rate is not None]
    return max(each, default=None), max(hourly, default=None)


def smallest_found(series: Series, finding: Finding, thresholds: Thresholds) -> Rate:
    """Return the smallest leak of a signal that would have been found, in its own unit.

    In what garbage collection leaves, or in all readings.
    """
    views = filter(None, (series, series.after_collection()))
    own = (level(view.points, finding.evidence.points) for view in views)
    found = [least for one in own if (least := smallest_slope(one, series.floor, thresholds)) is not None]
    if not found:
        return None, None
    begins = int(len(series.points) * WARM_UP)
    return min(found) if series.iterates else None, series.per_hour(min(found), begins)


def _complete(leak: Leak, findings: Findings, thresholds: Thresholds) -> Leak:
    """Add to a leak the smallest one of its signal that would have been found."""
    each, hourly = smallest_found(*findings[leak.signal], thresholds)
    return replace(leak, floor_per_iteration=each, floor_per_hour=hourly)


# What leaks


def _records(findings: Findings, outcomes: set[Outcome]) -> tuple[Leak, ...]:
    """Build the records of the signals with one of the outcomes, the culprit first."""
    found = {name for name, (_, finding) in findings.items() if finding.outcome in outcomes}
    causes = found.difference(EVIDENCE, {"rss"}) or (found & {"rss"} if _unexplained(findings) else set())
    if not causes:
        return ()
    records = [_record(*findings[name]) for name in causes | found.intersection(EVIDENCE)]
    return tuple(sorted(records, key=_rank))


def _unexplained(findings: Findings) -> bool:
    """Tell whether the allocators never moved enough to explain how far RSS moved."""
    heap = [findings[name][0] for name in HEAP if name in findings]
    explained = sum(one.range * one.trait.weight for one in heap)
    return "rss" in findings and explained < EXPLAINED * findings["rss"][0].range


def _rank(leak: Leak) -> tuple[bool, bool, bool, float]:
    """Sort counts that do harm first, then by bytes; what other processes have after it, evidence last."""
    weight = trait_of(leak.signal).weight * (OBJECTS_WEIGHT if leak.signal == "blocks" else 1)
    is_others = leak.signal == "children_pss"
    return leak.signal in EVIDENCE, bool(weight), is_others, -leak.per_hour * (weight or 1)


def _record(series: Series, finding: Finding) -> Leak:
    trait, lows = series.trait, finding.evidence.points
    slope = theil_sen(lows)
    per_hour = series.per_hour(slope, finding.begins)
    current = lows[-1][1]
    return Leak(
        signal=series.signal,
        verdict="leak" if finding.outcome == "leak" else "inconclusive",
        pattern=name_pattern(series.signal, series.points[finding.begins :], lows),
        kind=trait.kind,
        severity=name_severity(series.signal, per_hour),
        unit=trait.unit,
        per_iteration=slope if series.iterates else None,
        per_hour=per_hour,
        confidence=round(finding.evidence.confidence, 2),
        samples=len(series.points) - finding.begins,
        baseline=lows[0][1],
        current=current,
        projection_24h=current + 24 * per_hour,
        recommendation=trait.advice,
        process=series.process,
    )


def _in_bytes(leak: Leak, findings: Findings) -> Rate:
    """Return about what leaking objects take: their blocks, and what they have from malloc.

    Where malloc was not read often enough it is what they cost in resident memory, if that keeps growing.
    """
    if leak.kind != "Python objects":
        return None, None
    weight = trait_of(leak.signal).weight
    each = None if leak.per_iteration is None else weight * leak.per_iteration
    blocks = each, weight * leak.per_hour
    if "malloc_used" in findings:
        return _sum(blocks, _rate(findings["malloc_used"]))
    resident = findings.get("rss")
    return _rate(resident) if resident and resident[1].outcome == "leak" else blocks


def _rate(found: tuple[Series, Finding]) -> Rate:
    record = _record(*found)
    return record.per_iteration, record.per_hour


def _sum(one: Rate, other: Rate) -> Rate:
    """Add what grows, per iteration and per hour; what shrinks gives nothing back."""
    return _grown(one[0], other[0]), _grown(one[1], other[1])


def _grown(rate: float | None, more: float | None) -> float | None:
    return rate if rate is None or more is None else rate + max(0.0, more)
