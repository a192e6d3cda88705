"""Stages: what a toxic does to one direction of one connection; here is what all of them share."""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pytest_resilience.chaos.network.connections import Connection
from pytest_resilience.chaos.network.flows import Data, End, Flow, Taker
from pytest_resilience.chaos.network.hits import Draw
from pytest_resilience.chaos.network.tally import Count, Tally
from pytest_resilience.chaos.network.toxics import Toxic

ToxicT = TypeVar("ToxicT", bound=Toxic)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a stage stands, and with what it works."""

    connection: Connection
    flow: Flow
    loop: AbstractEventLoop
    draw: Draw
    tally: Tally
    count: Count


class ToxicStage(Generic[ToxicT]):
    """What all stages do: pass on what is not hit, count what they touch, and wait."""

    following: Taker

    def __init__(self, toxic: ToxicT, site: Site) -> None:
        self.toxic = toxic
        self.hit = False
        self._site = site
        self._loop = site.loop
        self._counted = False
        self._timer: TimerHandle | None = None

    @property
    def full(self) -> bool:
        return False

    def decide(self, hit: bool) -> None:
        """Take the decision for what begins now: the connection or an exchange."""
        self.hit = hit

    def take(self, data: Data) -> None:
        self.following.take(data)

    def end(self, how: End) -> None:
        self.following.end(how)

    def release(self) -> None:
        self._stop_waiting()

    def discard(self) -> None:
        self._stop_waiting()

    def _touch(self, size: int) -> None:
        """Count bytes, and the connection the first time."""
        self._site.count.bytes += size
        if not self._counted:
            self._counted = True
            self._site.count.connections += 1
        self._site.tally.touch(self._site.connection)

    def _wait_until(self, due: float, act: Callable[[], None]) -> None:
        """Act later; while something waits already, it goes first."""
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._wake, act)

    def _wake(self, act: Callable[[], None]) -> None:
        self._timer = None
        act()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
