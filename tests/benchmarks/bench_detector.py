"""Judge labelled memory traces: a table of verdicts, and thresholds tuned with leave-one-workload-out.

Usage: python tests/benchmarks/bench_detector.py DIRECTORY [--every N] [--tune]

DIRECTORY holds CSV files named <label>__<workload>__<variant>__<pace>.csv, where the label is leak or clean.
`--every N` keeps only each N-th sample between the checkpoints, as a shorter run would.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median

from pytest_resilience.memory.detect import judge
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.vote import Thresholds

CHECKPOINT_SECONDS = 0.5
GRID = [
    Thresholds(r_squared=r_squared, persistence=persistence, lasting=lasting, votes=votes)
    for votes, r_squared, persistence, lasting in product(
        (2, 3, 4), (0.7, 0.8, 0.9), (0.1, 0.25, 0.5), (0.15, 0.35, 0.5, 0.65, 0.8)
    )
]


@dataclass(frozen=True, eq=False)
class Trace:
    """One labelled run."""

    leaks: bool
    workload: str
    name: str
    samples: Sequence[Sample]


def read_trace(path: Path, every: int = 1) -> Trace:
    """Read one file; each half second garbage was collected, and Python's blocks and objects were counted."""
    label, workload, _, _ = path.stem.split("__")
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    samples = []
    collected = -CHECKPOINT_SECONDS
    for index, row in enumerate(rows):
        if checkpoint := float(row["elapsed_s"]) - collected > CHECKPOINT_SECONDS:
            collected = float(row["elapsed_s"])
        if checkpoint or index % every == 0:
            samples.append(_sample(row, checkpoint))
    return Trace(label == "leak", workload, path.stem, samples)


def _sample(row: dict[str, str], checkpoint: bool) -> Sample:
    return Sample(
        at=float(row["elapsed_s"]),
        phase="MEMORY_SOAK_TESTING",
        checkpoint=checkpoint,
        iteration=int(row["iteration"]),
        rss=int(row["rss_bytes"]),
        malloc_used=int(row["heap_used"]) + int(row["mmap_used"]),
        blocks=int(row["allocated_blocks"]) if checkpoint else None,
        gc_objects=int(row["gc_objects"]) if checkpoint else None,
        fds=int(row["fds"]),
        threads=int(row["threads"]),
    )


@cache
def judged_as_leak(trace: Trace, thresholds: Thresholds) -> bool:
    return verdict_on(trace, thresholds) == "leak"


@cache
def verdict_on(trace: Trace, thresholds: Thresholds) -> str:
    return judge(trace.samples, thresholds=thresholds, floors=False).verdict


def growth_rule(trace: Trace) -> str:
    """The peer: a run leaks if its RSS grew by more than 10 %."""
    return "leak" if trace.samples[-1].rss > 1.1 * trace.samples[0].rss else "clean"


def errors(traces: Iterable[Trace], thresholds: Thresholds) -> tuple[int, int]:
    """Return how many clean traces are flagged and how many leaks are not found."""
    flagged = missed = 0
    for trace in traces:
        found = judged_as_leak(trace, thresholds)
        flagged += found and not trace.leaks
        missed += trace.leaks and not found
    return flagged, missed


def tune(traces: Sequence[Trace]) -> Thresholds:
    """Return the middle one of the thresholds that make the fewest errors, false alarms first."""
    scores = {thresholds: errors(traces, thresholds) for thresholds in GRID}
    best = [astuple(thresholds) for thresholds, score in scores.items() if score == min(scores.values())]
    middle = [median(values) for values in zip(*best, strict=True)]
    return Thresholds(*min(best, key=lambda one: sum(abs(a - b) for a, b in zip(one, middle, strict=True))))


def leave_one_out(traces: Sequence[Trace]) -> None:
    """Tune on all workloads but one, judge that one, print what became of it, and add up."""
    flagged = missed = 0
    chosen = Counter[Thresholds]()
    print("\n| workload left out | runs | verdicts |\n|---|---|---|")
    for workload in sorted({trace.workload for trace in traces}):
        thresholds = tune([trace for trace in traces if trace.workload != workload])
        left_out = [trace for trace in traces if trace.workload == workload]
        wrong, lost = errors(left_out, thresholds)
        flagged, missed = flagged + wrong, missed + lost
        chosen[thresholds] += 1
        labels = Counter("leak" if trace.leaks else "clean" for trace in left_out)
        verdicts = _counts(verdict_on(trace, thresholds) for trace in left_out)
        print(f"| {workload} | {_counts(labels.elements())} | {verdicts} |")
    print(
        f"\nleave-one-workload-out: {flagged} clean flagged, {missed} leaks not found; chosen, and how often:"
    )
    for thresholds, times in chosen.items():
        print(f"{times:3} {thresholds}")


def table(traces: Sequence[Trace]) -> None:
    """Print each verdict beside the peer's, and the totals."""
    for trace in traces:
        verdict = judge(trace.samples)
        print(f"{trace.name:48} {verdict.verdict:13} {growth_rule(trace):6} {verdict.line}")
    for name, rule in (("vote", lambda trace: judge(trace.samples).verdict), ("RSS > 10 %", growth_rule)):
        verdicts = [(trace.leaks, rule(trace)) for trace in traces]
        leaks = [verdict for leaks, verdict in verdicts if leaks]
        clean = [verdict for leaks, verdict in verdicts if not leaks]
        print(f"{name:11} leaks: {_counts(leaks)} | clean: {_counts(clean)}")


def _counts(verdicts: Iterable[str]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in Counter(verdicts).most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--tune", action="store_true")
    options = parser.parse_args()
    traces = [read_trace(path, options.every) for path in sorted(options.directory.glob("*.csv"))]
    table(traces)
    if options.tune:
        leave_one_out(traces)


if __name__ == "__main__":
    main()
