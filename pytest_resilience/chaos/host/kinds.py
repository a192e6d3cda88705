"""Which effect is made of which spec of the host."""

from pytest_resilience.chaos.host.cpu import CpuEffect
from pytest_resilience.chaos.host.disk import DiskEffect, FullEffect
from pytest_resilience.chaos.host.kill import KillEffect
from pytest_resilience.chaos.host.memory import MemoryEffect
from pytest_resilience.chaos.host.pause import PauseEffect
from pytest_resilience.chaos.host.specs import CpuSpec, DiskSpec, FullSpec, KillSpec, MemorySpec, PauseSpec
from pytest_resilience.chaos.supervisor.holding import Kinds

HOST_KINDS: Kinds = {
    CpuSpec: lambda spec, _: CpuEffect(spec),
    MemorySpec: lambda spec, _: MemoryEffect(spec),
    PauseSpec: lambda spec, _: PauseEffect(spec),
    KillSpec: lambda spec, _: KillEffect(spec),
    DiskSpec: lambda spec, _: DiskEffect(spec),
    FullSpec: FullEffect,
}
