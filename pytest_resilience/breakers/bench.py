"""The bench: start calls through a breaker, hold them inside its dependency, finish them later in any way."""

import threading
from collections.abc import Callable

from pytest_resilience.breakers.adapter import Adapter, CapabilityError, State
from pytest_resilience.breakers.flight import (
    Abandoned,
    Flight,
    IgnoredError,
    Interrupted,
    Kind,
    NotPossibleError,
    Outcome,
    Phase,
    Way,
)
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.lanes import END_SECONDS, Lane
from pytest_resilience.breakers.pilots import AsyncPilot, SyncPilot


class Bench:
    """A borrowed breaker, its dependency and the calls in the air. Close it, or use it with `with`.

    Args:
        adapter: the breaker, as a Subject lends it.
        hands: the time that it was lent on.
        way: whether to call it as a function or as a coroutine function.
    """

    def __init__(self, adapter: Adapter, hands: Hands, way: Way) -> None:
        self.adapter = adapter
        self.hands = hands
        self.way = way
        self.entries = 0
        self._closed = False
        self._changed = threading.Condition()
        self._lanes: list[Lane] = []
        self._flights: list[Flight] = []
        self._hand = SyncPilot(self)
        self._pilot = self._hand if way == "sync" else AsyncPilot(self)
        self._ignored: type[Exception] | None = adapter.traits.ignored

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, kind: Kind = "call") -> Flight:
        """Start a call and hold it in the dependency, if it gets in."""
        return self._launch(Flight(kind, None))

    def call(self, outcome: Outcome = "ok", kind: Kind = "call") -> Flight:
        """Make a whole call that ends as `outcome`, if it gets in."""
        self.check(outcome, kind)
        if outcome in ("slow", "cancelled"):  # these happen to a call that is in the air
            flight = self.start(kind)
            return self.finish(flight, outcome) if flight.in_air else flight
        return self._launch(Flight(kind, outcome))

    def finish(self, flight: Flight, outcome: Outcome) -> Flight:
        """Let a held call end as `outcome`; what it held up comes in after it."""
        if not flight.in_air:
            raise ValueError(f"only a flight in the air can be finished, not one that is {flight.phase}")
        self.check(outcome, flight.kind)
        if outcome == "slow":
            self.hands.advance(self.slow_seconds)
        flight.outcome = outcome
        self._pilot.finish(flight)
        self._settle_all()
        return self._seen(flight)

    def force(self, state: State) -> Flight:
        """Bring the breaker into `state` by hand; what that raised is in the flight."""
        return self.by_hand(lambda: self.adapter.force(state))

    def by_hand(self, act: Callable[[], object]) -> Flight:
        """Do something with the breaker that is no call; it is `blocked` if calls in the air hold it up."""
        flight = Flight("by_hand", None)
        self._flights.append(flight)
        self._hand.do(flight, act)
        return self._seen(flight)

    def check(self, outcome: Outcome, kind: Kind = "call") -> None:
        """Raise NotPossibleError if no call can end so here."""
        if outcome == "cancelled" and self.way == "sync":
            raise NotPossibleError("a sync call cannot be cancelled")
        if outcome == "closed" and kind != "generator":
            raise NotPossibleError("only a generator can be closed")
        if outcome == "slow" and self.adapter.traits.slow_seconds is None:
            raise NotPossibleError("the breaker does not time calls")
        if outcome == "ignored" and self._ignored is None:
            self._ignore_own_error()
        if kind == "generator":
            needed = "generate" if self.way == "sync" else "generate_async"
            if needed not in self.adapter.traits.can:
                raise NotPossibleError(f"its adapter cannot {needed!r}")

    def _ignore_own_error(self) -> None:
        """Teach a breaker that ignores no error yet to ignore one."""
        if "judge_by" not in self.adapter.traits.can:
            raise NotPossibleError("the breaker ignores no error: all of them count as failures")
        self.adapter.judge_by(lambda error: isinstance(error, IgnoredError))
        self._ignored = IgnoredError

    @property
    def slow_seconds(self) -> float:
        """Return for how long a slow call goes on, in seconds."""
        slow = self.adapter.traits.slow_seconds
        return 0.0 if slow is None else slow * 1.01

    @property
    def blocked(self) -> list[Flight]:
        """Return the calls that wait in the breaker itself."""
        return [flight for flight in self._flights if flight.blocked]

    def close(self) -> None:
        """End all calls and threads; calls that are still held end by an exception of their own."""
        if self._closed:
            return
        self._closed = True
        try:
            self._end_calls()
        except BaseException:  # an interrupt: what it left in the air would keep its thread for ever
            self._end_calls()
            raise
        finally:
            try:
                self._pilot.close()
            finally:
                for lane in self._lanes:
                    lane.end()
                for lane in self._lanes:
                    lane.join(0.0 if lane.busy and self._flights else END_SECONDS)

    def _end_calls(self) -> None:
        for _ in range(len(self._flights) + 1):
            for flight in self.in_air:
                flight.abandoned = True
                self._pilot.finish(flight)
            self._settle_all()
            if not self._flights:
                return

    @property
    def stuck(self) -> int:
        """Return how many threads did not end: the breaker holds them in a deadlock."""
        return sum(lane.alive for lane in self._lanes)

    def free_lane(self) -> Lane:
        """Return a thread that has nothing to do."""
        for lane in self._lanes:
            if not lane.busy:
                return lane
        lane = Lane(self._changed)
        self._lanes.append(lane)
        lane.open()
        return lane

    def enter(self, flight: Flight) -> None:
        """Count that a call got into the dependency."""
        flight.entered += 1
        self.entries += 1

    def tell(self, flight: Flight, phase: Phase) -> None:
        """Say how far a call is."""
        with self._changed:
            flight.phase = phase
            self._changed.notify_all()

    def error(self, flight: Flight) -> BaseException | None:
        """Return what the dependency raises, None if it answers."""
        if flight.abandoned:
            return Abandoned("the check is over")
        if flight.outcome == "failure":
            return self.adapter.traits.failure("the dependency is down")
        if flight.outcome == "ignored":
            assert self._ignored is not None
            return self._ignored("none of the breaker's concern")
        if flight.outcome == "base_exception":
            return Interrupted("interrupted")
        return None

    def _launch(self, flight: Flight) -> Flight:
        self._flights.append(flight)
        self._pilot.launch(flight)
        return self._seen(flight)

    def _seen(self, flight: Flight) -> Flight:
        """Return what became of a flight; an interrupt that is none of its own ends the check."""
        self._forget_landed()
        if (
            isinstance(flight.raised, (KeyboardInterrupt, SystemExit))
            and type(flight.raised) is not Interrupted
        ):
            raise flight.raised
        return flight

    @property
    def in_air(self) -> list[Flight]:
        """Return the calls that are held inside the dependency."""
        return [flight for flight in self._flights if flight.in_air]

    def _settle_all(self) -> None:
        """Wait until each call that waited in the breaker has come on, or waits again."""
        for flight in self.blocked:
            (self._pilot if flight.lane is None else self._hand).settle(flight)
        self._forget_landed()

    def _forget_landed(self) -> None:
        self._flights = [flight for flight in self._flights if flight.phase != "ended"]


def ways_of(adapter: Adapter) -> tuple[Way, ...]:
    """Return how a breaker can be called; raise CapabilityError if in no way."""
    ways: list[Way] = []
    if "call" in adapter.traits.can:
        ways.append("sync")
    if "call_async" in adapter.traits.can:
        ways.append("async")
    if not ways:
        raise CapabilityError(f"{type(adapter).__name__} can be called in no way. Implement Adapter.call.")
    return tuple(ways)
