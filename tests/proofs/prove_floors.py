"""The smallest leak that a run claims it would have found is found, in other runs with the same noise.

Of each run that does not leak the claim is worked out; a leak of just that size is laid over each of the
others, and the vote is asked. The runs are simulated, with noise of several kinds, and recorded: those that
prove_clean_soaks.py keeps with --keep.

Run: python tests/proofs/prove_floors.py [FOLDER-OF-RECORDS ...] [--runs 60]
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from random import Random

from pytest_resilience.memory.detect import find, smallest_found
from pytest_resilience.memory.records import ITSELF
from pytest_resilience.memory.series import Series, read_series
from pytest_resilience.memory.vote import DEFAULTS
from pytest_resilience.soak.stretches import memory_stretch
from pytest_resilience.store.reader import read
from pytest_resilience.units import KIB, MIB

READINGS = 480
PROMISED = 0.95
SIGNALS = ("malloc_used", "blocks")

Noise = Callable[[Random], Iterator[float]]


def still(draw: Random) -> Iterator[float]:
    while True:
        yield 0.0


def temporaries(draw: Random) -> Iterator[float]:
    while True:
        yield draw.uniform(0, MIB)


def rare_giants(draw: Random) -> Iterator[float]:
    while True:
        yield draw.paretovariate(1.2) * 50 * KIB


def teeth(draw: Random) -> Iterator[float]:
    index = draw.randrange(10)
    while True:
        index += 1
        yield (index % 10) * 100 * KIB + draw.uniform(0, 50 * KIB)


def long_teeth(draw: Random) -> Iterator[float]:
    index, length = draw.randrange(60), 60
    while True:
        index += 1
        yield (index % length) * 20 * KIB


def drift(draw: Random) -> Iterator[float]:
    """Yield what wanders, and is drawn back to where it was (an AR(1) process)."""
    height = 0.0
    while True:
        height = 0.95 * height + draw.gauss(0, 40 * KIB)
        yield height


def levels(draw: Random) -> Iterator[float]:
    """Yield one of two levels, as of a pool that grows and shrinks."""
    high = False
    while True:
        high ^= draw.random() < 0.05
        yield 400 * KIB * high + draw.uniform(0, 20 * KIB)


NOISES: Sequence[Noise] = (still, temporaries, rare_giants, teeth, long_teeth, drift, levels)


@dataclass
class Tally:
    """How many leaks of the claimed size were found, and how many runs claim nothing."""

    tried: int = 0
    found: int = 0
    silent: int = 0

    @property
    def holds(self) -> bool:
        return not self.tried or self.found >= PROMISED * self.tried

    def row(self, name: str, runs: int) -> str:
        share = f"{self.found / self.tried:.1%}" if self.tried else ""
        return f"| {name} | {runs} | {self.tried:,} | {share} | {self.silent} |"


def simulated(noise: Noise, seed: int) -> Series:
    """Return a run of readings over 40 iterations each."""
    heights = noise(Random(seed))
    points = [(40.0 * index, 10 * MIB + next(heights)) for index in range(READINGS)]
    return Series(SIGNALS[0], points, [x for x, _ in points], iterates=True)


def tally(runs: Sequence[Series]) -> Tally:
    """Lay the leak that one run claims over each of the others."""
    done = Tally()
    claims = [smallest_found(*find(run, DEFAULTS), DEFAULTS)[0] for run in runs]
    done.silent = claims.count(None)
    for claim, run in ((claims[one], runs[other]) for one, other in permutations(range(len(runs)), 2)):
        if claim is not None:
            done.tried += 1
            leaking = replace(run, points=[(x, y + claim * x) for x, y in run.points])
            done.found += find(leaking, DEFAULTS)[1].outcome == "leak"
    return done


def recorded(folder: Path) -> list[Mapping[str, Series]]:
    """Return the signals of the memory phase of each record in a folder of runs."""
    found: list[Mapping[str, Series]] = []
    for database in sorted(folder.rglob("run.db")):
        data = read(database)
        own = {one.signal: one.per_iteration for one in data.own_slopes}
        samples = [one for one in data.samples if one.process == ITSELF]
        found.append(read_series(samples, own, memory_stretch(data).memory))
    return found


def over_the_run(series: Series) -> Series:
    """Return the points over the share of the run: one had time for more iterations than another."""
    start, end = series.points[0][0], series.points[-1][0]
    return replace(series, points=[((x - start) / (end - start), y) for x, y in series.points])


def rows(folders: Sequence[Path], count: int) -> Iterator[tuple[str, int, Tally]]:
    """Yield what to call a kind of noise, how many runs had it, and how the claims held."""
    for noise in NOISES:
        runs = [simulated(noise, seed) for seed in range(count)]
        yield f"simulated: {noise.__name__.replace('_', ' ')}", count, tally(runs)
    for folder in folders:
        series = recorded(folder)
        for signal in SIGNALS:
            of_signal = [over_the_run(one[signal]) for one in series if signal in one]
            yield f"{folder.name}: {signal}", len(of_signal), tally(of_signal)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--runs", type=int, default=60)
    options = parser.parse_args()
    print("| noise | runs | leaks of the claimed size | found | runs that claim nothing |")
    print("|---|---|---|---|---|")
    broken = 0
    for name, runs, done in rows(options.folders, options.runs):
        broken += not done.holds
        print(done.row(name, runs), flush=True)
    print(f"{broken} kinds below {PROMISED:.0%}")
    return broken


if __name__ == "__main__":
    sys.exit(main())
