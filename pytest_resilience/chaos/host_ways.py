"""How scenarios act on the machine and on processes."""

from pytest_resilience.chaos.host.cores import usable_cores
from pytest_resilience.chaos.host.specs import CpuSpec, KillSpec, MemorySpec, PauseSpec
from pytest_resilience.chaos.works import DescriptorWork, DiskWork, HostWork, Order, Work

CEILING_DISTANCE_PERCENT = 10.0
"""Pressure stays this far below the use of memory at which it would let go."""


def saturate(order: Order) -> Work:
    """Keep cores busy: all of them unless told otherwise."""
    cores = order.parameters.get("cores", usable_cores())
    return HostWork(CpuSpec(cores, order.parameters.get("load", order.shares.cpu)))


def press(order: Order) -> Work:
    """Take a share of the memory that is free below the ceiling, or as many bytes as asked."""
    from pytest_resilience.host_memory import SystemMemory, room_below, tightest_limit  # brings psutil

    ceiling = max(1.0, order.critical_percent - CEILING_DISTANCE_PERCENT)
    room = room_below(ceiling, SystemMemory().percent(), tightest_limit())
    size = order.parameters.get("size") or max(1, int(order.shares.memory * room))
    return HostWork(MemorySpec(size, ceiling, order.critical_percent))


def exhaust(order: Order) -> Work:
    if order.parameters.get("resource", "descriptors") == "disk":
        return DiskWork()
    return DescriptorWork(order.parameters.get("spare", 0))


def fill_disk(order: Order) -> Work:
    return DiskWork()


def pause(order: Order) -> Work:
    return HostWork(PauseSpec(_pid(order)))


def kill(order: Order) -> Work:
    restart = order.parameters.get("restart", ())
    if callable(restart):
        return HostWork(KillSpec(_pid(order)), afterwards=restart)
    return HostWork(KillSpec(_pid(order), tuple(restart)))


def _pid(order: Order) -> int:
    pid = order.target.pid
    assert pid is not None  # the way needs it
    return pid
