"""Whether the suite came back from an event, judged by the event's record alone."""

from dataclasses import dataclass
from typing import Literal

from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.soak.recovery import LIMIT_SECONDS
from pytest_resilience.units import format_duration


@dataclass(frozen=True, slots=True)
class EventRecovery:
    """How an event ended: recovered within its limit, not, or undecided as the run ended before the limit.

    An event that was cut off by the end of its process is unknown: it may have gone either way.
    `seconds` is from the removal of the fault to recovery, or as long as the run waited for it.
    """

    event: ChaosEvent
    outcome: Literal["recovered", "not recovered", "undecided", "unknown"]
    seconds: float

    @property
    def sentence(self) -> str:
        """Say how it ended."""
        name, limit = describe_event(self.event), format_duration(limit_of(self.event))
        took = format_duration(self.seconds)
        if self.event.recovered_at is not None:
            return f"{name} recovered after {took} (limit {limit})"
        if self.outcome == "unknown":
            return f"{name} was cut off by the end of its process: whether the suite came back is unknown"
        if self.outcome == "undecided":
            return f"{name} had {took} of {limit} to recover when the run ended"
        return f"{name} did not recover within {limit} (waited {took})"


def recovery_of(event: ChaosEvent, elapsed: float) -> EventRecovery:
    """Judge an event of a run that has lasted `elapsed` seconds."""
    if event.cut:
        return EventRecovery(event, "unknown", 0.0)
    if event.removed_at is None:
        return EventRecovery(event, "undecided", 0.0)
    limit = limit_of(event)
    if event.recovered_at is not None:
        seconds = event.recovered_at - event.removed_at
        return EventRecovery(event, "recovered" if seconds <= limit else "not recovered", seconds)
    waited = elapsed - event.removed_at if event.waited_seconds is None else event.waited_seconds
    return EventRecovery(event, "undecided" if waited < limit else "not recovered", max(0.0, waited))


def describe_event(event: ChaosEvent) -> str:
    """Name an event and its target: `latency_spike-2 on odds_provider`."""
    return f"{event.event_id} on {event.service}"


def limit_of(event: ChaosEvent) -> float:
    """Return the seconds within which the suite must be back."""
    return LIMIT_SECONDS if event.limit_seconds is None else event.limit_seconds
