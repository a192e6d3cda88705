"""What several workers report, as if one runner had."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from pytest_resilience.chaos.records import Seam
from pytest_resilience.soak import messages

MOST_TROUBLES = 3


def whole_progress(parts: Mapping[str, messages.Progress], looping: Iterable[int]) -> messages.Progress:
    """Sum the counters of all workers, dead ones too.

    `looping` are the rounds of those that loop now: a round is complete when the slowest has completed it.
    """
    return messages.Progress(
        at=max((part.at for part in parts.values()), default=0.0),
        iterations=sum(part.iterations for part in parts.values()),
        rounds=min(looping, default=0),
        failures=sum(part.failures for part in parts.values()),
        failures_outside=sum(part.failures_outside for part in parts.values()),
        longest_round=max((part.longest_round for part in parts.values()), default=0.0),
        longest_calm_round=max((part.longest_calm_round for part in parts.values()), default=0.0),
    )


def whole_declared(parts: Sequence[messages.Declared]) -> messages.Declared:
    """Unite what workers declare; a scenario that can be injected in one of them can be injected."""
    candidates: dict[tuple[str, ...], tuple[str, ...]] = {}
    for candidate in chain.from_iterable(part.candidates for part in parts):
        scenario, target, seam, _, reason, _ = candidate
        known = candidates.setdefault((scenario, target, seam), candidate)
        if known[4] and not reason:
            candidates[scenario, target, seam] = candidate
    return messages.Declared(
        tests=_united(part.tests for part in parts),
        services=_united(part.services for part in parts),
        breakers=_united(part.breakers for part in parts),
        edges=max(part.edges for part in parts),
        candidates=tuple(candidates.values()),
        at_once=min(part.at_once for part in parts),
    )


def disagreement(name: str, declared: messages.Declared, whole: messages.Declared) -> str:
    """Say what a worker declares otherwise than all together, or return an empty string."""
    for what in ("services", "breakers"):
        mine, theirs = set(getattr(declared, what)), set(getattr(whole, what))
        if lost := sorted(theirs - mine):
            return f"{name} does not declare the {what} {', '.join(lost)}, as other workers do"
    return ""


def whole_seams(seams: Iterable[Seam]) -> Iterator[Seam]:
    """Yield each seam once: reached counts are summed, latencies weighted by them."""
    groups: dict[tuple[str, str], list[Seam]] = {}
    for seam in seams:
        groups.setdefault((seam.service, seam.target), []).append(seam)
    for group in groups.values():
        timed = [(seam.normal_seconds, seam.reached) for seam in group if seam.normal_seconds is not None]
        weight = sum(reached for _, reached in timed)
        normal = sum(seconds * reached for seconds, reached in timed) / weight if weight else None
        first = group[0]
        yield Seam(first.service, first.target, sum(seam.reached for seam in group), normal, first.kind)


def told_once(troubles: Mapping[str, Sequence[str]]) -> str:
    """Say what went wrong in workers; what all of them say is said once."""
    by_text: dict[str, list[str]] = {}
    for worker, texts in troubles.items():
        for text in texts:
            by_text.setdefault(text, []).append(worker)
    said = [f"{text} ({', '.join(workers)})" for text, workers in by_text.items()]
    return "; ".join(said[:MOST_TROUBLES])


def _united(parts: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(parts)))
