"""Kill soaks at random instants, resume them, and see that nothing is lost, broken or left.

Run: python tests/proofs/prove_kills_of_runs.py [kills, default 200] [seed]
Each run uses faults on calls, a proxy, a process, the topology and the cores. It is killed at a random
instant from its start to its end (the test process, its supervisor, or both; of a run of two workers the
controller, all processes, their supervisors, or one worker and then the controller), opened, and resumed by
the same command line until it completes; some are killed again while they are resumed. Each time it is drawn
anew whether the run has one process or two workers.
"""

import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from interrupt_cases import Stage
from killed_runs import LASTS, MOST_LOST_SECONDS, WAYS, WAYS_OF_WORKERS, KilledRun, Tally

START_SECONDS = 3.0
OF_START = 0.25
"""Share of the kills at an instant of the start."""

WORKERS = (0, 2)
AGAIN = 0.3
"""Share of the kills after which the resumed run is killed, too."""


def main(kills: int = 200, seed: int = 1) -> int:
    """Print what was killed and what became of it; return 1 if anything was wrong."""
    rng, tally, began = random.Random(seed), Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="resilience-runs-") as folder, Stage() as stage:
        number = 0
        while tally.kills < kills:
            number += 1
            run = KilledRun(stage, Path(folder, f"run-{number}"), tally)
            over = _strike(run, rng)
            while not over and rng.random() < AGAIN and tally.kills < kills:
                over = _strike(run, rng)
            if not over:
                run.finish(rng.choice(WORKERS))
    _print(tally, seed, time.monotonic() - began)
    return 1 if tally.wrong or tally.most_lost > MOST_LOST_SECONDS or tally.completed < tally.resumed else 0


def _strike(run: KilledRun, rng: random.Random) -> bool:
    workers = rng.choice(WORKERS)
    way = rng.choice(WAYS_OF_WORKERS if workers else WAYS)
    if rng.random() < OF_START:
        return run.strike(way, rng.uniform(0.2, START_SECONDS), workers, of_loop=False)
    return run.strike(way, rng.uniform(0.0, LASTS), workers)


def _print(tally: Tally, seed: int, seconds: float) -> None:
    print(f"{tally.kills} kills, Python {sys.version.split()[0]}, seed {seed}, {seconds:.0f} s")
    print("| | |")
    print("|---|---|")
    print(f"| of these of two workers and their controller | {tally.of_workers} |")
    print(f"| kills while a helper process lived or a process was stopped | {tally.under_faults} |")
    print(f"| kills before there was a record | {tally.before_a_record} |")
    print(f"| records that open, intact | {tally.opened} |")
    print(f"| most that was missing of a record | {tally.most_lost:.2f} s |")
    print(f"| runs resumed to the end, completed | {tally.resumed}, {tally.completed} |")
    print(f"| of these from one process to workers, or back | {tally.resumed_otherwise} |")
    print(f"| left over or wrong | {len(tally.wrong)} |")
    for what in tally.wrong:
        print(f"    {what}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with all processes of the stage
    sys.exit(main(*map(int, sys.argv[1:])))
