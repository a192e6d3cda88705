"""What conductor and runner tell each other besides records: plain values only.

All times are in seconds since the run began, as the runner's clock counts them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pytest_resilience.store.records import Record

# Conductor -> runner


@dataclass(frozen=True, slots=True)
class EnterPhase:
    """The run is in this phase now.

    Memory is read after gc.collect() about every `checkpoint_seconds`, and without fail at the times `due`.
    """

    phase: str
    checkpoint_seconds: float
    due: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchSeams:
    """Arm every seam without firing, or stop doing so and report what was reached."""

    active: bool


@dataclass(frozen=True, slots=True)
class Inject:
    """Inject a scenario on a target, at one of its seams."""

    event_id: str
    scenario: str
    target: str
    seam: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the fault of an event and watch for recovery."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Settle:
    """The event is over: failures from now on are not its own."""

    event_id: str


@dataclass(frozen=True, slots=True)
class VerifyBreakers:
    """Pause the suite and verify every registered breaker."""


@dataclass(frozen=True, slots=True)
class RunCascades:
    """Pause the suite and run the cascades over the topology."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the loop after the running iteration."""


Command: TypeAlias = EnterPhase | WatchSeams | Inject | Remove | Settle | VerifyBreakers | RunCascades | Stop

# Runner -> conductor


@dataclass(frozen=True, slots=True)
class Declared:
    """The first round is over: what the suite declares.

    `edges` counts the topology's; `candidates` are the fields of each Candidate, `at_once` is how many
    scenarios the intensity injects together.
    """

    tests: tuple[str, ...]
    services: tuple[str, ...]
    breakers: tuple[str, ...]
    edges: int
    candidates: tuple[tuple[str, ...], ...]
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the runner is: counters over the whole run; a calm round is one without any fault."""

    at: float
    iterations: int
    rounds: int
    failures: int
    failures_outside: int
    longest_round: float
    longest_calm_round: float = 0.0


@dataclass(frozen=True, slots=True)
class Fired:
    """What an active event has done so far."""

    event_id: str
    reached: int
    fired: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """The first good round after the removal of an event began at `at`."""

    event_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Broken:
    """A soak test failed without any fault, before chaos: `how` says whether at once or when repeated."""

    test: str
    how: str


@dataclass(frozen=True, slots=True)
class Mistaken:
    """A function that the user gave with the fault of an event is wrong, so that the event proves nothing."""

    event_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A paused task (VerifyBreakers, RunCascades) is over, or the loop itself (Stop)."""

    task: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """The runner could not do what it was told."""

    text: str


Report: TypeAlias = Declared | Progress | Fired | Recovered | Broken | Mistaken | Finished | Trouble
Message: TypeAlias = Command | Report | Record
