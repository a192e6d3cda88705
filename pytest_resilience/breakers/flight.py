"""A flight: a call through a breaker that is held inside its dependency, and how it may end."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pytest_resilience.breakers.lanes import Lane

Way: TypeAlias = Literal["sync", "async"]

Outcome: TypeAlias = Literal["ok", "failure", "slow", "ignored", "cancelled", "base_exception", "closed"]
"""How a call ends. `slow` is a success after the slow time; `closed` gives a generator up after one item."""

Kind: TypeAlias = Literal["call", "generator", "by_hand"]
Phase: TypeAlias = Literal["starting", "in_air", "ended"]


class Interrupted(KeyboardInterrupt):
    """What a call that ends as base_exception raises."""


class Abandoned(BaseException):
    """Ends the calls that are still in the air when a check is over."""


class IgnoredError(Exception):
    """An error that the breaker was told to ignore."""


class NotPossibleError(Exception):
    """A flight cannot end in this way here; the message is the reason."""


@dataclass(eq=False)
class Flight:
    """One call through the breaker.

    `entered` counts how often it got into the dependency; `raised` and `result` are what its caller saw.
    A flight that is `starting` when nothing moves any more is blocked in the breaker itself.
    """

    kind: Kind
    outcome: Outcome | None
    phase: Phase = "starting"
    entered: int = 0
    result: object = None
    raised: BaseException | None = None
    abandoned: bool = False
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    landing: "asyncio.Future[None] | None" = None
    task: "asyncio.Task[object] | None" = None
    lane: Lane | None = None
    finishing: bool = False

    @property
    def blocked(self) -> bool:
        """Tell whether it waits in the breaker: neither in the dependency nor rejected."""
        return self.phase == "starting"

    @property
    def in_air(self) -> bool:
        """Tell whether it is held inside the dependency."""
        return self.phase == "in_air"
