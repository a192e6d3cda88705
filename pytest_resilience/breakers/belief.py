"""What a right breaker may be like after a sequence of calls: every state that some reading allows.

Where documentation leaves it open what a call counts as, or libraries rightly differ, the belief follows all
readings at once. It is empty as soon as a breaker has done what no reading allows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pytest_resilience.breakers.adapter import Effect, State, Traits
from pytest_resilience.breakers.flight import Outcome
from pytest_resilience.breakers.limits import MARGIN

MOST_STATES = 2_000
"""A belief that has more states knows nothing any more."""

_UNDOCUMENTED: dict[Outcome, tuple[Effect, ...]] = {
    "ignored": ("neutral", "success"),
    "cancelled": ("neutral", "failure"),
    "base_exception": ("neutral", "failure"),
    "closed": ("neutral", "success"),
}
"""What such a call may count as where the library's documentation is silent."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A call in the air: which one, and in which era it was let in."""

    flight: int
    era: int


@dataclass(frozen=True, slots=True)
class Guess:
    """One state that a right breaker may be in."""

    state: State = "closed"
    era: int = 0
    since: float = 0.0
    forced: bool = False
    rounds: int = 0
    failures: int = 0
    successes: int = 0
    slow: int = 0
    first_failure: float = 0.0
    seats: frozenset[Seat] = field(default_factory=frozenset)

    def in_era(self) -> int:
        """Return how many calls in the air were let in in this era."""
        return sum(seat.era == self.era for seat in self.seats)

    def seat(self, flight: int) -> Seat | None:
        """Return the seat of a call in the air."""
        return next((seat for seat in self.seats if seat.flight == flight), None)


class Belief:
    """The states that a breaker with these traits may be in."""

    def __init__(self, traits: Traits, now: float) -> None:
        self._traits = traits
        self._guesses = frozenset((Guess(since=now),))
        self.vague = False

    @property
    def empty(self) -> bool:
        """Tell whether no right breaker would have done this."""
        return not self._guesses

    def began(self, flight: int, now: float, *, entered: bool) -> None:
        """A call began, and got in or was rejected."""
        self._learn(
            guess
            for one in self._guesses
            for let_in, guess in self._begun(one, flight, now)
            if let_in == entered
        )

    def allows(self, now: float) -> frozenset[bool]:
        """Return whether a call now may enter, may be rejected, or both."""
        return frozenset(let_in for one in self._guesses for let_in, _ in self._begun(one, -1, now))

    def ended(self, flight: int, outcome: Outcome, now: float) -> None:
        """A call in the air ended so."""
        self._learn(guess for one in self._guesses for guess in self._landed(one, flight, outcome, now))

    def forced(self, state: State, now: float) -> None:
        """The breaker was brought into a state by hand."""
        self._learn(guess for one in self._guesses for guess in self._put(one, state, now))

    def _learn(self, guesses: Iterable[Guess]) -> None:
        self._guesses = frozenset(guesses)
        self.vague = self.vague or len(self._guesses) > MOST_STATES

    # A call begins

    def _begun(self, one: Guess, flight: int, now: float) -> Iterator[tuple[bool, Guess]]:
        if one.state == "open":
            yield from self._begun_open(one, flight, now)
        elif one.state == "closed" or self._has_place(one):
            yield True, _seated(one, flight)
        else:
            yield False, one
        if one.state == "half_open" and self._may_differ(one, now):
            yield self._has_place(one) is False, _seated(one, flight) if not self._has_place(one) else one

    def _begun_open(self, one: Guess, flight: int, now: float) -> Iterator[tuple[bool, Guess]]:
        stays = one.forced and self._traits.forced_open_stays
        over = one.since + self._open_seconds(one.rounds)
        slack = MARGIN * self._open_seconds(one.rounds) / 2
        if stays or now <= over + slack:
            yield False, one
        if not stays and now >= over - slack:
            yield True, _seated(_changed(one, "half_open", now), flight)

    def _has_place(self, one: Guess) -> bool:
        limit = self._traits.half_open_limit
        return limit is None or one.in_era() < limit

    def _may_differ(self, one: Guess, now: float) -> bool:
        """Say where a right breaker may decide either way: a hung probe may be replaced or waited for, and a
        half-open with all the probes that it needs under way may take no more.
        """
        traits = self._traits
        if not self._has_place(one):
            return now - one.since >= traits.open_seconds
        if traits.half_open_limit is None:
            return False
        under_way = one.in_era() + one.failures + one.successes
        return under_way >= max(traits.successes_to_close, traits.failures_to_reopen)

    def _open_seconds(self, rounds: int) -> float:
        traits = self._traits
        seconds = traits.open_seconds * traits.backoff_factor**rounds
        return (
            seconds
            if traits.backoff_cap is None
            else min(seconds, max(traits.backoff_cap, traits.open_seconds))
        )

    # A call ends

    def _landed(self, one: Guess, flight: int, outcome: Outcome, now: float) -> Iterator[Guess]:
        seat = one.seat(flight)
        if seat is None:
            yield one
            return
        left = replace(one, seats=one.seats - {seat})
        for effect in self._effects(outcome, one.state):
            if seat.era != one.era:
                yield from self._late(left, effect, now)
            elif one.state == "closed":
                yield from self._counted(left, effect, outcome == "slow", now)
            else:
                yield from self._probed(left, effect, outcome == "slow", now)

    def _effects(self, outcome: Outcome, state: State) -> tuple[Effect, ...]:
        if outcome in ("ok", "slow"):
            return ("success",)
        if outcome == "failure":
            return ("failure",)
        documented: Effect | None = getattr(self._traits, f"{outcome}_counts", None)
        if documented is not None:
            return (documented,)
        # That a call without a verdict starts the count of failures anew is taste; that it closes is not.
        return (*_UNDOCUMENTED[outcome], "success") if state == "closed" else _UNDOCUMENTED[outcome]

    def _late(self, one: Guess, effect: Effect, now: float) -> Iterator[Guess]:
        """A call from an earlier era says nothing about now. To count it once, or to stay open longer for its
        failure, is a matter of taste; to close for it is not.
        """
        yield one
        if effect == "neutral":
            return
        if one.state == "closed":
            yield from self._counted(one, effect, slow=False, now=now)
        elif effect == "failure":
            rounds = one.rounds + (one.state == "half_open")
            yield _changed(one, "open", now, rounds)
            yield _changed(one, "open", now, one.rounds)

    def _counted(self, one: Guess, effect: Effect, slow: bool, now: float) -> Iterator[Guess]:
        if effect == "neutral":
            yield one
            return
        failed = effect == "failure"
        first = now if failed and not one.failures else one.first_failure
        grown = replace(
            one,
            failures=one.failures + failed,
            successes=one.successes + (not failed),
            slow=one.slow + slow,
            first_failure=first,
        )
        if self._traits.consecutive:
            yield from self._counted_in_row(grown, failed, now)
        else:
            yield from self._counted_in_window(grown, now)

    def _counted_in_row(self, grown: Guess, failed: bool, now: float) -> Iterator[Guess]:
        if not failed:
            yield replace(grown, failures=0, successes=0, slow=0)
        elif grown.failures >= self._traits.threshold:
            yield _changed(grown, "open", now)
        else:
            yield replace(grown, successes=0, slow=0)

    def _counted_in_window(self, grown: Guess, now: float) -> Iterator[Guess]:
        """Windows differ in what they still hold: only all failures must open, and only none must not."""
        window = self._traits.window_seconds
        held = window is None or now - grown.first_failure < (1 - MARGIN) * window
        may_open = grown.failures + grown.slow > 0 and (
            grown.failures + grown.successes >= self._traits.threshold
        )
        must_open = held and not grown.successes and grown.failures >= self._traits.threshold
        if may_open:
            yield _changed(grown, "open", now)
        if not must_open:
            yield _bounded(grown, self._traits.threshold)

    def _probed(self, one: Guess, effect: Effect, slow: bool, now: float) -> Iterator[Guess]:
        if effect == "neutral":
            yield one
            return
        traits, failed = self._traits, effect == "failure"
        bad, good = one.failures + failed, one.successes + (not failed)
        opened = _changed(one, "open", now, one.rounds + 1)
        if slow or (bad and good and traits.failures_to_reopen > 1):  # decided by a rate, or by speed
            yield from (opened, _changed(one, "closed", now), replace(one, failures=bad, successes=good))
        elif failed and bad >= traits.failures_to_reopen:
            yield opened
        elif not failed and good >= traits.successes_to_close:
            yield _changed(one, "closed", now)
        else:
            yield replace(one, failures=bad, successes=good)

    def _put(self, one: Guess, state: State, now: float) -> Iterator[Guess]:
        if one.state == state:
            yield one
        yield replace(_changed(one, state, now), forced=True)


def _seated(one: Guess, flight: int) -> Guess:
    return replace(one, seats=one.seats | {Seat(flight, one.era)})


def _changed(one: Guess, state: State, now: float, rounds: int = 0) -> Guess:
    """Return the state at the beginning of a new era; half-open remembers how often it opened again."""
    kept = one.rounds if state == "half_open" else rounds
    return Guess(state=state, era=one.era + 1, since=now, rounds=kept, seats=one.seats)


def _bounded(one: Guess, most: int) -> Guess:
    """Count no further than matters, so that equal states are one."""
    return replace(
        one, failures=min(one.failures, most), successes=min(one.successes, most), slow=min(one.slow, 1)
    )
