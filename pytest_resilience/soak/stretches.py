"""Memory is a matter of one process: which stretch of a resumed run its judgement rests on."""

from dataclasses import dataclass

from pytest_resilience.memory.growth import BASELINE_SHARE
from pytest_resilience.memory.series import Window
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import format_duration

MOST_AS_BASELINE = 0.25
"""Of what a process looped, where its own beginning has to stand for the baseline."""

OWN = "compared with the beginning of the process that resumed the run"
WARM = 0.75
"""Of that beginning: before, the process still warms up."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The windows (run seconds) that are compared, in processes of `attempt`, each by itself.

    `part` says how much of the memory soak that is, if not all of it; `own` that it is its own baseline.
    """

    baseline: Window | None
    memory: Window | None
    attempt: int = 1
    part: str = ""
    own: str = ""


def memory_stretch(data: RunData) -> Stretch:
    """Return the longest part of the memory soak that one attempt ran, and the baseline that it has.

    Processes that were started after the baseline are compared with their own beginning.
    """
    baseline, memory = data.window(PhaseName.BASELINE), data.window(PhaseName.MEMORY)
    if memory is None or len(data.attempts) < 2:
        return Stretch(baseline, memory)
    number, process, part = max(_parts(data, memory), key=lambda one: _length(one[2]))
    share = "" if part == memory else _share(part, memory)
    if baseline is None or process[0] <= baseline[1] - BASELINE_SHARE * _length(baseline):
        return Stretch(baseline, part, number, share)
    beginning = min(_length(baseline), MOST_AS_BASELINE * (part[1] - process[0]))
    end = process[0] + beginning
    own = (end - WARM / BASELINE_SHARE * beginning, end)  # of a baseline its last quarter counts
    return Stretch(own, (max(part[0], end), part[1]), number, share, OWN)


def _share(part: Window, memory: Window) -> str:
    looped, whole = format_duration(_length(part)), format_duration(_length(memory))
    return f"judged in the process that looped longest, {looped} of {whole}"


def _parts(data: RunData, window: Window) -> list[tuple[int, Window, Window]]:
    """Return each attempt: its number, its time, and its part of the window."""
    attempts = sorted(data.attempts, key=lambda attempt: attempt.number)
    ends = [*(attempt.began for attempt in attempts[1:]), max(attempts[-1].began, window[1])]
    return [
        (one.number, (one.began, end), (max(one.began, window[0]), min(end, window[1])))
        for one, end in zip(attempts, ends, strict=True)
    ]


def _length(window: Window) -> float:
    return max(0.0, window[1] - window[0])
