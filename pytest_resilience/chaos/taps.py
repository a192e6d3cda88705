"""Taps: what stands at a seam. A trampoline asks its tap at each call whether and how to interfere."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from pytest_resilience.chaos.acting import Acting, is_acting
from pytest_resilience.chaos.asking import Asking
from pytest_resilience.chaos.counting import AtomicCounter
from pytest_resilience.chaos.evidence import Evidence as Evidence
from pytest_resilience.chaos.faults import Delay, Effect, Fault, Hang, Raise, Return, Spike, check_function
from pytest_resilience.chaos.kinds import STREAMS, Kind
from pytest_resilience.chaos.later import Deferral
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.scope import Scope
from pytest_resilience.chaos.streams import check_items
from pytest_resilience.chaos.triggers import Schedule, draw
from pytest_resilience.chaos.twists import Twist, fresh_error
from pytest_resilience.chaos.waiting import pause, rest
from pytest_resilience.clock import Clock

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

Token: TypeAlias = object
"""What `enter` hands to `leave` of the same call; a Twist takes over the result instead."""

When: TypeAlias = Callable[..., bool]
"""Tells from the arguments of a call whether a fault is about it."""


class Tap(Protocol):
    """What a trampoline needs; the pairs are for plain calls and for coroutines.

    A tap may have two attributes more: `concerns`, which is asked first with each call's arguments, so that
    calls which do not concern the tap pass it by; and `twists`, true if `enter` may give a Twist.
    """

    @property
    def schedule(self) -> Schedule: ...
    @property
    def reached(self) -> AtomicCounter: ...
    def enter(self, index: int) -> Token: ...
    def leave(self, token: Token) -> None: ...
    async def enter_async(self, index: int) -> Token: ...
    async def leave_async(self, token: Token) -> None: ...


class FaultTap:
    """Carries out a fault at the calls that its schedule picks, until it is released.

    Args:
        fault, schedule, seed: what happens, and to which of the calls; `seed` draws what is left open.
        evidence, release, clock: where it is noted, what ends it, and whose seconds it takes.
        when: gets a call's own arguments; it concerns only the calls for which this is true.
        scope: it concerns only the calls of the tasks and threads in this scope.
        kind, target: of the calls, to check that the fault means something there.

    Calls that do not concern it are not counted. A `when` that fails raises ScenarioError in the call, and
    the evidence keeps it as a mistake.

    Raises:
        ScenarioError: the fault means nothing on this kind of call, or `when` is no plain function.
    """

    def __init__(
        self,
        fault: Fault,
        schedule: Schedule,
        seed: str,
        evidence: Evidence,
        release: Release,
        clock: Clock,
        *,
        when: When | None = None,
        scope: Scope | None = None,
        kind: Kind = Kind.FUNCTION,
        target: str = "the call",
    ) -> None:
        if when is not None:
            check_function("when", when, "lambda *args: True")
        if kind in STREAMS and isinstance(fault, Return):
            check_items(f"Return(value) for the {kind} {target}", fault.value, each_time=True)
        self.schedule = schedule
        self.reached = evidence.reached
        self._fault = fault
        self._seed = seed
        self._evidence = evidence
        self._release = release
        self._clock = clock
        self._when = when
        self._scope = scope
        self._target = target
        self.concerns: When | None = self._concerns if when or scope else None
        self._defers = kind is Kind.AWAITABLE
        self.twists = self._defers or not isinstance(fault, (Delay, Hang, Raise, Spike))

    def enter(self, index: int) -> Token:
        if self._stands_back():
            return None
        if self._defers:
            return Deferral(self, index)
        with Acting():
            effect = self._begin(index)
            if effect.wait:
                with Asking(self._evidence, "The wait", None, ""):
                    rest(self._release, effect.wait, self._clock)
            return self._go_on(effect)

    async def enter_async(self, index: int) -> Token:
        if self._stands_back():
            return None
        with Acting():
            effect = self._begin(index)
            if effect.wait:
                await pause(self._release, effect.wait, self._clock)
            return self._go_on(effect)

    def leave(self, token: Token) -> None:
        with Acting():
            if (seconds := self._owed(token)) > 0:
                rest(self._release, seconds, self._clock)

    async def leave_async(self, token: Token) -> None:
        with Acting():
            if (seconds := self._owed(token)) > 0:
                await pause(self._release, seconds, self._clock)

    def _concerns(self, /, *args: Any, **kwargs: Any) -> bool:
        if self._scope is not None and not self._scope.contains_current():
            return False
        if self._when is None:
            return True
        if self._stands_back():
            return False
        fix = f"Let it take the arguments of {self._target} and return True or False."
        with Asking(self._evidence, "when", self._when, fix):
            return bool(self._when(*args, **kwargs))

    def _stands_back(self) -> bool:
        """The fault was removed just now, or it is a fault that calls, such as one on asyncio.sleep."""
        return self._release.is_set() or is_acting()

    def _begin(self, index: int) -> Effect:
        effect = self._fault.effect(self.schedule.rank(index), draw(self._seed, index))
        if not effect.on_result:
            self._evidence.note_firing(self._clock.now())
        return effect

    def _go_on(self, effect: Effect) -> Token:
        if effect.error is not None:
            raise fresh_error(effect.error, self._evidence)
        if effect.on_result:
            return Twist(effect, self._evidence, self._release, self._clock)
        return (effect, self._clock.now()) if effect.stretch else None

    def _owed(self, token: Token) -> float:
        if not isinstance(token, tuple):
            return 0.0
        effect, started = token
        return float(max(effect.floor, effect.stretch * (self._clock.now() - started)))
