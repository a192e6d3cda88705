"""Written sequences: each shows in a few moves what random ones seldom come upon."""

from collections.abc import Mapping
from types import MappingProxyType

from pytest_resilience.breakers.adapter import Traits
from pytest_resilience.breakers.moves import (
    FAIL,
    HALF,
    OK,
    OUTLAST,
    OUTLAST_USUAL,
    UNDECIDED,
    Call,
    End,
    Force,
    Sequence,
    Start,
    Wait,
)

Named = Mapping[str, Sequence]

_LATE, _PROBE, _STREAM = Start(), Start(), Start(stream=True)
_WELL, _FAILS = End(0, "ok"), End(0, "failure")


class _Parts:
    """What sequences for a breaker are made of."""

    def __init__(self, traits: Traits) -> None:
        self.trip: Sequence = (FAIL,) * traits.threshold
        self.good: Sequence = (OK,) * traits.successes_to_close
        self.bad: Sequence = (FAIL,) * traits.failures_to_reopen
        self.good_ends: Sequence = (_WELL,) * traits.successes_to_close
        self.half_open: Sequence = (*self.trip, OUTLAST)
        self.recover: Sequence = (*self.half_open, *self.good)
        self.limit = traits.half_open_limit or 2


def templates(traits: Traits) -> Named:
    """Return the written sequences for a breaker with these traits, by what they try."""
    parts = _Parts(traits)
    groups = (_in_a_row, _late_successes, _late_failures, _stale_probes, _streams, _forced, _undecided)
    return MappingProxyType({name: moves for group in groups for name, moves in group(parts).items()})


def _in_a_row(parts: _Parts) -> Named:
    trip, good, bad = parts.trip, parts.good, parts.bad
    return {
        "trip and recover": (*trip, OK, HALF, OK, HALF, Wait(0.02), *bad, OK, OUTLAST, *good, *trip, OK),
        "a failed probe after good ones": (*parts.half_open, *good[1:], *bad, OK, *trip, OK),
        "open for longer after a failed probe": (*trip, OUTLAST_USUAL, *bad, OUTLAST_USUAL, OK, OUTLAST, OK),
        "a success starts the count anew": (*trip[1:], OK, *trip[1:], OK, *trip, OK),
    }


def _late_successes(parts: _Parts) -> Named:
    trip, half_open = parts.trip, parts.half_open
    several = (_LATE,) * len(parts.good)
    return {
        "late success while open": (_LATE, *trip, _WELL, OK),
        "late success two eras later": (_LATE, *parts.recover, *trip, _WELL, OK),
        "late success in half-open": (_LATE, *half_open, _PROBE, _WELL, _FAILS, *parts.bad[1:], OK),
        "late success instead of a probe": (
            *several,
            *half_open,
            _PROBE,
            *parts.good_ends,
            *trip[1:],
            _PROBE,
        ),
    }


def _late_failures(parts: _Parts) -> Named:
    trip, half_open, good = parts.trip, parts.half_open, parts.good
    cancelled = End(0, "cancelled")
    return {
        "late failure while open": (_LATE, *trip, HALF, _FAILS, OK, OUTLAST, OK),
        "late failure in half-open": (_LATE, *half_open, _PROBE, _FAILS, _WELL, OUTLAST, *good, OK),
        "late failure after recovery": (_LATE, *parts.recover, _FAILS, OK),
        "late cancellation after recovery": (_LATE, *parts.recover, cancelled, OK, *trip, OK),
    }


def _stale_probes(parts: _Parts) -> Named:
    half_open, bad = parts.half_open, parts.bad
    probes = (_PROBE,) * max(2, len(parts.good) + 1)
    stale = (*half_open, _PROBE, _PROBE, End(1, "failure"), *bad[1:], OUTLAST, OUTLAST, OUTLAST)
    return {
        "second probe fails after the first closed": (*half_open, *probes, *parts.good_ends, _FAILS, OK),
        "second probe succeeds after the first opened": (
            *(*half_open, _PROBE, _PROBE, End(1, "failure"), *bad[1:]),
            *(_WELL, OK),
        ),
        "stale probe two eras later": (*stale, _PROBE, _WELL, _FAILS, *bad[1:], OK),
        "half-open limit": (*half_open, *(_PROBE,) * (parts.limit + 1), *(_WELL,) * parts.limit, OK),
    }


def _streams(parts: _Parts) -> Named:
    closed = End(0, "closed")
    return {
        "streams fail": (*(_STREAM, _FAILS) * len(parts.trip), OK),
        "streams are closed early": (*(_STREAM, closed) * len(parts.trip), OK),
        "a probe's stream is closed early": (
            *(*parts.half_open, _STREAM, closed),
            *(OUTLAST, OUTLAST, *parts.good, OK),
        ),
    }


def _forced(parts: _Parts) -> Named:
    trip, good = parts.trip, parts.good
    return {
        "forced open": (Force("open"), OK, OUTLAST, *good, OK, *trip, OK),
        "forced closed": (*trip, Force("closed"), OK, *trip, OK),
        "forced half-open": (Force("half_open"), *parts.bad, OK, Force("half_open"), *good, *trip, OK),
        "late failure after force": (_LATE, *trip, Force("closed"), _FAILS, OK),
    }


def _undecided(parts: _Parts) -> Named:
    """Calls that end without a verdict: as probes, as probes of an earlier half-open, and while closed."""
    named: dict[str, Sequence] = {}
    for outcome in UNDECIDED:
        ends = End(0, outcome)
        probe = (*parts.half_open, _PROBE, ends)
        stale = (*parts.half_open, _PROBE, *parts.bad, OUTLAST, OUTLAST, *(_PROBE,) * parts.limit, ends)
        named[f"{outcome} probe does not close"] = (*probe, *parts.bad, OK)
        named[f"{outcome} probe gives its place back"] = (*probe, OUTLAST, OUTLAST, *parts.good, OK)
        named[f"{outcome} stale probe gives no place back"] = (*stale, _PROBE)
        named[f"{outcome} call at the threshold"] = (*parts.trip[1:], Call(outcome), *parts.trip, OK)
    return named
