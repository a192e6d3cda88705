"""What a worker of a distributed soak can inject, and what of it other workers would hit too."""

from collections.abc import Iterator
from contextlib import suppress

from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.errors import ResilienceError
from pytest_resilience.services import Service
from pytest_resilience.soak.candidates import candidates
from pytest_resilience.soak.world import World
from pytest_resilience.workers import machine_id


def reach(world: World) -> Iterator[tuple[str, str, str, str]]:
    """Yield scenario, target, seam and identity of each candidate that can be injected here.

    The identity is a machine for pressure on it, a process for faults of one, and empty for what is this
    worker's own: its calls, its proxies, its descriptors and its disk.
    """
    if world.chaos is None:
        return
    wide = {
        (scenario.name, way.seam.value)
        for scenario in world.chaos.soaked
        for way in scenario.ways
        if way.machine_wide
    }
    for one in candidates(world.services.values(), world.chaos.soaked):
        if one.reason:
            continue
        identity = ""
        if (one.scenario, one.seam) in wide:
            identity = machine_id()
        elif one.seam == SeamKind.PROCESS:
            identity = _process(world.services[one.target])
        yield one.scenario, one.target, one.seam, identity


def _process(service: Service) -> str:
    """Name the process of a service; one that cannot be asked now counts as the worker's own."""
    pid = None
    with suppress(ResilienceError, OSError):
        pid = service.pid
    return "" if pid is None else f"{machine_id()}:{pid}"
