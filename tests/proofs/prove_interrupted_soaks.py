"""Strike whole soaks with storms of SIGINT, SIGTERM and SIGHUP: faults go, and reports are written.

Run: python tests/proofs/prove_interrupted_soaks.py [storms, default 200] [seed]
Each storm of one to eight signals strikes a soak of its own, of 5 s over calls, an endpoint, a process and
the host, at a random instant from the set-up of its fixtures to its end. Two seconds after the run nothing
may be left of it outside; no patch and no limit when its fixtures are torn down; report.json and the JUnit
file must have the result.
"""

import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from interrupt_cases import Stage
from storm_cases import Struck, storms, strike


@dataclass
class Row:
    """What was counted of the runs that ended in one way."""

    storms: int = 0
    signals: int = 0
    acting: int = 0
    wrong: int = 0
    longest: float = 0.0
    what: list[str] = field(default_factory=list)

    def add(self, struck: Struck) -> None:
        self.storms += 1
        self.signals += struck.sent
        self.acting += bool(struck.acting)
        self.wrong += bool(struck.wrong)
        self.longest = max(self.longest, struck.seconds)
        self.what += struck.wrong


def main(wanted: int = 200, seed: int = 1) -> int:
    """Print how the runs ended and what was left; return 1 if anything was wrong."""
    rows: dict[str, Row] = {}
    acting: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="resilience-storms-") as root, Stage() as stage:
        for number, storm in enumerate(storms(wanted, seed)):
            struck = strike(stage, Path(root, str(number)), storm)
            rows.setdefault(struck.how, Row()).add(struck)
            acting.update({one.split()[0] for one in struck.acting})
    print(
        f"{wanted} storms, Python {sys.version.split()[0]}, seed {seed}; acting when struck: {dict(acting)}"
    )
    print("| the run | storms | signals | while something acted | wrong or left | ended after at most, s |")
    print("|---|---|---|---|---|---|")
    for how, row in sorted(rows.items()):
        counts = f"{row.storms} | {row.signals} | {row.acting} | {row.wrong} | {row.longest:.1f}"
        print(f"| {how} | {counts} |")
        for what in row.what:
            print(f"    {what}")
    return 1 if any(row.wrong for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
