"""What is soaked: the suite's tests, and the world that they declare."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.memory.gauges import Gauge
from pytest_resilience.memory.processes import WatchedProcess
from pytest_resilience.services import Service
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.outcome import Outcome
from pytest_resilience.store.records import SoakTest


@dataclass(frozen=True)
class World:
    """What the suite declares: its services by name, its breakers, and the faults that can reach them.

    `marks` are its soak tests by id, as far as their markers say more than that they are soaked; `processes`
    are watched beside the tests' own, and `gauges` are signals of the user's own.
    """

    services: Mapping[str, Service] = field(default_factory=dict)
    breakers: Mapping[str, object] = field(default_factory=dict)
    chaos: Chaos | None = None
    marks: Mapping[str, SoakTest] = field(default_factory=dict)
    processes: Sequence[WatchedProcess] = ()
    gauges: Sequence[Gauge] = ()


class Suite(Protocol):
    """The soak tests, however they are run."""

    @property
    def tests(self) -> Sequence[str]:
        """The ids of all soak tests, in their own order."""

    def run(self, test: str, following: str) -> Outcome:
        """Run a test once; `following` is run next."""


Task = Callable[[World], Iterable[Message]]
"""What a command that pauses the suite makes it do; the messages are sent as they come."""
