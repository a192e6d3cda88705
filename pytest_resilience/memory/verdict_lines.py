"""A leak verdict in one line: what, how fast, of what, what the run could have seen, and where to look."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from pytest_resilience.memory.known_leaks import is_known
from pytest_resilience.memory.patterns import describe_rate, format_small
from pytest_resilience.memory.records import Culprit, Leak
from pytest_resilience.memory.series import NEEDED, Series
from pytest_resilience.memory.vote import Finding
from pytest_resilience.units import format_bytes, format_duration

Rate: TypeAlias = tuple[float | None, float | None]
"""Per iteration, where iterations are known, and per hour."""

MOST_TOLD = 3


def leak_line(leak: Leak, culprits: Sequence[Culprit], in_bytes: Rate, known: Sequence[str]) -> str:
    """Say what leaks; `in_bytes` is about what leaking objects take, per iteration and hour, if known.

    `leak: 514 B/iteration (7.2 MiB/h) of dict, held by shop.cache._quotes, …` once the culprit is known. Of
    several each has by how much it grew, as the rate is that of all; those of `known` come last.
    """
    told = _told(culprits, known)
    each, hourly = in_bytes
    counted = describe_rate(leak.signal, leak.per_iteration, leak.per_hour, "" if hourly else told)
    sized = describe_rate("malloc_used", each, hourly, told or "memory") + ", " if hourly else ""
    return f"leak: {sized}{counted}, {leak.pattern}, confidence {leak.confidence:.2f}"


def _told(culprits: Sequence[Culprit], known: Sequence[str]) -> str:
    if len(culprits) == 1:
        return culprits[0].noun
    accepted = [one for one in culprits if is_known(one.noun, known)]
    others = [one for one in culprits if one not in accepted]
    shown = [*map(_grown, others[:MOST_TOLD]), *(f"known: {_grown(one)}" for one in accepted[:MOST_TOLD])]
    more = len(culprits) - len(shown)
    return " and of ".join([*shown, *([f"{more} more"] if more else [])])


def _grown(culprit: Culprit) -> str:
    return f"{culprit.noun} ({culprit.grew:,.0f} more)"


ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "descriptor": "Look where {0.name} is opened, and close it.",
        "thread": "Look where {0.name} is started, and join it or shut it down.",
        "process": "Look where {0.name} is started, and wait for it.",
        "line": "Look at what should free the {0.name}.",
    }
)
UNNAMED = "Nobody was found who holds it: soak longer; the extra memray names the line that allocates it."
HELD_KINDS = ("type", "container")
HELD = "Look at {0.held_by}: give it a limit, or let go of what nobody needs any more."


def advice_on(culprits: Sequence[Culprit], otherwise: str) -> str:
    """Say what to look at: the most likely culprit, or what helps `otherwise`."""
    if not culprits:
        return otherwise
    pattern = HELD if culprits[0].held_by else ADVICE.get(culprits[0].kind, otherwise)
    return pattern.format(culprits[0])


def suspect_line(series: Series, finding: Finding) -> str:
    """Say what grew and cannot be told from a warm-up or a cycle yet."""
    noun = series.trait.noun
    if finding.outcome == "late":
        since = format_duration(series.times[-1] - series.times[finding.begins])
        return (
            f"inconclusive: {noun} began to grow in the last {since}, a warm-up or a leak; run twice as long."
        )
    slow = f"the rise and fall of {noun} is too slow to compare three of its lows"
    return f"inconclusive: {slow}; run four times as long."


def clean_line(samples: int, per_iteration: float | None, per_hour: float | None) -> str:
    """Say that nothing leaks, and how much would have shown."""
    clean = f"clean: nothing keeps growing over {samples} samples"
    if per_hour is None:
        return f"{clean}."
    hourly = f"{format_bytes(per_hour)}/h"
    smallest = hourly if per_iteration is None else f"{format_small(per_iteration)}/iteration ({hourly})"
    return f"{clean}; a leak of {smallest} would have been found."


def grown_line(culprits: Iterable[Culprit]) -> str:
    """Say which suspects grew to the end, after a verdict that is open."""
    return _growing("Suspect, and", culprits)


def little_line(culprits: Iterable[Culprit]) -> str:
    """Say who grew to the end of a run that is clean: a leak below the floor; not what nobody holds."""
    named = (one for one in culprits if one.held_by or one.kind not in HELD_KINDS)
    return _growing("Too little to be called a leak, but", named)


def _growing(opening: str, culprits: Iterable[Culprit]) -> str:
    grown = "; ".join(map(_grown, culprits))
    return f" {opening} growing to the end: {grown}." if grown else ""


def too_few_line(count: int) -> str:
    """Say that there is not enough to judge."""
    return f"inconclusive: {count} samples, {NEEDED} are needed; run longer or sample more often."
