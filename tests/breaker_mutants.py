"""The reference breaker, broken in one way each, and the check that has to find out."""

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from pytest_resilience.breakers.adapter import Effect, State, Traits
from pytest_resilience.breakers.reference import ReferenceBreaker, RejectedError, Ticket

PLAIN = Traits(threshold=3, open_seconds=30, half_open_limit=1)
TWO_PROBES = replace(PLAIN, half_open_limit=2)
HERD = replace(PLAIN, half_open_limit=None)
TWO_TO_CLOSE = replace(PLAIN, successes_to_close=2)
RATES = replace(
    PLAIN,
    threshold=4,
    consecutive=False,
    error_rate=0.5,
    window_calls=10,
    slow_seconds=2.0,
    slow_rate=0.5,
    backoff_factor=2.0,
    backoff_cap=100.0,
)


class Wedge(ReferenceBreaker):
    """A probe that hangs keeps all others out for ever."""

    def probe_limit(self, now: float) -> float:
        return self.traits.half_open_limit or float("inf")


class NoGenerations(ReferenceBreaker):
    """What an earlier era tells counts in this one."""

    def settle(self, ticket: Ticket, effect: Effect, *, slow: bool) -> None:
        ticket.generation = self.generation
        super().settle(ticket, effect, slow=slow)


class LateIn(ReferenceBreaker):
    """What an earlier era tells counts if it is `late_effect` and the state now is `late_state`."""

    late_effect: Effect = "success"
    late_state: State = "open"

    def settle(self, ticket: Ticket, effect: Effect, *, slow: bool) -> None:
        late = ticket.generation != self.generation
        if late and effect == self.late_effect and self.state == self.late_state:
            self.count_late()
        super().settle(ticket, effect, slow=slow)

    def count_late(self) -> None:
        self.enter("closed", self.clock())


class LateSuccessCloses(LateIn):
    """A late success closes it while it is open."""


class LateSuccessIsAProbe(LateIn):
    """A late success closes it while it is half-open."""

    late_state = "half_open"


class LateFailureExtends(LateIn):
    """A late failure makes it stay open for longer."""

    late_effect = "failure"

    def count_late(self) -> None:
        self.opened_at = self.clock()


class LateFailureIsAProbe(LateIn):
    """A late failure opens it while it is half-open."""

    late_effect: Effect = "failure"
    late_state: State = "half_open"

    def count_late(self) -> None:
        self.enter("open", self.clock())


class LateFailureReopens(LateFailureIsAProbe):
    """A late failure opens it after its recovery."""

    late_state = "closed"


class LateFailureCounts(LateIn):
    """A late failure is counted after the recovery."""

    late_effect, late_state = "failure", "closed"

    def count_late(self) -> None:
        self.count("failure", slow=False, now=self.clock())


class StaleProbeCounts(ReferenceBreaker):
    """A probe of an earlier half-open era counts in this one."""

    def settle(self, ticket: Ticket, effect: Effect, *, slow: bool) -> None:
        if self.state == "half_open" and ticket.generation == self.generation - 2:
            ticket.generation = self.generation
        super().settle(ticket, effect, slow=slow)


class StaleProbeFreesPlace(ReferenceBreaker):
    """A probe of an earlier half-open era gives back a place of this one."""

    def settle(self, ticket: Ticket, effect: Effect, *, slow: bool) -> None:
        if self.state == "half_open" and ticket.generation < self.generation:
            self.probes -= 1
        super().settle(ticket, effect, slow=slow)


class CancelledIsSuccess(ReferenceBreaker):
    """A cancelled call is a success."""

    kinds: tuple[str, ...] = ("CancelledError",)
    counts_as: Effect = "success"

    def effect(self, error: BaseException | None) -> Effect:
        kind = "" if error is None else type(error).__name__
        return self.counts_as if kind in self.kinds else super().effect(error)


class InterruptIsSuccess(CancelledIsSuccess):
    """A KeyboardInterrupt is a success."""

    kinds = ("Interrupted", "KeyboardInterrupt")


class IgnoredIsSuccess(CancelledIsSuccess):
    """An ignored error is a success."""

    kinds = ("IgnoredError",)


class CancelledIsFailure(CancelledIsSuccess):
    """A cancelled call is a failure."""

    counts_as = "failure"


class ClosedStreamIsFailure(CancelledIsSuccess):
    """A stream that is closed early is a failure."""

    kinds, counts_as = ("GeneratorExit",), "failure"


class KeepsPlace(Wedge):
    """A call that ends without a verdict keeps its place for probes."""

    kinds: tuple[str, ...] = ("CancelledError",)

    def leave(self, ticket: Ticket, error: BaseException | None) -> None:
        if error is None or type(error).__name__ not in self.kinds:
            super().leave(ticket, error)


class IgnoredKeepsPlace(KeepsPlace):
    """An ignored error keeps its place for probes."""

    kinds = ("IgnoredError",)


class InterruptKeepsPlace(KeepsPlace):
    """A KeyboardInterrupt keeps its place for probes."""

    kinds = ("Interrupted", "KeyboardInterrupt")


class ClosedStreamKeepsPlace(KeepsPlace):
    """A stream that is closed early keeps its place for probes."""

    kinds = ("GeneratorExit",)


class RaisingPredicateKeepsPlace(Wedge):
    """A predicate that raises keeps the place of a probe."""

    def leave(self, ticket: Ticket, error: BaseException | None) -> None:
        self.settle(ticket, self.effect(error), slow=False)
        self.tell()


class RaisingListenerKeepsPlace(Wedge):
    """A listener that raises keeps the place of a probe."""

    def settle_probe(self, effect: Effect, now: float) -> None:
        for listener in self.listeners:
            listener("probe")
        super().settle_probe(effect, now)


class RaisingListenerKeepsClosed(ReferenceBreaker):
    """A listener that raises keeps it closed."""

    def count(self, effect: Effect, slow: bool, now: float) -> None:
        for listener in self.listeners:
            listener("failure")
        super().count(effect, slow, now)


class TellsOutOfOrder(ReferenceBreaker):
    """Listeners are told of the newest state first."""

    def enter(self, state: State, now: float) -> None:
        super().enter(state, now)
        self.news.rotate(1)

    def tell(self) -> None:
        if len(self.news) > 1:
            super().tell()


class ListenerUnderLock(ReferenceBreaker):
    """Listeners are called while a lock is held that cannot be taken twice."""

    def __init__(self, traits: Traits, clock: Callable[[], float]) -> None:
        super().__init__(traits, clock)
        import threading

        self.gate = threading.Lock()

    def admit(self) -> Ticket:
        with self.gate:
            return super().admit()

    def leave(self, ticket: Ticket, error: BaseException | None) -> None:
        with self.gate:
            super().leave(ticket, error)


class LockDuringCalls(ReferenceBreaker):
    """Its lock is held while a call is in the dependency."""

    def call(self, function: Callable[[], object]) -> object:
        with self.lock:
            return super().call(function)


class ReplacesInterrupt(ReferenceBreaker):
    """The caller of an interrupted call sees another error."""

    kinds: tuple[str, ...] = ("Interrupted", "KeyboardInterrupt")

    def call(self, function: Callable[[], object]) -> object:
        try:
            return super().call(function)
        except BaseException as error:
            if type(error).__name__ in self.kinds:
                raise RejectedError("open") from error
            raise


class ReplacesFailure(ReplacesInterrupt):
    """The caller of a failing call sees another error."""

    kinds = ("ConnectionError",)


class ReplacesCancellation(ReferenceBreaker):
    """The caller of a cancelled call sees another error."""

    async def call_async(self, function: Callable[[], Awaitable[object]]) -> object:
        try:
            return await super().call_async(function)
        except BaseException as error:
            if type(error).__name__ == "CancelledError":
                raise RejectedError("cancelled") from error
            raise


class NoLimit(ReferenceBreaker):
    """Half-open lets everyone in."""

    def probe_limit(self, now: float) -> float:
        return float("inf")


class OneProbeTooMany(ReferenceBreaker):
    """Half-open lets one more in than it is set up for."""

    def probe_limit(self, now: float) -> float:
        return super().probe_limit(now) + 1


class WaitsForProbe(ReferenceBreaker):
    """Calls wait while a probe is under way."""

    def call(self, function: Callable[[], object]) -> object:
        if self.state == "closed":
            return super().call(function)
        with self.lock:
            return super().call(function)


class ReadsWallClock(ReferenceBreaker):
    """It measures its open time by the wall clock; `clocks` moves that of this module."""

    def __init__(self, traits: Traits, clock: Callable[[], float]) -> None:
        super().__init__(traits, time.time)


class ReadsLocalTime(ReferenceBreaker):
    """It measures its open time by the local time of day."""

    def __init__(self, traits: Traits, clock: Callable[[], float]) -> None:
        super().__init__(traits, lambda: (datetime.now() - datetime(2020, 1, 1)).total_seconds())  # noqa: DTZ001, DTZ005


class FalsyOpenTime(ReferenceBreaker):
    """An open time of 0 is taken for the usual one."""

    def open_seconds(self) -> float:
        return super().open_seconds() or 30.0


class KeepsRejections(ReferenceBreaker):
    """It keeps each rejection."""

    kept: list[object]

    def admit(self) -> Ticket:
        self.kept = getattr(self, "kept", [])
        try:
            return super().admit()
        except RejectedError as error:
            self.kept.append(error)
            raise


class MissesStreams(ReferenceBreaker):
    """A generator function has succeeded as soon as it is called."""

    def generate(self, stream: Callable[[], Iterator[object]]) -> Iterator[object]:
        return self.call(stream)  # type: ignore[return-value]

    def generate_async(self, stream: Callable[[], AsyncIterator[object]]) -> AsyncIterator[object]:
        return self.call(stream)  # type: ignore[return-value]


class MissesCoroutines(ReferenceBreaker):
    """A coroutine function has succeeded as soon as it is called."""

    def wrap(self, function: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: self.call(function) if inspect.isfunction(function) else None


# What calls one after the other show


class OpensLate(ReferenceBreaker):
    """It opens one failure late."""

    def count(self, effect: Effect, slow: bool, now: float) -> None:
        traits = self.traits
        self.traits = replace(traits, threshold=traits.threshold + 1)
        super().count(effect, slow, now)
        self.traits = traits


class NoErrorRate(ReferenceBreaker):
    """It counts no share of failures."""

    def over_a_rate(self) -> bool:
        return False


class OpensEarly(ReferenceBreaker):
    """It opens one failure early."""

    def count(self, effect: Effect, slow: bool, now: float) -> None:
        self.failures += effect == "failure" and self.failures == self.traits.threshold - 2
        super().count(effect, slow, now)


class KeepsCount(ReferenceBreaker):
    """A success does not start the count of failures anew."""

    def count(self, effect: Effect, slow: bool, now: float) -> None:
        if effect == "failure":
            super().count(effect, slow, now)


class ForgetsToReopen(ReferenceBreaker):
    """A failed probe does not open it."""

    def settle_probe(self, effect: Effect, now: float) -> None:
        super().settle_probe("neutral" if effect == "failure" else effect, now)


class ClosesEarly(ReferenceBreaker):
    """One good probe closes it, however many it is set up for."""

    def settle_probe(self, effect: Effect, now: float) -> None:
        self.good_probes += 1 if effect == "success" else 0
        super().settle_probe(effect, now)


class ProbesEarly(ReferenceBreaker):
    """It lets a probe in after half of its open time."""

    def open_time_is_over(self, now: float) -> bool:
        return now >= self.opened_at + self.open_seconds() / 2


class NeverProbes(ReferenceBreaker):
    """It stays open."""

    def open_time_is_over(self, now: float) -> bool:
        return False


class NoBackoff(ReferenceBreaker):
    """It stays open for the same time after each failed probe."""

    def open_seconds(self) -> float:
        return self.traits.open_seconds


class NoSlowCalls(ReferenceBreaker):
    """It does not see slow calls."""

    def count(self, effect: Effect, slow: bool, now: float) -> None:
        super().count(effect, slow=False, now=now)


class IgnoresForce(ReferenceBreaker):
    """It cannot be opened by hand."""

    def force(self, state: State) -> None:
        if state != "open":
            super().force(state)


class LosesConcurrentFailures(ReferenceBreaker):
    """It reads its count, lets others have a turn, and writes it."""

    def settle(self, ticket: Ticket, effect: Effect, *, slow: bool) -> None:
        seen = self.failures
        time.sleep(0.002)
        self.failures = seen
        super().settle(ticket, effect, slow=slow)


Kind = type[ReferenceBreaker]

HAZARD_MUTANTS: list[tuple[Kind, Traits, str]] = [
    (LateSuccessCloses, PLAIN, "late_success_while_open"),
    (LateFailureExtends, PLAIN, "late_failure_while_open"),
    (LateSuccessIsAProbe, PLAIN, "late_success_in_half_open"),
    (LateFailureIsAProbe, PLAIN, "late_failure_in_half_open"),
    (LateFailureReopens, PLAIN, "late_failure_after_recovery"),
    (LateFailureCounts, PLAIN, "late_failure_counted_after_recovery"),
    (LateSuccessCloses, PLAIN, "late_success_two_eras_later"),
    (LateFailureReopens, TWO_PROBES, "late_probe_failure_after_recovery"),
    (StaleProbeCounts, TWO_PROBES, "stale_probe_two_eras_later"),
    (CancelledIsSuccess, PLAIN, "cancelled_probe_closes"),
    (IgnoredIsSuccess, PLAIN, "ignored_probe_closes"),
    (InterruptIsSuccess, PLAIN, "base_exception_probe_closes"),
    (KeepsPlace, PLAIN, "cancelled_probe_keeps_its_slot"),
    (IgnoredKeepsPlace, PLAIN, "ignored_probe_keeps_its_slot"),
    (InterruptKeepsPlace, PLAIN, "base_exception_probe_keeps_its_slot"),
    (ReplacesInterrupt, PLAIN, "interrupt_replaced"),
    (ReplacesCancellation, PLAIN, "cancellation_replaced"),
    (ReplacesFailure, PLAIN, "tripping_error_replaced"),
    (CancelledIsFailure, PLAIN, "cancelled_calls_open"),
    (NoLimit, PLAIN, "herd_in_half_open"),
    (OneProbeTooMany, PLAIN, "half_open_limit_missed"),
    (WaitsForProbe, PLAIN, "waits_for_hung_probe"),
    (Wedge, PLAIN, "wedged_by_hung_probe"),
    (LockDuringCalls, PLAIN, "lock_held_during_calls"),
    (RaisingPredicateKeepsPlace, PLAIN, "slot_lost_by_raising_predicate"),
    (RaisingListenerKeepsPlace, PLAIN, "slot_lost_by_raising_listener"),
    (RaisingListenerKeepsClosed, PLAIN, "kept_closed_by_raising_listener"),
    (TellsOutOfOrder, PLAIN, "listener_order"),
    (ListenerUnderLock, PLAIN, "deadlock_with_listener"),
    (ClosedStreamIsFailure, PLAIN, "closed_streams_open"),
    (ClosedStreamKeepsPlace, PLAIN, "slot_lost_by_closed_stream"),
    (MissesStreams, PLAIN, "failing_streams_missed"),
    (MissesCoroutines, PLAIN, "coroutine_function_missed"),
    (KeepsRejections, PLAIN, "memory_kept_by_rejections"),
]
"""A mutant, its settings, and the hazard that it falls for."""

CLOCK_MUTANTS: list[tuple[Kind, str]] = [
    (ReadsWallClock, "clock_set_forward"),
    (ReadsWallClock, "clock_set_back"),
    (ReadsLocalTime, "time_zone_changed"),
]

SCENARIO_MUTANTS: list[tuple[Kind, Traits, str]] = [
    (OpensLate, PLAIN, "failure_threshold"),
    (OpensEarly, PLAIN, "failure_threshold"),
    (KeepsCount, PLAIN, "failure_threshold"),
    (NoErrorRate, RATES, "error_rate_threshold"),
    (NoSlowCalls, RATES, "slow_call_threshold"),
    (ForgetsToReopen, PLAIN, "half_open_recovery"),
    (ClosesEarly, TWO_TO_CLOSE, "half_open_recovery"),
    (ProbesEarly, PLAIN, "half_open_recovery"),
    (NeverProbes, PLAIN, "half_open_recovery"),
    (NoBackoff, RATES, "exponential_backoff"),
    (IgnoresForce, PLAIN, "forced_state_transitions"),
    (LosesConcurrentFailures, PLAIN, "concurrent_failures"),
]
"""A mutant, its settings, and the scenario that it fails."""

SEEN_BY_EXPLORING: list[tuple[Kind, Traits]] = [
    (NoGenerations, TWO_PROBES),
    (LateSuccessCloses, PLAIN),
    (LateSuccessIsAProbe, TWO_TO_CLOSE),
    (LateFailureReopens, PLAIN),
    (StaleProbeCounts, TWO_PROBES),
    (StaleProbeFreesPlace, TWO_PROBES),
    (CancelledIsSuccess, PLAIN),
    (InterruptIsSuccess, PLAIN),
    (KeepsPlace, PLAIN),
    (IgnoredKeepsPlace, PLAIN),
    (InterruptKeepsPlace, PLAIN),
    (ClosedStreamIsFailure, PLAIN),
    (ClosedStreamKeepsPlace, PLAIN),
    (MissesStreams, PLAIN),
    (MissesCoroutines, PLAIN),
    (ReplacesInterrupt, PLAIN),
    (ReplacesCancellation, PLAIN),
    (NoLimit, PLAIN),
    (OneProbeTooMany, TWO_PROBES),
    (OpensLate, PLAIN),
    (OpensEarly, PLAIN),
    (KeepsCount, PLAIN),
    (ForgetsToReopen, PLAIN),
    (ClosesEarly, TWO_TO_CLOSE),
    (ProbesEarly, PLAIN),
    (NeverProbes, PLAIN),
    (NoBackoff, RATES),
    (NoErrorRate, RATES),
    (IgnoresForce, PLAIN),
]
"""Mutants that do what no reading of a right breaker allows, and their settings."""

TASTE: list[tuple[Kind, Traits]] = [
    (LateFailureExtends, PLAIN),
    (LateFailureIsAProbe, PLAIN),
    (LateFailureCounts, PLAIN),
    (IgnoredIsSuccess, PLAIN),
    (CancelledIsFailure, PLAIN),
    (ReplacesFailure, PLAIN),
    (Wedge, TWO_PROBES),
    (NoLimit, HERD),
]
"""Mutants that differ from the reference as libraries rightly do."""
