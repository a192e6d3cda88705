"""What the samples of a run say about memory, and what the watching itself cost."""

from collections.abc import Iterable
from dataclasses import replace

from pytest_resilience.memory.detect import LeakVerdict, judge
from pytest_resilience.memory.growth import Growth, measure
from pytest_resilience.memory.records import Culprit, Leak, Observer, Sample
from pytest_resilience.soak.evidence import Evidence, Finding, Missing, heading, known, place
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.stretches import memory_stretch
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_bytes, format_duration
from pytest_resilience.workers import MAIN


def _samples(data: RunData) -> dict[str, list[Sample]]:
    """Return the samples of each worker, each by itself: they are different processes."""
    by_worker: dict[str, list[Sample]] = {}
    for sample in data.samples:
        by_worker.setdefault(sample.worker, []).append(sample)
    return by_worker or {MAIN: []}


def _of(worker: str, culprits: Iterable[Culprit]) -> list[Culprit]:
    return [culprit for culprit in culprits if culprit.worker == worker]


def growths(data: RunData) -> dict[str, Growth]:
    """Measure how much memory each worker grew from the baseline to the end of the memory soak.

    Within one process each: see stretches.
    """
    stretch = memory_stretch(data)
    return {
        worker: measure(samples, stretch.baseline, stretch.memory)
        for worker, samples in _samples(data).items()
    }


def leak_verdicts(data: RunData) -> dict[str, LeakVerdict]:
    """Let the leak detector judge the memory soak in each worker, or what one process looped of it."""
    window = memory_stretch(data).memory
    return {
        worker: judge(samples if window else (), window, culprits=_of(worker, data.culprits))
        for worker, samples in _samples(data).items()
    }


def leaks(data: RunData) -> list[Leak]:
    """Return what leaks, by worker."""
    return [
        replace(leak, worker=worker)
        for worker, verdict in leak_verdicts(data).items()
        for leak in verdict.leaks
    ]


def memory_growth_percent(data: RunData) -> Evidence:
    """Compare resident memory after garbage collection at the end of the soak with the baseline.

    Workers that were not there all the time cannot be judged, and are not as long as another one can.
    """
    grown, note = growths(data), _noted(data)
    findings = [finding for worker, one in grown.items() if (finding := _grown(worker, one, note))]
    if not findings:
        return Missing(f"{next(iter(grown.values())).reason}{note}")
    return replace(findings[0], others=tuple(findings[1:]))


def _noted(data: RunData) -> str:
    """Say which part of a resumed run was judged."""
    stretch = memory_stretch(data)
    notes = [note for note in (stretch.part, stretch.own) if note]
    return f" ({'; '.join(notes)})" if notes else ""


def _grown(worker: str, grown: Growth, note: str) -> Finding | None:
    if grown.percent is None or grown.baseline is None or grown.current is None:
        return None
    sizes = f"{format_bytes(grown.baseline)} to {format_bytes(grown.current)}"
    because = "the growth fades, as a cache does that fills" if grown.fades else ""
    fact = f"resident memory{place(worker)} went from {sizes}{note}"
    return known(grown.percent, fact, because, fades=grown.fades)


def memory_leak_detected(data: RunData) -> Evidence:
    """Ask the leak detector about each worker; one of them is enough.

    What it cannot say of a worker that was not there all the time counts only if it cannot of any other.
    """
    verdicts, part = leak_verdicts(data), memory_stretch(data).part
    if found := {worker: one for worker, one in verdicts.items() if one.verdict == "leak"}:
        findings = [_leak(worker, verdict, part) for worker, verdict in found.items()]
        return replace(findings[0], others=tuple(findings[1:]))
    clean = [worker for worker, one in verdicts.items() if one.verdict == "clean"]
    open_ones = [worker for worker in verdicts if worker not in clean]
    decisive = [worker for worker in open_ones if _was_there(data, worker)] or ([] if clean else open_ones)
    if decisive:
        worker = decisive[0]
        return Missing(f"{heading(worker)}{verdicts[worker].line}")
    return known(False, f"{heading(clean[0])}{verdicts[clean[0]].line}", part)


def _leak(worker: str, verdict: LeakVerdict, part: str) -> Finding:
    advice = " ".join(filter(None, dict.fromkeys([part, *(leak.recommendation for leak in verdict.leaks)])))
    return known(True, f"{heading(worker)}{verdict.line}", advice)


def _was_there(data: RunData, name: str) -> bool:
    """Tell whether a worker looped during all of the memory soak."""
    worker = next((one for one in data.workers if one.name == name), None)
    window = data.window(PhaseName.MEMORY)
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
    parts = ", ".join(f"{one.name} {format_duration(one.cpu_seconds)}" for one in observers)
    fact = f"CPU time in {format_duration(data.elapsed)}{place(worker)}: {parts}"
    return known(100 * _cpu_seconds(observers) / data.elapsed, fact)


def _cpu_seconds(observers: Iterable[Observer]) -> float:
    return sum(one.cpu_seconds for one in observers)
