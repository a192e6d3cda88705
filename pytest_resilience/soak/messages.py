"""What conductor and runner tell each other besides records: plain values only.

All times are in seconds since the run began, as the runner's clock counts them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pytest_resilience.soak.checkpoints import SHARE
from pytest_resilience.store.records import Record

# Conductor -> runner


@dataclass(frozen=True, slots=True)
class EnterPhase:
    """The run is in this phase now.

    Memory is read after gc.collect() about every `checkpoint_seconds`, as far as that takes no more than
    `checkpoint_share` of the time, and without fail at the times `due`.
    """

    phase: str
    checkpoint_seconds: float
    due: tuple[float, ...] = ()
    checkpoint_share: float = SHARE


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


# Leader of a distributed soak -> one of its workers


@dataclass(frozen=True, slots=True)
class Assign:
    """Loop these tests; None is all that were collected, and none at all is a worker that only stands by."""

    tests: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Begin:
    """The run is `at` seconds old; be ready for commands. The rest is what it takes over: see Legacy."""

    at: float
    trial: bool = False
    rounds_drawn: int = 0
    baseline: tuple[tuple[str, str], ...] = ()
    normal_seconds: tuple[tuple[str, str, float], ...] = ()
    injected: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """Begin to loop."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """An event is under way elsewhere that these tests may suffer from: their failures are its own."""

    event_id: str
    scenario: str


@dataclass(frozen=True, slots=True)
class AwaitRecovery:
    """An event is over that this runner has not seen: its first good round is the recovery from it."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Halt:
    """The run is interrupted: remove all faults and end, also in the middle of an iteration."""


Command: TypeAlias = (
    EnterPhase
    | WatchSeams
    | Inject
    | Remove
    | Settle
    | VerifyBreakers
    | RunCascades
    | Stop
    | Assign
    | Begin
    | Loop
    | Overlap
    | AwaitRecovery
    | Halt
)

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


# Worker of a distributed soak -> its leader


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker has collected its tests.

    `locations` are theirs: file, line (from 0) or None, and name; `marks` the groups they are marked for.
    """

    tests: tuple[str, ...]
    locations: tuple[tuple[str, int | None, str], ...]
    marks: tuple[str, ...]
    machine: str
    pid: int
    python: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has set up what its suite declares.

    `reach` has the scenario, target and seam of all that it can inject, and an identity: two workers that
    give the same one would hit the same process or machine. It is empty for what is the worker's own.
    """

    reach: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker's process is alive."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """An iteration of `test` hangs and cannot be interrupted; `stacks` is where."""

    test: str
    seconds: float
    stacks: str


@dataclass(frozen=True, slots=True)
class Done:
    """The command with this number was carried out, or cannot be (then Trouble came before)."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker's loop is over; `how` is one of ENDINGS, `text` says more."""

    how: str
    text: str = ""
    code: int = 0


DONE, TEARDOWN = "done", "teardown failed"
USAGE, DECLARATION, COLLECTION = "wrong usage", "declaration failed", "collection failed"
INTERRUPTED, EXIT, FAILED, BROKEN = "interrupted", "pytest.exit", "session failed", "broken"
ENDINGS = (DONE, TEARDOWN, USAGE, DECLARATION, COLLECTION, INTERRUPTED, EXIT, FAILED, BROKEN)

Report: TypeAlias = (
    Declared
    | Progress
    | Fired
    | Recovered
    | Broken
    | Mistaken
    | Finished
    | Trouble
    | Joined
    | Ready
    | Heartbeat
    | Stuck
    | Done
    | Ended
)
Message: TypeAlias = Command | Report | Record
