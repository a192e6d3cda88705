"""Names for a detected leak: what kind it is, which pattern it follows, how bad it is and where to look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

from pytest_resilience.memory.records import ITSELF
from pytest_resilience.memory.trend import Point, quarter_growths
from pytest_resilience.units import KIB, MIB, format_bytes

BLOCK_BYTES = 64
OBJECT_BYTES = 128

ACCELERATION = 1.3
STEP_SHARE = 0.25
STEP_GROWTH = 0.9
STEP_NOISE = 1.5


@dataclass(frozen=True, slots=True)
class Trait:
    """What there is to know about a signal.

    Args:
        noun: what grows, for sentences.
        one: the same in the singular.
        unit: of the record.
        kind: of the leak that this signal stands for.
        floor: growth over a run that is noise.
        weight: bytes that one unit stands for, to compare signals; 0 where the count itself is the harm.
        advice: where to look.
    """

    noun: str
    one: str
    unit: str
    kind: str
    floor: float
    weight: float
    advice: str

    def counted(self, number: str) -> str:
        """Write a number of it: `1 descriptor`, `1,792 descriptors`."""
        return f"{number} {self.one if number == '1' else self.noun}"


TRAITS: Mapping[str, Trait] = MappingProxyType(
    {
        "children": Trait(
            "child processes",
            "child process",
            "processes",
            "processes",
            floor=4,
            weight=0,
            advice="Wait for every subprocess and multiprocessing.Process, and close pools and executors.",
        ),
        "threads": Trait(
            "threads",
            "thread",
            "threads",
            "threads",
            floor=4,
            weight=0,
            advice="Join threads and shut down executors; threading.enumerate() names the ones that stay.",
        ),
        "fds": Trait(
            "descriptors",
            "descriptor",
            "descriptors",
            "descriptors",
            floor=4,
            weight=0,
            advice="Close files, sockets, pipes and clients; ls -l /proc/<pid>/fd shows what is open.",
        ),
        "malloc_used": Trait(
            "malloc memory",
            "malloc memory",
            "bytes",
            "native",
            floor=128 * KIB,
            weight=1,
            advice="Look for buffers, strings and arrays that are kept, and C extensions that do not free.",
        ),
        "blocks": Trait(
            "Python blocks",
            "Python block",
            "blocks",
            "Python objects",
            floor=1024,
            weight=BLOCK_BYTES,
            advice="Look for caches without a limit, lists and dicts that only grow, callbacks that stay.",
        ),
        "gc_objects": Trait(
            "containers",
            "container",
            "objects",
            "Python objects",
            floor=512,
            weight=OBJECT_BYTES,
            advice="Look for containers and instances that stay referenced; count gc.get_objects() by type.",
        ),
        "rss": Trait(
            "resident memory",
            "resident memory",
            "bytes",
            "fragmentation",
            floor=MIB,
            weight=1,
            advice="Neither malloc nor Python uses it: look for mmap, fragmentation and native allocators.",
        ),
        "children_pss": Trait(
            "child processes' memory",
            "child processes' memory",
            "bytes",
            "processes",
            floor=MIB,
            weight=1,
            advice="Watch the child that grows by itself, with the fixture resilience_processes.",
        ),
        "uncollectable": Trait(
            "uncollectable objects",
            "uncollectable object",
            "objects",
            "Python objects",
            floor=16,
            weight=OBJECT_BYTES,
            advice="The garbage collector cannot free them: gc.garbage holds them; look for C extensions.",
        ),
    }
)

OUTSIDE_KIND = "memory"
OUTSIDE_ADVICE = "From outside only its size can be seen: soak its own tests, or profile its memory."


def trait_of(signal: str, process: str = ITSELF) -> Trait:
    """Return what there is to know about a signal, of another process too, or declared by the user."""
    if signal == "rss" and process != ITSELF:
        return replace(TRAITS["rss"], kind=OUTSIDE_KIND, advice=OUTSIDE_ADVICE)
    return TRAITS.get(signal) or Trait(
        signal,
        signal,
        "units",
        signal,
        floor=4,
        weight=0,
        advice=f"Look at what adds to {signal} and what removes.",
    )


# Limits per hour of info, warning and critical; what is above them is an emergency.
# 1,024 descriptors is the usual limit of a process, and 24 hours of 40 reach it.
SEVERITIES = ("info", "warning", "critical", "emergency")
BYTE_LIMITS = (1 * MIB, 100 * MIB, 1024 * MIB)
COUNT_LIMITS = (1, 40, 1024)


def name_pattern(signal: str, points: Sequence[Point], lows: Sequence[Point]) -> str:
    """Name how a leaking signal grows: exponential, stepwise, object_accumulation or linear.

    Args:
        signal: which one; Python objects that grow steadily are an accumulation.
        points: all its readings in the stretch that leaks.
        lows: the lower envelope of the points.
    """
    if _accelerates(lows):
        return "exponential"
    if _climbs_in_steps(points):
        return "stepwise"
    return "object_accumulation" if trait_of(signal).kind == "Python objects" else "linear"


def _accelerates(lows: Sequence[Point]) -> bool:
    quarters = quarter_growths(lows)
    return min(quarters) > 0 and all(later >= ACCELERATION * earlier for earlier, later in pairwise(quarters))


def _climbs_in_steps(points: Sequence[Point]) -> bool:
    """Tell whether few of the readings carry nearly all growth, and the others stand still."""
    rises = sorted((later[1] - earlier[1] for earlier, later in pairwise(points)), reverse=True)
    climbed = sum(rise for rise in rises if rise > 0)
    if climbed > STEP_NOISE * sum(rises):
        return False
    return sum(rises[: int(len(rises) * STEP_SHARE)]) >= STEP_GROWTH * climbed


def name_severity(signal: str, per_hour: float) -> str:
    """Grade a rate per hour of the signal: info, warning, critical or emergency."""
    weight = trait_of(signal).weight
    limits = BYTE_LIMITS if weight else COUNT_LIMITS
    return SEVERITIES[sum(per_hour * (weight or 1) >= limit for limit in limits)]


def describe_rate(signal: str, per_iteration: float | None, per_hour: float, of: str = "") -> str:
    """Write a rate for people: `514 B/iteration (7.2 MiB/h) of malloc memory`, or `of` something else."""
    trait = trait_of(signal)
    if trait.unit == "bytes":
        hourly, each = f"{format_bytes(per_hour)}/h", f"{format_small(per_iteration or 0)}/iteration"
        noun = f" of {of or trait.noun}"
    else:
        count = f"{per_iteration or 0:.3g}"
        hourly, each = f"{per_hour:,.0f}/h", f"{trait.counted(count)}/iteration"
        noun = ("" if per_iteration else f" {trait.noun}") + (f" of {of}" if of else "")
    return (f"{each} ({hourly})" if per_iteration else hourly) + noun


def format_small(size: float) -> str:
    """Write a size that may be a fraction of a byte: `0.27 B`, `514 B`, `2.7 KiB`."""
    return f"{size:.2g} B" if 0 < size < 10 else format_bytes(size)
