"""Play moves on a real breaker, and stop where it does what no right breaker would do."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from pytest_resilience.breakers.adapter import State, Traits
from pytest_resilience.breakers.belief import Belief
from pytest_resilience.breakers.bench import Bench
from pytest_resilience.breakers.flight import Flight, Interrupted, NotPossibleError, Outcome, Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.moves import Call, End, Force, Move, Start, Wait
from pytest_resilience.breakers.subject import Subject


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, as a script repeats it: `call` names the call that began or ended."""

    what: str
    call: str = ""
    outcome: Outcome | None = None
    entered: bool = False
    seconds: float = 0.0
    state: State | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a sequence.

    Args:
        problem: what was wrong, or empty.
        kind: the same for problems that probably have one cause.
        moves: those that were possible, up to the problem.
        steps: what was done.
        serial: calls of the breaker wait for each other: overlaps cannot be played.
    """

    problem: str
    kind: str
    moves: tuple[Move, ...]
    steps: tuple[Step, ...]
    serial: bool = False


_WANTED: Mapping[Outcome, str] = MappingProxyType(
    {
        "closed": "a quiet end",
        "base_exception": "KeyboardInterrupt",
        "cancelled": "CancelledError",
        "failure": "its error",
        "ignored": "its error",
    }
)
"""What the caller of a call that ends so must see."""


class _StopError(Exception):
    def __init__(self, problem: str, kind: str) -> None:
        super().__init__(problem)
        self.problem, self.kind = problem, kind


class _SerialError(Exception):
    """A call waits in the breaker for another one."""


def play(subject: Subject, way: Way, moves: Iterable[Move]) -> Played:
    """Play moves on a fresh breaker; what is not possible is left out."""
    hands = Hands()
    with subject.borrowed(hands) as lend:
        adapter = lend()
        with Bench(adapter, hands, way) as bench:
            return _Player(bench).play(moves)


def traits_of(subject: Subject) -> Traits:
    """Return the traits of a breaker."""
    with subject.borrowed(Hands()) as lend:
        return lend().traits


class _Player:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._belief = Belief(bench.adapter.traits, bench.hands.now())
        self._air: list[tuple[int, str, Flight]] = []
        self._begun = 0
        self._steps: list[Step] = []
        self._last = "nothing"
        self._eras: dict[int, int] = {}
        self._waits = 0

    def play(self, moves: Iterable[Move]) -> Played:
        played: list[Move] = []
        problem = kind = ""
        serial = False
        moves = tuple(moves)
        if any(getattr(move, "outcome", "") == "ignored" for move in moves):
            with suppress(NotPossibleError):  # taught before any call may hold the breaker's lock
                self._bench.check("ignored")
        for move in moves:
            if self._belief.vague:
                break
            try:
                self._make(move)
            except NotPossibleError:
                continue
            except _SerialError:
                serial = True
                break
            except _StopError as stop:
                problem, kind = stop.problem, stop.kind
                played.append(move)
                break
            played.append(move)
        return Played(problem, kind, tuple(played), tuple(self._steps), serial)

    def _make(self, move: Move) -> None:
        match move:
            case Start():
                self._start(move.stream)
            case End():
                self._end(move.which, move.outcome)
            case Call():
                self._bench.check(move.outcome)
                if self._start(False):
                    self._end(len(self._air) - 1, move.outcome)
            case Wait():
                self._wait(move)
            case Force():
                self._force(move.state)

    def _start(self, stream: bool) -> bool:
        kind = "generator" if stream else "call"
        if stream:
            self._bench.check("closed", "generator")
        now, number, name = self._now(), self._begun, _name(self._begun)
        allowed = self._belief.allows(now)
        flight = self._bench.start(kind)  # type: ignore[arg-type]
        if flight.blocked:
            raise _SerialError
        entered = flight.entered > 0
        self._begun += 1
        self._steps.append(Step("start", name, entered=entered, stream=stream))
        if flight.entered > 1:
            raise _StopError(f"call {name} entered the dependency {flight.entered} times", "entered twice")
        if entered not in allowed:
            must, did = ("enter", "was rejected") if True in allowed else ("be rejected", "entered")
            raise _StopError(f"call {name} must {must}, but it {did}", f"must {must} after {self._last}")
        self._belief.began(number, now, entered=entered)
        if entered:
            self._air.append((number, name, flight))
            self._eras[number] = self._waits
        return entered

    def _end(self, which: int, outcome: Outcome) -> None:
        if not self._air:
            raise NotPossibleError("no call is in the air")
        number, name, flight = self._air[which % len(self._air)]
        self._bench.check(outcome, flight.kind)
        if flight.kind == "generator" and outcome == "cancelled":
            raise NotPossibleError("streams are closed, not cancelled")
        self._air.remove((number, name, flight))
        self._bench.finish(flight, outcome)
        seconds = self._bench.slow_seconds if outcome == "slow" else 0.0
        self._steps.append(Step("end", name, outcome, seconds=seconds))
        if flight.blocked:
            raise _SerialError
        self._belief.ended(number, outcome, self._now())
        late = "late " if self._eras[number] != self._waits else ""
        self._last = f"{late}{outcome}"
        self._judge_raised(name, flight, outcome)

    def _judge_raised(self, name: str, flight: Flight, outcome: Outcome) -> None:
        """Demand that the caller sees how the dependency ended; another error for a failure is taste."""
        raised = flight.raised
        seen = "an answer" if raised is None else type(raised).__name__
        wrong = {
            "base_exception": not isinstance(raised, Interrupted),
            "cancelled": not isinstance(raised, asyncio.CancelledError),
            "failure": raised is None,
            "ignored": raised is None,
            "closed": raised is not None,
        }.get(outcome, raised is not None)
        if wrong:
            wanted = _WANTED.get(outcome, "an answer")
            raise _StopError(f"the caller of {name} must get {wanted}, but got {seen}", f"{outcome} replaced")

    def _wait(self, move: Wait) -> None:
        traits = self._bench.adapter.traits
        longest = traits.open_seconds if traits.backoff_cap is None else traits.backoff_cap
        seconds = move.share * (traits.open_seconds if move.usual else max(longest, traits.open_seconds))
        self._bench.hands.advance(seconds)
        self._waits += 1
        self._steps.append(Step("wait", seconds=seconds))

    def _force(self, state: State) -> None:
        if f"force_{state}" not in self._bench.adapter.traits.can:
            raise NotPossibleError(f"its adapter cannot force {state}")
        raised = self._bench.force(state).raised
        self._steps.append(Step("force", state=state))
        if raised is not None:
            raise _StopError(f"forced {state}, it raised {type(raised).__name__}: {raised}", f"force {state}")
        self._belief.forced(state, self._now())
        self._last = f"force {state}"

    def _now(self) -> float:
        return self._bench.hands.now()


def _name(number: int) -> str:
    letters = chr(ord("a") + number % 26)
    return letters if number < 26 else f"{letters}{number // 26}"
