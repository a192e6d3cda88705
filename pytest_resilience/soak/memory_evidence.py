"""What the samples of a run say about memory, and what the watching itself cost."""

from pytest_resilience.memory.detect import LeakVerdict, judge
from pytest_resilience.memory.growth import Growth, measure
from pytest_resilience.soak.evidence import Evidence, Missing, known
from pytest_resilience.soak.stretches import memory_stretch
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_bytes, format_duration


def growth(data: RunData) -> Growth:
    """Measure how much memory grew from the baseline to the end of the memory soak, within one process."""
    stretch = memory_stretch(data)
    return measure(data.samples, stretch.baseline, stretch.memory)


def leak_verdict(data: RunData) -> LeakVerdict:
    """Let the leak detector judge the memory soak, or what one process looped of it."""
    window = memory_stretch(data).memory
    return judge(data.samples if window else (), window)


def memory_growth_percent(data: RunData) -> Evidence:
    """Compare resident memory after garbage collection at the end of the soak with the baseline."""
    grown = growth(data)
    note = _noted(data)
    if grown.percent is None or grown.baseline is None or grown.current is None:
        return Missing(f"{grown.reason}{note}")
    sizes = f"{format_bytes(grown.baseline)} to {format_bytes(grown.current)}"
    because = "the growth fades, as a cache does that fills" if grown.fades else ""
    return known(grown.percent, f"resident memory went from {sizes}{note}", because, fades=grown.fades)


def _noted(data: RunData) -> str:
    """Say which part of a resumed run was judged."""
    stretch = memory_stretch(data)
    notes = [note for note in (stretch.part, stretch.own) if note]
    return f" ({'; '.join(notes)})" if notes else ""


def memory_leak_detected(data: RunData) -> Evidence:
    """Ask the leak detector."""
    verdict = leak_verdict(data)
    if verdict.verdict == "inconclusive":
        return Missing(verdict.line)
    part = memory_stretch(data).part
    advice = " ".join(filter(None, dict.fromkeys([part, *(leak.recommendation for leak in verdict.leaks)])))
    return known(verdict.verdict == "leak", verdict.line, advice)


def system_memory_percent(data: RunData) -> Evidence:
    """Take the highest use of the machine's memory."""
    used = [(sample.system_percent, sample) for sample in data.samples if sample.system_percent is not None]
    if not used:
        return Missing("no sample read the machine's memory")
    percent, worst = max(used, key=lambda pair: pair[0])
    return known(percent, f"at most {percent:.1f} % in use, at {format_duration(worst.at)} in {worst.phase}")


def monitoring_overhead_percent(data: RunData) -> Evidence:
    """Relate the CPU time of the observers to the time of the run."""
    if not data.observers or not data.elapsed:
        return Missing("no observer reported its CPU time")
    percent = 100 * sum(one.cpu_seconds for one in data.observers) / data.elapsed
    parts = ", ".join(f"{one.name} {format_duration(one.cpu_seconds)}" for one in data.observers)
    return known(percent, f"CPU time in {format_duration(data.elapsed)}: {parts}")
