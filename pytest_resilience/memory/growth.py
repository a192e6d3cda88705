"""How much a run grew: resident memory after garbage collection, at the end against the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.series import Window, within

NEEDED_CHECKPOINTS = 3
BASELINE_SHARE = 0.25
END_SHARE = 0.1
FADED = 0.5


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of resident memory; bytes unless said otherwise.

    Args:
        percent: of the baseline; None if it could not be measured.
        baseline: median at the end of BASELINE_ESTABLISHMENT.
        current: median at the end of MEMORY_SOAK_TESTING.
        fades: memory grew and has nearly stopped, as a cache that is full does.
        max_rss: highest reading of the run.
        reason: what was missing; empty if nothing was.
    """

    percent: float | None
    baseline: float | None
    current: float | None
    fades: bool
    max_rss: int
    reason: str = ""


def measure(samples: Sequence[Sample], baseline: Window | None, memory: Window | None) -> Growth:
    """Measure growth between two phases.

    Args:
        samples: of the whole run; only checkpoints count, except for the highest reading.
        baseline: start and end of BASELINE_ESTABLISHMENT in seconds of the run; None if it did not run.
        memory: the same of MEMORY_SOAK_TESTING.
    """
    highest = max((sample.rss for sample in samples), default=0)
    before, after = (
        _checkpoints(samples, _end(baseline, BASELINE_SHARE)),
        _checkpoints(samples, _end(memory, END_SHARE)),
    )
    reason = _missing(before, after)
    if reason or memory is None:
        return Growth(None, None, None, fades=False, max_rss=highest, reason=reason)
    old, new = _typical(before), _typical(after)
    middle = _checkpoints(samples, _third_quarter(memory))
    fades = bool(middle) and _pace(middle, after) < FADED * _pace(before, after)
    return Growth(100 * (new - old) / old, old, new, fades=new > old and fades, max_rss=highest)


def _end(window: Window | None, share: float) -> Window | None:
    return window and (window[1] - share * (window[1] - window[0]), window[1])


def _third_quarter(window: Window) -> Window:
    half = (window[0] + window[1]) / 2
    return half, (half + window[1]) / 2


def _checkpoints(samples: Sequence[Sample], window: Window | None) -> Sequence[Sample]:
    return [sample for sample in within(samples, window) if sample.checkpoint] if window else []


def _typical(checkpoints: Sequence[Sample]) -> float:
    return median(sample.rss for sample in checkpoints)


def _pace(before: Sequence[Sample], after: Sequence[Sample]) -> float:
    """Return the bytes per second between two groups of checkpoints."""
    seconds = fmean(sample.at for sample in after) - fmean(sample.at for sample in before)
    return (_typical(after) - _typical(before)) / seconds if seconds > 0 else 0.0


def _missing(before: Sequence[Sample], after: Sequence[Sample]) -> str:
    places = (
        (before, "the last quarter of BASELINE_ESTABLISHMENT"),
        (after, "the last tenth of MEMORY_SOAK_TESTING"),
    )
    short = [f"{place} has {len(found)}" for found, place in places if len(found) < NEEDED_CHECKPOINTS]
    if not short:
        return ""
    return (
        f"inconclusive, because {' and '.join(short)} of the {NEEDED_CHECKPOINTS} checkpoints that are needed"
    )
