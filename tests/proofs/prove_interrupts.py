"""Interrupt the use of faults at random instants, on every seam, and count what the next sweep leaves.

Run: python tests/proofs/prove_interrupts.py [interrupts, default 100000] [seed]
Real KeyboardInterrupts from a timer signal; the exceptions are kept until the sweep, as test runners do.
Nothing may be left: patches, effects outside the process, limits, stopped processes, threads, descriptors and
child processes, and after `close()` neither the supervisor nor ports, files or mounts.
"""

import gc
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from interrupt_cases import CALLS, QUICK, SLOW, Case, Stage, instant, interrupt, ready, seconds_of
from leftovers import Before

CALLS_SHARE, SLOW_SHARE = 0.9, 0.01
ROUNDS_PER_ENGINE = 200
MARGIN = 1.5
"""Interrupts come up to so many times later than a case lasted when it was measured."""


@dataclass(slots=True)
class Row:
    """What was counted on one seam."""

    rounds: int = 0
    interrupts: int = 0
    at_caller: int = 0
    left: int = 0
    longest: float = 0.0
    places: Counter[str] = field(default_factory=Counter)
    what: Counter[str] = field(default_factory=Counter)


class Proof:
    """Counts interrupts and what they leave."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage, self._rng = stage, random.Random(seed)
        self._longest: dict[Case, float] = {}
        stage.renew()
        self._before = Before(stage)
        self.rows: dict[str, Row] = {}

    def run(self, case: Case, wanted: int) -> None:
        """Interrupt a case so many times."""
        row, longest = self.rows.setdefault(case.seam, Row()), MARGIN * seconds_of(case, self._stage)
        row.longest = max(row.longest, longest)
        target = row.interrupts + wanted
        while row.interrupts < target:
            row.rounds += 1
            if row.rounds % ROUNDS_PER_ENGINE == 0:
                self._stage.reseed()
            self._strike(case, instant(self._rng, longest), row)
        self._end(row)

    def _strike(self, case: Case, delay: float, row: Row) -> None:
        ready(case, self._stage)
        struck = interrupt(case, self._stage, delay)
        if struck is not None:
            row.interrupts += 1
            row.places[where(struck)] += 1
            row.at_caller += bool(self._before.left())
        self._stage.chaos.sweep()
        left = self._before.left()
        struck = None  # what tracebacks hold goes with them
        left = left or self._before.left_soon()
        if case.once:
            self._stage.chaos.close()
            left = left or self._before.left_after_close()
        if left:
            row.left += 1
            row.what.update(left)
            self._before.forgive()

    def _end(self, row: Row) -> None:
        """Close the engine, and look for what only then should be gone."""
        self._stage.chaos.close()
        left = self._before.left_after_close()
        row.left += bool(left)
        row.what.update(f"after close: {one}" for one in left)
        self._stage.renew()


def where(struck: KeyboardInterrupt) -> str:
    """Name the innermost function of ours that the interrupt struck."""
    place, trace = "elsewhere", struck.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = code.co_qualname if "pytest_resilience" in code.co_filename else place
        trace = trace.tb_next
    return place


@contextmanager
def interrupts() -> Iterator[Counter[str]]:
    """Let the timer raise; count what is raised where Python cannot pass it on, as in finalizers."""
    swallowed: Counter[str] = Counter()
    hook, sys.unraisablehook = sys.unraisablehook, lambda told: swallowed.update([told.exc_type.__name__])
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()  # others' gc callbacks would swallow interrupts
    try:
        yield swallowed
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, previous)
        sys.unraisablehook = hook


def plan(wanted: int) -> dict[Case, int]:
    """Share the interrupts: calls take most, because the others take milliseconds each."""
    slow = round(wanted * SLOW_SHARE)
    quick = wanted - round(wanted * CALLS_SHARE) - slow
    shares = {CALLS: wanted - quick - slow, QUICK: quick, SLOW: slow}
    counts: Counter[Case] = Counter()
    for cases, count in shares.items():
        counts.update({case: count // len(cases) for case in cases})
        counts.update(islice(cycle(cases), count % len(cases)))
    return dict(counts)


def show(proof: Proof) -> None:
    print("| seam | up to, ms | interrupts | left at the caller | left after the sweep |")
    print("|---|---|---|---|---|")
    for seam, row in proof.rows.items():
        print(f"| {seam} | {row.longest * 1e3:.1f} | {row.interrupts:,} | {row.at_caller:,} | {row.left} |")
        for what, count in row.what.most_common():
            print(f"    left {count} times: {what}")


def main(wanted: int = 100_000, seed: int = 1) -> int:
    """Print what was struck and what was left; return 1 if anything was."""
    started = time.monotonic()
    with Stage() as stage, interrupts() as swallowed:
        proof = Proof(stage, seed)
        for case, count in plan(wanted).items():
            proof.run(case, count)
            print(f"{time.monotonic() - started:.0f} s: {case.seam}, {case.use.__name__}", file=sys.stderr)
    rows = proof.rows.values()
    places = sum((row.places for row in rows), Counter[str]())
    total, seconds = sum(row.interrupts for row in rows), time.monotonic() - started
    print(f"{total:,} interrupts in {seconds:.0f} s, seed {seed}")
    print(f"Python {sys.version.split()[0]}; raised in finalizers and passed to nobody: {dict(swallowed)}")
    show(proof)
    print("struck most often: " + ", ".join(f"{name} {count:,}" for name, count in places.most_common(12)))
    return 1 if any(row.left for row in rows) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with all processes of the stage
    sys.exit(main(*map(int, sys.argv[1:])))
