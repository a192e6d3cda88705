"""The leak verdict of a run: a vote per signal, and the signal that names the culprit first.

RSS alone is the wrong signal: allocators keep what was freed, and fragments. So malloc, Python blocks,
descriptors, threads and child processes decide; containers are evidence beside them, and RSS counts only
where nothing else explains its growth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pytest_resilience.memory.patterns import TRAITS, describe_rate, format_small, name_pattern, name_severity
from pytest_resilience.memory.records import Culprit, Leak, Sample
from pytest_resilience.memory.series import NEEDED, Series, Window, read_series, within
from pytest_resilience.memory.trend import theil_sen
from pytest_resilience.memory.vote import DEFAULTS, WARM_UP, Finding, Outcome, Thresholds, decide
from pytest_resilience.units import format_bytes, format_duration

HEAP = ("malloc_used", "blocks")
CAUSES = (*HEAP, "fds", "threads", "children")
EVIDENCE = ("gc_objects",)
EXPLAINED = 0.5
MARGIN = 1.1
SMALLEST_BLOCK = 16
NOISE = 4

Findings: TypeAlias = Mapping[str, tuple[Series, Finding]]


@dataclass(frozen=True, slots=True)
class LeakVerdict:
    """Whether the run leaked.

    Args:
        verdict: clean, leak or inconclusive.
        line: the verdict with its numbers, in one line.
        leaks: what leaks, the culprit first.
        culprits: who holds what leaks, as far as attribution found it; those of the first leak come first.
        suspects: what grew and cannot be told from a warm-up or a cycle yet, the most likely culprit first.
        samples: how many the verdict rests on.
        smallest_per_iteration: bytes of the smallest leak that would show; None without iterations.
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
) -> LeakVerdict:
    """Decide whether the samples of a run show a leak.

    Args:
        samples: in the order of time.
        window: start and end, in seconds of the run, of the phase to judge; everything if None.
        own_slope: by signal, what the plugin itself adds per iteration; it is subtracted.
        thresholds: what the vote asks for.
        culprits: what attribution found while the samples were taken; the verdict keeps those of its leaks.
    """
    series = read_series(samples, own_slope or {}, window)
    findings = {
        name: (one, decide(one.points, TRAITS[name].floor, thresholds)) for name, one in series.items()
    }
    if not findings.keys() & {*HEAP, "rss"}:
        return _too_few(len(within(samples, window)))
    count = max(len(one.points) for one in series.values())
    smallest = _smallest(findings)
    leaks = _records(findings, {"leak"})
    suspects = () if leaks else _records(findings, {"late", "sawtooth"})
    if leaks:
        held = held_by(leaks, culprits)
        named = tuple(replace(leak, culprits=_nouns(held, leak.signal)) for leak in leaks)
        line = _leak_line(named[0], findings)
        return LeakVerdict("leak", line, named, (), count, *smallest, culprits=held)
    if suspects:
        line = _suspect_line(*findings[suspects[0].signal])
        return LeakVerdict("inconclusive", line, (), suspects, count, *smallest)
    return LeakVerdict("clean", _clean_line(count, *smallest), (), (), count, *smallest)


def held_by(leaks: Sequence[Leak], culprits: Iterable[Culprit]) -> tuple[Culprit, ...]:
    """Return the culprits of these leaks, by leak, the most likely one of each first."""
    known = sorted(culprits, key=lambda culprit: culprit.rank)
    ordered = (one for leak in leaks for one in known if _concerns(one, leak.signal))
    return tuple(dict.fromkeys(ordered))


def _concerns(culprit: Culprit, signal: str) -> bool:
    """Tell whether a culprit explains a signal: all sizes of the heap look at the same objects."""
    return culprit.signal == signal or {culprit.signal, signal} <= {*HEAP, *EVIDENCE, "rss"}


def _nouns(culprits: Iterable[Culprit], signal: str) -> str:
    return "\n".join(one.noun for one in culprits if _concerns(one, signal))


def _too_few(count: int) -> LeakVerdict:
    line = f"inconclusive: {count} samples, {NEEDED} are needed; run longer or sample more often."
    return LeakVerdict("inconclusive", line, samples=count)


def _smallest(findings: Findings) -> tuple[float | None, float]:
    """Return the bytes per iteration and per hour of the smallest leak that the noise does not hide."""
    sizes = [findings[name] for name in HEAP if name in findings] or [findings["rss"]]
    rates = [_hidden(*size) for size in sizes]
    each = [rate for rate, _ in rates if rate is not None]
    return max(each, default=None), max(hourly for _, hourly in rates)


def _hidden(series: Series, finding: Finding) -> tuple[float | None, float]:
    trait, heights = TRAITS[series.signal], [y for _, y in finding.evidence.points]
    growth = (MARGIN * trait.floor + NOISE * (max(heights) - min(heights))) * trait.weight
    begins = int(len(series.points) * WARM_UP)
    span = series.points[-1][0] - series.points[begins][0]
    slope = growth / span if span else 0.0
    return slope if series.iterates else None, series.per_hour(slope, begins)


def _records(findings: Findings, outcomes: set[Outcome]) -> tuple[Leak, ...]:
    """Build the records of the signals with one of the outcomes, the culprit first."""
    found = {name for name, (_, finding) in findings.items() if finding.outcome in outcomes}
    causes = found.intersection(CAUSES) or (found & {"rss"} if _unexplained(findings) else set())
    if not causes:
        return ()
    records = [_record(*findings[name]) for name in causes | found.intersection(EVIDENCE)]
    return tuple(sorted(records, key=_rank))


def _unexplained(findings: Findings) -> bool:
    """Tell whether the allocators never moved enough to explain how far RSS moved."""
    explained = sum(findings[name][0].range * TRAITS[name].weight for name in HEAP if name in findings)
    return "rss" in findings and explained < EXPLAINED * findings["rss"][0].range


def _rank(leak: Leak) -> tuple[bool, bool, float]:
    """Sort counts that do harm by themselves first, then by bytes, and mere evidence last."""
    weight = TRAITS[leak.signal].weight
    return leak.signal in EVIDENCE, bool(weight), -leak.per_hour * (weight or 1)


def _record(series: Series, finding: Finding) -> Leak:
    trait, lows = TRAITS[series.signal], finding.evidence.points
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
    )


def _leak_line(leak: Leak, findings: Findings) -> str:
    culprit = leak.culprits.partition("\n")[0]
    rate = describe_rate(leak.signal, leak.per_iteration, leak.per_hour)
    sized = _in_bytes(leak, findings)
    if culprit and sized:
        rate = f"{describe_rate('rss', sized.per_iteration, sized.per_hour, culprit)}, {rate}"
    elif culprit:
        rate = describe_rate(leak.signal, leak.per_iteration, leak.per_hour, culprit)
    elif sized:
        rate = f"{describe_rate('rss', sized.per_iteration, sized.per_hour)}, {rate}"
    return f"leak: {rate}, {leak.pattern}, confidence {leak.confidence:.2f}"


def _in_bytes(leak: Leak, findings: Findings) -> Leak | None:
    """Return what leaking objects cost in resident memory, unless they still fit in what it had before."""
    if leak.kind != "Python objects" or "rss" not in findings:
        return None
    rss = _record(*findings["rss"])
    return rss if rss.per_hour >= SMALLEST_BLOCK * leak.per_hour else None


def _suspect_line(series: Series, finding: Finding) -> str:
    noun = TRAITS[series.signal].noun
    if finding.outcome == "late":
        since = format_duration(series.times[-1] - series.times[finding.begins])
        return f"inconclusive: {noun} began to grow in the last {since}, a warm-up or a leak; run longer."
    return f"inconclusive: {noun} rises and falls too slowly to compare three of its lows; run longer."


def _clean_line(samples: int, per_iteration: float | None, per_hour: float) -> str:
    hourly = f"{format_bytes(per_hour)}/h"
    smallest = hourly if per_iteration is None else f"{format_small(per_iteration)}/iteration ({hourly})"
    return f"clean: nothing keeps growing over {samples} samples; a leak of {smallest} would have been found."
