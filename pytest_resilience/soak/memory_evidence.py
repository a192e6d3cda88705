"""What the samples of a run say about memory, and what the watching itself cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_resilience.memory.detect import LeakVerdict, judge
from pytest_resilience.memory.growth import Growth, measure
from pytest_resilience.memory.known_leaks import all_known
from pytest_resilience.memory.records import ATTRIBUTION, CHECKPOINTS, ITSELF, Leak, Observer, Sample
from pytest_resilience.memory.series import Window
from pytest_resilience.soak.evidence import Evidence, Finding, Missing, heading, known, place
from pytest_resilience.soak.failure_leaks import FailureLeak, failure_leaks
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.stored_settings import stored_settings
from pytest_resilience.soak.stretches import memory_stretch
from pytest_resilience.soak.undistorted import Source, samples_of
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import counted, format_bytes, format_duration

UNSEEN_SHARE = 0.25
"""Of the memory soak, at its end, that may go without samples: a busy machine holds the sampler up."""

ACCEPTED = "leaks accepted by resilience_known_leaks count too: resilience_criteria can allow more"
FEWEST_REPEATS = 5
"""Of each test in the memory soak: in their first few runs tests fill caches, each its own."""


def growths(data: RunData) -> dict[str, Growth]:
    """Measure how much memory each worker grew from the baseline to the end of the memory soak.

    Within one process each, in the attempt that looped longest: see stretches.
    """
    stretch = memory_stretch(data)
    return {
        worker: measure(samples, stretch.baseline, stretch.memory)
        for (worker, process), samples in samples_of(data, stretch.attempt).items()
        if process == ITSELF
    }


def leak_verdicts(data: RunData) -> dict[Source, LeakVerdict]:
    """Let the leak detector judge the memory soak in each process, or what one process looped of it.

    The smallest leaks that would have been found are left out: they take time, see `complete_verdict`.
    """
    stretch = memory_stretch(data)
    samples = samples_of(data, stretch.attempt)
    return {source: _judge(data, source, rows, stretch.memory, False) for source, rows in samples.items()}


def complete_verdict(data: RunData, source: Source) -> LeakVerdict:
    """Return the verdict on one process with the smallest leaks that would have been found."""
    stretch = memory_stretch(data)
    return _judge(data, source, samples_of(data, stretch.attempt)[source], stretch.memory, True)


def _judge(
    data: RunData, source: Source, samples: list[Sample], window: Window | None, floors: bool
) -> LeakVerdict:
    worker, process = source
    itself = process == ITSELF
    verdict = judge(
        samples if window else (),
        window,
        own_slope={
            one.signal: one.per_iteration for one in data.own_slopes if itself and one.worker == worker
        },
        culprits=[one for one in data.culprits if (one.worker, one.process) == source],
        readings=[one for one in data.readings if itself and one.worker == worker],
        known=_known_leaks(data),
        floors=floors,
    )
    if not window or not samples:
        return verdict
    seen = _if_seen(verdict, samples[-1].at, window)
    return _if_repeated(seen, _fewest_repeats(data, worker)) if seen.verdict == "leak" else seen


def _fewest_repeats(data: RunData, worker: str) -> int | None:
    """Return how often a worker has looped its rarest test in the memory soak; None if that is not known."""
    mine = [one.iterations for one in data.tallies if (one.worker, one.phase) == (worker, PhaseName.MEMORY)]
    return min(mine, default=None)


def _if_repeated(verdict: LeakVerdict, repeats: int | None) -> LeakVerdict:
    """Call nothing a leak that may be the caches of tests which have hardly been repeated."""
    if repeats is None or repeats >= FEWEST_REPEATS:
        return verdict
    ran = f"{counted(repeats, 'iteration')} of the rarest test"
    why = f"{FEWEST_REPEATS} are needed to tell a leak from caches that fill"
    longer = f"soak {FEWEST_REPEATS / max(1, repeats):.1f} times as long, or fewer tests"
    line = f"inconclusive: {ran}, {why}: {longer}. Suspect is: {verdict.line.removeprefix('leak: ')}"
    return replace(verdict, verdict="inconclusive", line=line, leaks=(), suspects=verdict.leaks)


def _if_seen(verdict: LeakVerdict, until: float, window: Window) -> LeakVerdict:
    """Call nothing clean of which the end was not sampled."""
    began, ended = window
    if verdict.verdict != "clean" or until >= ended - UNSEEN_SHARE * (ended - began):
        return verdict
    seen = f"{format_duration(until - began)} of {format_duration(ended - began)}"
    line = f"inconclusive: nothing kept growing, but memory was sampled in {seen} of {PhaseName.MEMORY} only"
    return replace(verdict, verdict="inconclusive", line=line)


def _known_leaks(data: RunData) -> tuple[str, ...]:
    return stored_settings(data.run.settings).known_leaks


def leaks(data: RunData) -> list[Leak]:
    """Return what leaks, by worker and process."""
    verdicts = leak_verdicts(data)
    looped = [
        replace(leak, worker=source[0])
        for source, verdict in verdicts.items()
        if verdict.leaks
        for leak in complete_verdict(data, source).leaks
    ]
    return [*looped, *(one.leak for one in _left_by_failures(data, verdicts))]


def _left_by_failures(data: RunData, verdicts: Mapping[Source, LeakVerdict]) -> list[FailureLeak]:
    """Return what leaks only where calls fail: not what leaks in the memory soak too."""
    known_ones = {
        (worker, leak.signal)
        for (worker, process), one in verdicts.items()
        if process == ITSELF
        for leak in one.leaks
    }
    patterns = _known_leaks(data)
    return [
        one
        for one in failure_leaks(data)
        if (one.worker, one.signal) not in known_ones
        and not all_known(one.leak.culprits.splitlines(), patterns)
    ]


def memory_growth_percent(data: RunData) -> Evidence:
    """Compare resident memory after garbage collection at the end of the soak with the baseline.

    Workers that were not there all the time cannot be judged, and are not as long as another one can.
    """
    grown, note = growths(data), _noted(data)
    accepted = ACCEPTED if _known_leaks(data) else ""
    findings = [finding for worker, one in grown.items() if (finding := _grown(worker, one, note, accepted))]
    if not findings:
        return Missing(f"{next(iter(grown.values())).reason}{note}")
    return replace(findings[0], others=tuple(findings[1:]))


def _noted(data: RunData) -> str:
    """Say which part of a resumed run was judged."""
    stretch = memory_stretch(data)
    notes = [note for note in (stretch.part, stretch.own) if note]
    return f" ({'; '.join(notes)})" if notes else ""


def _grown(worker: str, grown: Growth, note: str, accepted: str) -> Finding | None:
    if grown.percent is None or grown.baseline is None or grown.current is None:
        return None
    sizes = f"{format_bytes(grown.baseline)} to {format_bytes(grown.current)}"
    because = "the growth fades, as a cache does that fills" if grown.fades else accepted
    fact = f"resident memory{place(worker)} went from {sizes}{note}"
    return known(grown.percent, fact, because, fades=grown.fades)


def memory_leak_detected(data: RunData) -> Evidence:
    """Ask the leak detector about each worker, and what failures left there; one of them is enough.

    What it cannot say of a worker that was not there all the time counts only if it cannot of any other.
    """
    verdicts, part = leak_verdicts(data), memory_stretch(data).part
    found = {source: one for source, one in verdicts.items() if one.verdict == "leak"}
    left = _left_by_failures(data, verdicts)
    if found or left:
        return _leak(found, left, part)
    clean = [source for source, one in verdicts.items() if one.verdict == "clean"]
    open_ones = [source for source in verdicts if source not in clean]
    decisive = [one for one in open_ones if _was_there(data, one[0])] or ([] if clean else open_ones)
    if decisive:
        source = decisive[0]
        return Missing(f"{_heading(source)}{verdicts[source].line}")
    line = complete_verdict(data, clean[0]).line
    return known(False, f"{_heading(clean[0])}{line}{_beside(clean)}", part)


def _heading(source: Source) -> str:
    """Name the worker and the process that a sentence is about, where there are several."""
    worker, process = source
    return heading(worker) + ("" if process == ITSELF else f"process {process}: ")


def _beside(clean: Sequence[Source]) -> str:
    """Name the watched processes that are clean too."""
    others = sorted({process for _, process in clean if process != ITSELF})
    return f" Clean too: {', '.join(others)}." if others else ""


def _leak(found: Mapping[Source, LeakVerdict], left: Sequence[FailureLeak], part: str) -> Finding:
    """Name what leaks, process by process, and say where to look."""
    leaking = [*(leak for verdict in found.values() for leak in verdict.leaks), *(one.leak for one in left)]
    advice = " ".join(filter(None, dict.fromkeys([part, *(leak.recommendation for leak in leaking)])))
    lines = [f"{_heading(source)}{one.line}" for source, one in found.items()]
    return known(True, "; ".join([*lines, *(f"{heading(one.worker)}{one.line}" for one in left)]), advice)


def _was_there(data: RunData, name: str) -> bool:
    """Tell whether a worker looped during all that is judged of the memory soak."""
    worker = next((one for one in data.workers if one.name == name), None)
    window = memory_stretch(data).memory
    if worker is None or window is None:
        return True
    return worker.status != "crashed" and worker.joined_at <= window[0]


def system_memory_percent(data: RunData) -> Evidence:
    """Take the highest use of the machine's memory."""
    used = [(sample.system_percent, sample) for sample in data.samples if sample.system_percent is not None]
    if not used:
        return Missing("no sample read the machine's memory")
    percent, worst = max(used, key=lambda pair: pair[0])
    when = format_duration(worst.at)
    return known(
        percent,
        f"at most {percent:.1f} % in use, at {when} in {worst.phase}{place(worst.worker)}",
    )


def monitoring_overhead_percent(data: RunData) -> Evidence:
    """Relate the CPU time of the observers to the time of the run, in the process where they cost most."""
    if not data.observers or not data.elapsed:
        return Missing("no observer reported its CPU time")
    by_worker: dict[str, list[Observer]] = {}
    for one in data.observers:
        by_worker.setdefault(one.worker, []).append(one)
    worker, observers = max(by_worker.items(), key=lambda pair: _cpu_seconds(pair[1]))
    parts = ", ".join(f"{one.name} {format_duration(one.cpu_seconds)}" for one in observers if _counts(one))
    fact = f"CPU time in {format_duration(data.elapsed)}{place(worker)}: {parts}"
    beside = {one.name: format_duration(one.cpu_seconds) for one in observers if not _counts(one)}
    waited = [f"{beside[name]} for {why}" for name, why in BESIDE.items() if name in beside]
    because = f"the tests waited {' and '.join(waited)}" if waited else ""
    return known(100 * _cpu_seconds(observers) / data.elapsed, fact, because)


BESIDE = {CHECKPOINTS: "checkpoints, which collect garbage", ATTRIBUTION: "the search who holds what leaks"}
"""What observers do that take the tests' own time."""


def _counts(observer: Observer) -> bool:
    """Tell whether an observer takes a share of a core beside the tests, and not their own time."""
    return observer.name not in BESIDE


def _cpu_seconds(observers: Iterable[Observer]) -> float:
    return sum(one.cpu_seconds for one in observers if _counts(one))
