"""Show that exploring finds the known defects whatever the seed, and accuses no right breaker.

Usage: python tests/proofs/prove_known_defects.py [SEEDS]
"""

import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).parents[1]))

from breaker_mutants import HERD, PLAIN, RATES, TWO_PROBES, TWO_TO_CLOSE
from breaker_samples import SAMPLES
from defects import KNOWN_DEFECTS, RIGHT

from pytest_resilience.breakers.explore import ExploreReport, explore
from pytest_resilience.breakers.reference import reference_adapter

SEEDS = 20


def known(seeds: int) -> tuple[Counter[str], Counter[str], float]:
    """Return how often each defect was found, how often by random sequences, and the longest run."""
    found, random, longest = Counter[str](), Counter[str](), 0.0
    for sample in dict.fromkeys(sample for sample, _ in KNOWN_DEFECTS.values()):
        for seed in range(seeds):
            began = monotonic()
            report = explore(sample, SAMPLES[sample], seed=seed)
            longest = max(longest, monotonic() - began)
            for defect, (where, shows) in KNOWN_DEFECTS.items():
                found[defect] += where == sample and any(map(shows, report.counterexamples))
            random[sample] += sum(one.found_by == "random" for one in report.counterexamples)
    return found, random, longest


def accused(seeds: int) -> Counter[str]:
    """Return how often a breaker that is right was accused, by its name."""
    settings = {"plain": PLAIN, "two probes": TWO_PROBES, "herd": HERD, "two": TWO_TO_CLOSE, "rates": RATES}
    right: dict[str, Callable[[], object]] = {name: SAMPLES[name] for name in RIGHT}
    for name, traits in settings.items():
        right[f"reference ({name})"] = lambda traits=traits: reference_adapter(traits)  # type: ignore[misc]
    wrong = Counter[str]()
    for name, make in right.items():
        reports: list[ExploreReport] = [explore(name, make, seed=seed) for seed in range(seeds)]
        wrong[name] = sum(not report.passed for report in reports)
        for report in reports:
            if not report.passed:
                print(report)
    return wrong


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # aiobreaker's own
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    found, random, longest = known(seeds)
    for defect in KNOWN_DEFECTS:
        print(f"found in {found[defect]:2} of {seeds} seeds: {defect}")
    print(f"findings by random sequences beyond the written ones: {dict(random)}")
    print(f"longest run {longest:.1f} s")
    wrong = accused(seeds)
    for name, count in wrong.items():
        print(f"accused in {count} of {seeds} seeds: {name}")
    missed = any(found[defect] < seeds for defect in KNOWN_DEFECTS)
    sys.exit(missed or sum(wrong.values()) > 0)


if __name__ == "__main__":
    main()
