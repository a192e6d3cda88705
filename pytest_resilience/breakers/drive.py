"""Drive a breaker through a script of calls, and stop at the first that goes another way."""

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby

from pytest_resilience.breakers.adapter import State, Traits
from pytest_resilience.breakers.bench import Bench
from pytest_resilience.breakers.dependency import Dependency
from pytest_resilience.breakers.flight import Flight, Kind, NotPossibleError, Outcome
from pytest_resilience.breakers.limits import MOST_REAL_WAIT_SECONDS
from pytest_resilience.units import format_duration

# Only a breaker that deadlocks takes this long over calls that do nothing.
HUNG_SECONDS = 5.0

WORDS = {
    "ok": "healthy",
    "failure": "failing",
    "slow": "slow",
    "ignored": "ignored",
    "cancelled": "cancelled",
    "base_exception": "interrupted",
    "closed": "closed",
}
"""What a call is called that ends so."""


class Mismatch(Exception):  # noqa: N818  (it is a finding about the breaker, not an error)
    """A call went another way than the script says."""


class Drive:
    """A breaker on its bench, and the story of the calls so far."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._steps: list[str] = []
        self._names: dict[Flight, str] = {}
        self._failed_rounds = 0
        self._changed_at = bench.hands.peek()

    @property
    def traits(self) -> Traits:
        """Return how the breaker is set up."""
        return self.bench.adapter.traits

    @property
    def story(self) -> str:
        """Return the calls so far, equal ones in a row counted."""
        return ", ".join(f"{step} x{count}" if count > 1 else step for step, count in self._runs())

    def _runs(self) -> list[tuple[str, int]]:
        return [(step, len(list(run))) for step, run in groupby(self._steps)]

    def failing(self, calls: int, *, enter: bool) -> None:
        """Make calls while the dependency fails; each must enter it, or must not."""
        self.calls("failure", calls, enter=enter)

    def healthy(self, calls: int, *, enter: bool) -> None:
        """Make calls while the dependency is well; each must enter it, or must not."""
        self.calls("ok", calls, enter=enter)

    def calls(self, outcome: Outcome, calls: int, *, enter: bool) -> None:
        """Make calls that end so if they get in; each must enter the dependency, or must not."""
        for _ in range(calls):
            if enter:
                self._may_change()
            self._judge(outcome, self.bench.call(outcome), enter=enter)

    def attempt(self, outcome: Outcome = "ok") -> Flight:
        """Make a call that may go either way."""
        self._may_change()
        flight = self.bench.call(outcome)
        self.note(f"{WORDS[outcome]} {_where(flight)}")
        return flight

    def take_off(self, *, kind: Kind = "call") -> Flight:
        """Start a call that must enter, and hold it there."""
        flight = self.start(kind=kind)
        self._no_waiting(flight)
        if not flight.in_air:
            name = self._names[flight]
            raise Mismatch(f"expected call {name} to enter the dependency, but it {_was(flight)}")
        return flight

    def _no_waiting(self, flight: Flight) -> None:
        """Say that a script of overlapping calls cannot be played where one waits for the others to end."""
        if flight.blocked and self.bench.in_air:
            raise NotPossibleError("calls of this breaker wait for each other, so that they cannot overlap")

    def start(self, *, kind: Kind = "call") -> Flight:
        """Start a call and hold it in the dependency, if it gets in."""
        flight = self.bench.start(kind)
        name = self._names[flight] = chr(ord("A") + len(self._names) % 26)
        self.note(f"{'stream' if kind == 'generator' else 'call'} {name} {_began(flight)}")
        return flight

    def land(self, flight: Flight, outcome: Outcome) -> None:
        """Let a held call end."""
        self._may_change()
        self.bench.finish(flight, outcome)
        self.note(f"{self._names[flight]} ends {ENDS[outcome]}")

    def _may_change(self) -> None:
        """Remember when the breaker may last have opened."""
        self._changed_at = self.bench.hands.peek()

    def _not_too_late(self) -> None:
        """Blame no breaker for a machine that is too busy to look before the open time is over."""
        hands = self.bench.hands
        if not hands.virtual and hands.peek() - self._changed_at >= self.open_seconds:
            raise NotPossibleError("the machine was too busy to look before the open time was over")

    def note(self, step: str) -> None:
        """Add to the story something that is not a call."""
        self._steps.append(step)

    def wait(self, seconds: float) -> None:
        """Let time pass; leave out what would really wait for long."""
        if not self.bench.hands.virtual and seconds > MOST_REAL_WAIT_SECONDS:
            raise NotPossibleError(f"it would take {format_duration(seconds)} of real time")
        self.bench.hands.advance(seconds)
        self.note(f"{format_duration(seconds)} later")

    @property
    def open_seconds(self) -> float:
        """Return how long it stays open this time: the longer the more probes failed, where it backs off."""
        traits = self.traits
        seconds = traits.open_seconds * traits.backoff_factor**self._failed_rounds
        return (
            seconds
            if traits.backoff_cap is None
            else min(seconds, max(traits.backoff_cap, traits.open_seconds))
        )

    def wait_until_probe(self) -> None:
        """Show that the breaker rejects until just before its open time is over; go to just after."""
        self.wait((1 - self.bench.hands.margin) * self.open_seconds)
        self.healthy(1, enter=False)
        self.wait(2 * self.bench.hands.margin * self.open_seconds)

    def outlast_open(self) -> None:
        """Go to just after the open time."""
        self.wait((1 + self.bench.hands.margin) * self.open_seconds)

    def trip(self) -> None:
        """Let a closed breaker see as many failures as open it; it must be open then."""
        self.failing(self.traits.threshold, enter=True)
        self.healthy(1, enter=False)

    def fail_probes(self) -> None:
        """Let as many probes fail as open it again."""
        self.failing(self.traits.failures_to_reopen, enter=True)
        self._failed_rounds += 1

    def recover(self) -> None:
        """Let an open breaker close: its open time passes, and its probes are good."""
        self.outlast_open()
        self.healthy(self.traits.successes_to_close, enter=True)
        self.closed()

    def closed(self) -> None:
        """Note that it closed: the next open time is the first one again."""
        self._failed_rounds = 0

    def perhaps_reopened(self) -> None:
        """Note that a probe may have counted as failed: the next open time may be a longer one."""
        self._failed_rounds += 1

    def slow_together(self, calls: int) -> None:
        """Make slow calls at the same time, so that no more than one slow time passes."""
        flights = [self.start() for _ in range(calls)]
        slow: set[Flight] = set()
        for flight in flights:
            if flight not in slow:  # all at once, or one by one if they wait for each other
                self.wait(self.bench.slow_seconds)
                slow.update(self.bench.in_air)
            if not flight.in_air:
                raise Mismatch(f"expected call {self._names[flight]} to enter, but it {_was(flight)}")
            self.land(flight, "ok")

    def force(self, state: State) -> None:
        """Bring it into a state by hand."""
        self._may_change()
        shown_state = state.replace("_", "-")
        self.note(f"forced {shown_state}")
        raised = self.bench.force(state).raised
        if raised is not None:
            shown = f"{type(raised).__name__}: {raised}"
            raise Mismatch(
                f"expected to be forced {state.replace('_', '-')}, but it raised {shown}"
            ) from raised

    def failing_at_once(self, calls: int, *, enter: int) -> None:
        """Make failing calls at the same time; at least `enter` must get in."""
        self._may_change()
        entered, hung = (self._race if self.bench.way == "sync" else self._gather)(calls)
        self.note(f"{entered} of {calls} failing calls at once entered")
        if hung:
            raise Mismatch(f"expected {calls} calls at once to return, but {hung} hung")
        if not enter <= entered <= calls:
            raise Mismatch(
                f"expected {enter} to {calls} of {calls} calls at once to enter, but {entered} did"
            )

    def _race(self, calls: int) -> tuple[int, int]:
        """Let threads race, so that a count that is read and written without a lock loses some."""
        bench, dependency = self.bench, Dependency(self.traits.failure)
        dependency.healthy = False
        dependency.gather(calls)
        start = threading.Barrier(calls)

        def attempt() -> None:
            with bench.hands, suppress(Exception):  # whatever it is: only entries count
                start.wait()
                bench.adapter.call(dependency)

        try:
            hung = _in_threads(calls, attempt)
        finally:
            start.abort()  # an interrupt: those that wait for the others to be started go home
        return dependency.entries, hung

    def _gather(self, calls: int) -> tuple[int, int]:
        flights = [self.bench.start() for _ in range(calls)]
        while held := [flight for flight in flights if flight.in_air]:
            self.bench.finish(held[0], "failure")
        return sum(flight.entered for flight in flights), sum(flight.blocked for flight in flights)

    def _judge(self, outcome: Outcome, flight: Flight, *, enter: bool) -> None:
        self.note(f"{WORDS[outcome]} {_where(flight)}")
        self._no_waiting(flight)
        if flight.entered == enter:
            return
        if not enter:
            self._not_too_late()
        wanted = "to enter the dependency" if enter else "to be rejected"
        error = "" if flight.raised is None else f" ({type(flight.raised).__name__}: {flight.raised})"
        raise Mismatch(f"expected {_article(WORDS[outcome])} call {wanted}, but it {_was(flight)}{error}")


ENDS = {
    "ok": "well",
    "failure": "in failure",
    "slow": "slowly",
    "ignored": "in an ignored error",
    "cancelled": "cancelled",
    "base_exception": "interrupted",
    "closed": "closed early",
}


def _where(flight: Flight) -> str:
    if flight.entered:
        return "entered"
    return "blocked" if flight.blocked else "rejected"


def _began(flight: Flight) -> str:
    return {"entered": "enters", "rejected": "is rejected", "blocked": "is blocked"}[_where(flight)]


def _was(flight: Flight) -> str:
    if flight.entered > 1:
        return f"entered {flight.entered} times"
    return {"entered": "entered", "rejected": "was rejected", "blocked": "waits in the breaker"}[
        _where(flight)
    ]


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _in_threads(calls: int, attempt: Callable[[], object]) -> int:
    """Run `attempt` in as many threads; return how many hung."""
    threads = [threading.Thread(target=attempt, name="resilience-breaker", daemon=True) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HUNG_SECONDS)
    return sum(thread.is_alive() for thread in threads)
