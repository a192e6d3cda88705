"""Works: what a scenario is going to do at one seam. Pure data; actions carry it out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pytest_resilience.chaos.faults import Fault
from pytest_resilience.chaos.host.specs import CpuSpec, KillSpec, MemorySpec, PauseSpec
from pytest_resilience.chaos.network.toxics import AnyToxic
from pytest_resilience.chaos.parameters import Parameters
from pytest_resilience.chaos.shares import Shares
from pytest_resilience.chaos.triggers import Trigger
from pytest_resilience.services import Service

FaultFor: TypeAlias = Callable[[float | None], Fault]
"""Makes the fault for a call whose normal latency (seconds) is known, or None."""

ToxicsFor: TypeAlias = Callable[[float | None], tuple[AnyToxic, ...]]
"""Makes the toxics for an endpoint whose exchanges normally take this long (seconds), or None."""


@dataclass(frozen=True, slots=True)
class CallWork:
    """A fault at each call of the service that `trigger` picks."""

    service: Service
    trigger: Trigger
    fault_for: FaultFor
    when: Callable[..., bool] | None = None
    own_task: bool = False


@dataclass(frozen=True, slots=True)
class ToxicWork:
    """Toxics on the connections of the service's endpoint."""

    service: Service
    toxics_for: ToxicsFor


@dataclass(frozen=True, slots=True)
class HostWork:
    """An effect on the machine or a process; `afterwards` is called once it is undone."""

    spec: CpuSpec | MemorySpec | PauseSpec | KillSpec
    afterwards: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class DescriptorWork:
    """This process can open only `spare` more descriptors."""

    spare: int


@dataclass(frozen=True, slots=True)
class DiskWork:
    """The small disk is filled to its last byte."""


@dataclass(frozen=True, slots=True)
class CascadeWork:
    """One outage after the other, `delay` seconds apart."""

    outages: "Sequence[Work]"
    delay: float


Work: TypeAlias = CallWork | ToxicWork | HostWork | DescriptorWork | DiskWork | CascadeWork


@dataclass(frozen=True, slots=True)
class Order:
    """What a scenario is asked for: its target, its parameters, and how strong it is unless they say so.

    `service` is None for the host; `services` are all that are declared; `critical_percent` is the use of the
    machine's memory above which memory is let go.
    """

    service: Service | None
    parameters: Parameters
    share: float
    shares: Shares
    services: Mapping[str, Service] = field(default_factory=dict)
    critical_percent: float = 90.0

    @property
    def target(self) -> Service:
        """The service, where the scenario needs one."""
        if self.service is None:
            raise AssertionError("The host is no service.")
        return self.service
