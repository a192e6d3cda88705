"""How much a test may leave behind each time it is run, as its marker says."""

import math
import re
from dataclasses import dataclass

from pytest_resilience.errors import SettingsError, requirement
from pytest_resilience.units import KIB, MIB

DEFAULT_ITERATIONS = 200
FEWEST_ITERATIONS = 20
MOST_ITERATIONS = 1_000_000
DEFAULT_BYTES = float(KIB)
UNITS = {"b": 1, "bytes": 1, "kib": KIB, "kb": 1000, "mib": MIB, "mb": 1_000_000}
COUNTS = ("fds", "threads", "children")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)(?:\s*(?:per|/)\s*iteration)?")


@dataclass(frozen=True, slots=True)
class LeakLimit:
    """What may stay: bytes per iteration, and how many descriptors, threads and children in a round.

    None is not looked at. A round has so many `iterations`.
    """

    memory: float | None = DEFAULT_BYTES
    fds: int | None = None
    threads: int | None = None
    children: int | None = None
    iterations: int = DEFAULT_ITERATIONS

    def count(self, signal: str) -> int | None:
        """Return the limit of descriptors, threads or children."""
        limit: int | None = getattr(self, signal)
        return limit


def leak_limit(
    memory: str | float | None = None,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    fds: int | None = None,
    threads: int | None = None,
    children: int | None = None,
) -> LeakLimit:
    """Return the limit that a marker asks for; raise SettingsError for a wrong value.

    Args:
        memory: such as "1 KiB per iteration"; a number is bytes. By default 1 KiB, or not looked at where
            one of the others is given.
        iterations: of one round, from 20 to 1,000,000.
        fds, threads, children: how many more of them a round may leave.
    """
    if type(iterations) is not int or not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
        constraint = f"a whole number from {FEWEST_ITERATIONS} to {MOST_ITERATIONS:,}"
        raise SettingsError(requirement("iterations", constraint, iterations))
    counts = {"fds": fds, "threads": threads, "children": children}
    for name, count in counts.items():
        if count is not None and (type(count) is not int or count < 0):
            raise SettingsError(requirement(name, "a whole number of at least 0", count))
    given = any(count is not None for count in counts.values())
    size = (None if given else DEFAULT_BYTES) if memory is None else read_size(memory)
    return LeakLimit(size, fds, threads, children, iterations)


def read_size(given: str | float) -> float:
    """Read `1 KiB per iteration`, `512 B` or a number of bytes; raise SettingsError for anything else."""
    fix = 'Write "1 KiB per iteration".'
    if isinstance(given, str):
        found = _SIZE.fullmatch(given.strip().lower())
        size = float(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else math.nan
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        size = float(given)
    else:
        size = math.nan
    if not (math.isfinite(size) and size >= 0):
        raise SettingsError(requirement("The limit", "a size in B, KiB, MiB, kB or MB", given, fix))
    return size
