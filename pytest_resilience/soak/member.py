"""One worker of a distributed soak, as its leader knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from pytest_resilience.soak import messages
from pytest_resilience.soak.messages import Message
from pytest_resilience.store.records import Worker


class Standing(Enum):
    """Where a worker is; GONE is one whose connection has ended, ENDED one that is about to."""

    STARTING = auto()
    JOINED = auto()
    ASSIGNED = auto()
    READY = auto()
    LOOPING = auto()
    IDLE = auto()
    ENDED = auto()
    GONE = auto()


class Port(Protocol):
    """The leader's end of the link to one worker."""

    def send(self, number: int, command: Message) -> None:
        """Give the worker a command, to be answered by Done(number); raise OSError if it is gone."""


@dataclass
class Member:
    """One worker.

    Args:
        heard: when something was last heard of it, by the leader's clock; None before the first time.
        share: the tests that it loops; None is all.
        reach: the identity of each scenario, target and seam that it can inject.
        head_start: rounds that the others had completed when it began.
        blame: why it is being ended, if its leader does that.
    """

    name: str
    port: Port
    replaces: str = ""
    heard: float | None = None
    standing: Standing = Standing.STARTING
    joined: messages.Joined | None = None
    share: tuple[str, ...] | None = None
    reach: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    declared: messages.Declared | None = None
    progress: messages.Progress | None = None
    head_start: int = 0
    began_at: float = 0.0
    ended: messages.Ended | None = None
    blame: str = ""
    stacks: str = ""
    record: Worker | None = None

    @property
    def is_here(self) -> bool:
        """Tell whether it takes commands."""
        return self.standing not in (Standing.STARTING, Standing.GONE)

    @property
    def rounds(self) -> int:
        return self.head_start + (self.progress.rounds if self.progress else 0)
