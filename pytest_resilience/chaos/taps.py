"""Taps: what stands at a seam. A trampoline asks its tap at each call whether and how to interfere."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from pytest_resilience.chaos.counting import AtomicCounter
from pytest_resilience.chaos.faults import Effect, Fault
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.triggers import Schedule, draw
from pytest_resilience.chaos.waiting import pause
from pytest_resilience.clock import Clock
from pytest_resilience.service_errors import build_error

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

Token: TypeAlias = object
"""What `enter` hands to `leave` of the same call."""


class Tap(Protocol):
    """What a trampoline needs; the pairs are for plain calls and for coroutines."""

    @property
    def schedule(self) -> Schedule: ...
    @property
    def reached(self) -> AtomicCounter: ...
    def enter(self, index: int) -> Token: ...
    def leave(self, token: Token) -> None: ...
    async def enter_async(self, index: int) -> Token: ...
    async def leave_async(self, token: Token) -> None: ...


@dataclass(slots=True)
class Evidence:
    """What a fault really touched; the counts are exact across threads, times in seconds of the clock."""

    reached: AtomicCounter = field(default_factory=AtomicCounter)
    fired: AtomicCounter = field(default_factory=AtomicCounter)
    first_fired_at: float | None = None
    last_fired_at: float | None = None

    def note_firing(self, now: float) -> None:
        next(self.fired.numbers)
        if self.first_fired_at is None:
            self.first_fired_at = now
        self.last_fired_at = now


_ACTING: ContextVar[bool] = ContextVar("resilience_fault_acting", default=False)


class _Acting:
    """While a fault waits or builds its error, calls of the same task or thread are not hit."""

    def __enter__(self) -> None:
        self._token = _ACTING.set(True)

    def __exit__(self, *error: object) -> None:
        _ACTING.reset(self._token)


class FaultTap:
    """Carries out a fault at the calls that its schedule picks, until it is released."""

    def __init__(
        self, fault: Fault, schedule: Schedule, seed: str, evidence: Evidence, release: Release, clock: Clock
    ) -> None:
        self.schedule = schedule
        self.reached = evidence.reached
        self._fault = fault
        self._seed = seed
        self._evidence = evidence
        self._release = release
        self._clock = clock

    def enter(self, index: int) -> Token:
        if self._stands_back():
            return None
        with _Acting():
            effect = self._begin(index)
            if effect.wait:
                self._clock.wait(self._release, effect.wait)
            return self._go_on(effect)

    async def enter_async(self, index: int) -> Token:
        if self._stands_back():
            return None
        with _Acting():
            effect = self._begin(index)
            if effect.wait:
                await pause(self._release, effect.wait, self._clock)
            return self._go_on(effect)

    def leave(self, token: Token) -> None:
        with _Acting():
            if (seconds := self._owed(token)) > 0:
                self._clock.wait(self._release, seconds)

    async def leave_async(self, token: Token) -> None:
        with _Acting():
            if (seconds := self._owed(token)) > 0:
                await pause(self._release, seconds, self._clock)

    def _stands_back(self) -> bool:
        """The fault was removed just now, or it is a fault that calls, such as one on asyncio.sleep."""
        return self._release.is_set() or _ACTING.get()

    def _begin(self, index: int) -> Effect:
        effect = self._fault.effect(self.schedule.rank(index), draw(self._seed, index))
        self._evidence.note_firing(self._clock.now())
        return effect

    def _go_on(self, effect: Effect) -> Token:
        if effect.error is not None:
            raise build_error(effect.error)
        return (effect, self._clock.now()) if effect.stretch else None

    def _owed(self, token: Token) -> float:
        if not isinstance(token, tuple):
            return 0.0
        effect, started = token
        return float(max(effect.floor, effect.stretch * (self._clock.now() - started)))
