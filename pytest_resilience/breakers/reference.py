"""The reference breaker, which does right in all that the checks try."""

import inspect
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import Any

from pytest_resilience.breakers.adapter import Effect, State, Traits
from pytest_resilience.breakers.own import BreakerAdapter


class RejectedError(Exception):
    """The reference breaker let a call not in."""


class Ticket:
    """Lets one call in; it is good for the era, the generation, in which it was given out."""

    def __init__(self, generation: int, began: float) -> None:
        self.generation = generation
        self.began = began


class ReferenceBreaker:
    """A circuit breaker with all that checks can ask for: see Traits for its settings.

    Each change of state begins a new generation. What a call tells that began in an earlier one is dropped,
    and a call that ends without a verdict gives its place back. Calls run outside of the lock.
    """

    def __init__(self, traits: Traits, clock: Callable[[], float]) -> None:
        self.traits = traits
        self.state: State = "closed"
        self.generation = 0
        self.failures = 0
        self.window: deque[tuple[bool, bool]] = deque(maxlen=traits.window_calls or 100)
        self.opened_at = 0.0
        self.failed_rounds = 0
        self.probes = self.good_probes = self.bad_probes = 0
        self.half_open_since = 0.0
        self.listeners: list[Callable[[str], None]] = []
        self.ignores: list[Callable[[BaseException], bool]] = []
        self.clock = clock
        self.lock = threading.RLock()
        self.news: deque[State] = deque()

    # How it is called

    def call(self, function: Callable[[], object]) -> object:
        """Call a function, or raise RejectedError."""
        ticket = self.admit()
        try:
            result = function()
        except BaseException as error:
            self.leave(ticket, error)
            raise
        self.leave(ticket, None)
        return result

    async def call_async(self, function: Callable[[], Awaitable[object]]) -> object:
        """Call a coroutine function, or raise RejectedError."""
        ticket = self.admit()
        try:
            result = await function()
        except BaseException as error:
            self.leave(ticket, error)
            raise
        self.leave(ticket, None)
        return result

    def generate(self, stream: Callable[[], Iterator[object]]) -> Iterator[object]:
        """Call a generator function; the call lasts until its stream ends."""
        ticket = self.admit()
        try:
            yield from stream()
        except BaseException as error:
            self.leave(ticket, error)
            raise
        self.leave(ticket, None)

    async def generate_async(self, stream: Callable[[], AsyncIterator[object]]) -> AsyncIterator[object]:
        """Call an async generator function; the call lasts until its stream ends."""
        ticket = self.admit()
        try:
            async for item in stream():
                yield item
        except BaseException as error:
            self.leave(ticket, error)
            raise
        self.leave(ticket, None)

    def wrap(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Decorate a function or a coroutine function."""
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def call_async() -> object:
                return await self.call_async(function)

            return call_async
        return wraps(function)(lambda: self.call(function))

    # What it decides

    def admit(self) -> Ticket:
        """Let a call in, or raise RejectedError."""
        with self.lock:
            now = self.clock()
            if self.state == "open" and self.open_time_is_over(now):
                self.enter("half_open", now)
            ticket = self.ticket(now)
            if ticket is None:
                raise RejectedError(self.state)
        self.tell()
        return ticket

    def ticket(self, now: float) -> Ticket | None:
        """Return a ticket if the state has a place for a call."""
        if self.state == "open":
            return None
        if self.state == "half_open":
            if self.probes >= self.probe_limit(now):
                return None
            self.probes += 1
        return Ticket(self.generation, now)

    def open_time_is_over(self, now: float) -> bool:
        """Tell whether probes may come in."""
        return now >= self.opened_at + self.open_seconds()

    def open_seconds(self) -> float:
        """Return how long it stays open: the longer the more rounds of probes failed, up to the cap."""
        traits = self.traits
        seconds = traits.open_seconds * traits.backoff_factor**self.failed_rounds
        return seconds if traits.backoff_cap is None else min(seconds, traits.backoff_cap)

    def probe_limit(self, now: float) -> float:
        """Return how many probes may be under way; one that hangs for an open time makes room for another."""
        limit = self.traits.half_open_limit
        if limit is None:
            return float("inf")
        return limit + (now - self.half_open_since) // max(self.traits.open_seconds, 1e-9)

    def leave(self, ticket: Ticket, error: BaseException | None) -> None:
        """Take note of how a call ended."""
        try:
            effect = self.effect(error)
        except BaseException:
            self.settle(ticket, "neutral", slow=False)
            raise
        slow = self.traits.slow_seconds is not None and (
            self.clock() - ticket.began >= self.traits.slow_seconds
        )
        self.settle(ticket, effect, slow=slow)
        self.tell()

    def effect(self, error: BaseException | None) -> Effect:
        """Return what a call counts as that ended so."""
        if error is None:
            return "success"
        if not isinstance(error, Exception):
            return "neutral"
        ignored = self.traits.ignored is not None and isinstance(error, self.traits.ignored)
        return "neutral" if ignored or any(ignore(error) for ignore in self.ignores) else "failure"

    def settle(self, ticket: Ticket, effect: Effect, *, slow: bool) -> None:
        """Count a call, if it belongs to this generation."""
        with self.lock:
            if ticket.generation != self.generation:
                return
            now = self.clock()
            if self.state == "half_open":
                self.settle_probe(effect, now)
            elif effect != "neutral":
                self.count(effect, slow, now)

    def settle_probe(self, effect: Effect, now: float) -> None:
        """Give the place of a probe back, and decide."""
        self.probes -= 1
        self.good_probes += effect == "success"
        self.bad_probes += effect == "failure"
        if self.bad_probes >= self.traits.failures_to_reopen:
            self.failed_rounds += 1
            self.enter("open", now)
        elif self.good_probes >= self.traits.successes_to_close:
            self.enter("closed", now)

    def count(self, effect: Effect, slow: bool, now: float) -> None:
        """Count a call while closed."""
        self.failures = self.failures + 1 if effect == "failure" else 0
        self.window.append((effect == "failure", slow))
        if self.failures >= self.traits.threshold if self.traits.consecutive else self.over_a_rate():
            self.enter("open", now)

    def over_a_rate(self) -> bool:
        """Tell whether the share of failures or of slow calls among the last calls is too high."""
        traits, calls = self.traits, len(self.window)
        if calls < traits.threshold:
            return False
        failed = sum(failed for failed, _ in self.window) / calls
        slow = sum(slow for _, slow in self.window) / calls
        return failed >= (traits.error_rate or 2) or slow >= (traits.slow_rate or 2)

    def enter(self, state: State, now: float) -> None:
        """Change the state, and begin a new generation."""
        self.state = state
        self.generation += 1
        self.failures = self.probes = self.good_probes = self.bad_probes = 0
        self.window.clear()
        if state == "open":
            self.opened_at = now
        elif state == "half_open":
            self.half_open_since = now
        else:
            self.failed_rounds = 0
        self.news.append(state)

    # By hand, and whom it asks and tells

    def force(self, state: State) -> None:
        """Change the state by hand."""
        with self.lock:
            self.enter(state, self.clock())
        self.tell()

    def listen(self, listener: Callable[[str], None]) -> None:
        """Tell `listener` of each state, as `state open`; what it raises stays its own."""
        self.listeners.append(listener)

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        """Ask `ignore` whether an error is none of the breaker's concern."""
        self.ignores.append(ignore)

    def tell(self) -> None:
        """Tell the listeners what has happened, in order and outside of the lock."""
        while self.news:
            with self.lock:
                state = self.news.popleft() if self.news else None
            for listener in self.listeners if state else ():
                self.tell_one(listener, f"state {state}")

    def tell_one(self, listener: Callable[[str], None], event: str) -> None:
        """Tell one listener."""
        with suppress(Exception):  # a listener is a guest: its errors are not the caller's
            listener(event)

    def set_open_seconds(self, seconds: float) -> None:
        """Stay open for this long from now on."""
        self.traits = replace(self.traits, open_seconds=seconds)


_NOT_TOLD = ("threshold", "open_seconds", "can", "lacks")


def reference_adapter(
    traits: Traits | None = None, kind: type[ReferenceBreaker] = ReferenceBreaker
) -> BreakerAdapter:
    """Return the reference breaker, or a breaker derived from it, as checks take it."""
    given = traits or Traits(threshold=3, open_seconds=30, half_open_limit=1)
    names = ("successes_to_close", "failures_to_reopen", "half_open_limit", "consecutive", "error_rate")
    more = (
        "window_calls",
        "slow_seconds",
        "slow_rate",
        "backoff_factor",
        "backoff_cap",
        "ignored",
        "failure",
    )
    usual = Traits(threshold=1, open_seconds=1)
    told = {name: getattr(given, name) for name in (*names, *more)}
    return BreakerAdapter(
        lambda clock: kind(given, clock),
        threshold=given.threshold,
        open_seconds=given.open_seconds,
        call=kind.call,
        call_async=kind.call_async,
        generate=kind.generate,
        generate_async=kind.generate_async,
        wrap=kind.wrap,
        force_open=lambda breaker: breaker.force("open"),
        force_half_open=lambda breaker: breaker.force("half_open"),
        force_closed=lambda breaker: breaker.force("closed"),
        listen=kind.listen,
        judge_by=kind.judge_by,
        set_open_seconds=kind.set_open_seconds,
        **{name: value for name, value in told.items() if value != getattr(usual, name)},
    )
