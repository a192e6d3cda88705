"""No leak is reported where there is none: soaks of the example, and of suites that others wrote.

Each soak is a pytest of its own. Of the example all tests marked for it are soaked, with faults on calls and
endpoints; of a suite given as a folder every test (--soak-all), without faults.

Run: python tests/proofs/prove_clean_soaks.py [--soaks 10] [--seconds 60] [FOLDER-OF-A-SUITE ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_resilience.store.layout import latest_folder
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

EXAMPLE = Path(__file__).parents[2] / "examples" / "odds_shop"
HOST_SCENARIOS = ("memory_pressure", "cpu_saturation", "resource_exhaustion")
NO_HOST = "resilience_scenarios=" + "\n".join(f"not {name}" for name in HOST_SCENARIOS)
NO_CHAOS = "resilience_enable_chaos_testing=false"
LOOP_SCOPE = "asyncio_default_fixture_loop_scope=function"
"""Or pytest-asyncio warns, which is an error in many suites."""


@dataclass(frozen=True)
class Case:
    """A suite to soak: its folder, and what pytest is told beside the duration."""

    name: str
    folder: Path
    options: tuple[str, ...]


def soak(case: Case, seconds: int, seed: int, root: Path) -> RunData:
    """Soak a suite in a process of its own and return what was recorded; raise if nothing was."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--soak-duration={seconds}s"]
    command += [f"--resilience-dir={root}", f"--resilience-seed={seed}", *case.options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=case.folder, env=environment, capture_output=True, text=True)
    folder = latest_folder(root)
    if folder is None:
        raise SystemExit(f"{case.name} could not be soaked:\n{done.stdout}\n{done.stderr}")
    return read(folder.database)


def cases(soaks: int, suites: Sequence[Path], without: Sequence[str]) -> list[Case]:
    """Return the example so many times, and each suite once, without some tests."""
    example = Case("odds_shop", EXAMPLE, ("--override-ini", NO_HOST))
    alone = ("--soak-all", "-p", "no:randomly", "--override-ini", NO_CHAOS, "--override-ini", LOOP_SCOPE)
    chosen = (*alone, *(f"--deselect={test}" for test in without))
    return [example] * soaks + [Case(suite.name, suite, chosen) for suite in suites]


def line(case: Case, data: RunData) -> str:
    """Describe a soak as a row of a table."""
    verdicts = {one.criterion: one for one in data.verdicts}
    leak = verdicts["memory_leak_detected"]
    iterations = sum(tally.iterations for tally in data.tallies)
    return f"| {case.name} | {iterations:,} | {leak.verdict} | {leak.detail} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soaks", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="a folder for the records")
    parser.add_argument("--deselect", action="append", default=[], help="a test of a suite to leave out")
    parser.add_argument("suites", type=Path, nargs="*")
    options = parser.parse_args()
    print("| suite | iterations | memory_leak_detected | detail |\n|---|---|---|---|", flush=True)
    flagged = 0
    for seed, case in enumerate(cases(options.soaks, options.suites, options.deselect)):
        with tempfile.TemporaryDirectory() as temporary:
            data = soak(
                case, options.seconds, seed, (options.keep or Path(temporary)) / f"{case.name}-{seed}"
            )
        flagged += bool(data.leaks)
        print(line(case, data), flush=True)
    print(f"{flagged} flagged")
    sys.exit(bool(flagged))


if __name__ == "__main__":
    main()
