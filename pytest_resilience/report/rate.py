"""The rate of iterations: what was asked for, and what the suite reached."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_resilience.errors import SettingsError
from pytest_resilience.rates import RateProfile, parse_rate
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.store.records import Phase
from pytest_resilience.store.run_data import RunData

LOOPING = (PhaseName.BASELINE, PhaseName.CHAOS, PhaseName.MEMORY, PhaseName.RECOVERY)
"""The phases in which nothing but the suite, and its faults, decides how fast the loop is."""


@dataclass(frozen=True, slots=True)
class PhaseRate:
    """Iterations of one phase: asked for, and done."""

    name: str
    asked: float
    reached: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Iterations of all phases that loop: what `share` was reached of the `profile` that was asked for."""

    profile: str
    asked: float
    reached: int
    share: float
    phases: tuple[PhaseRate, ...]

    @property
    def slowest(self) -> PhaseRate:
        """The phase that missed most of what it was asked for."""
        return min(self.phases, key=lambda phase: phase.reached / max(1.0, phase.asked))


def rate_of(data: RunData) -> Rate | None:
    """Compare rates; None if none was asked for, or the run ended before it could be measured."""
    profile = _profile(data.run.settings)
    if profile is None:
        return None
    text, asked_for = profile
    phases = tuple(_rates(asked_for, data))
    if not phases:
        return None
    asked, reached = sum(one.asked for one in phases), sum(one.reached for one in phases)
    return Rate(text, asked, reached, min(1.0, reached / asked) if asked else 1.0, phases)


def _profile(settings: str) -> tuple[str, RateProfile] | None:
    """Read the rate out of the stored settings."""
    try:
        text = json.loads(settings).get("rate")
        return (text, parse_rate(text)) if text else None
    except (ValueError, AttributeError, SettingsError):  # another version's
        return None


def _rates(profile: RateProfile, data: RunData) -> Iterable[PhaseRate]:
    for phase in data.phases:
        if phase.name in LOOPING and phase.started is not None:
            yield PhaseRate(phase.name, _asked(profile, phase, data.elapsed), _reached(phase, data))


def _asked(profile: RateProfile, phase: Phase, elapsed: float) -> float:
    assert phase.started is not None
    ended = elapsed if phase.ended is None else phase.ended
    return profile.iterations_by(ended) - profile.iterations_by(phase.started)


def _reached(phase: Phase, data: RunData) -> int:
    return sum(tally.iterations for tally in data.tallies if tally.phase == phase.name)
