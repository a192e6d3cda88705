"""What the runner does between iterations when the conductor asks: breakers and cascades."""

from collections.abc import Iterator, Mapping

from pytest_resilience.breakers.cascade import run_cascades
from pytest_resilience.breakers.modes import Calling
from pytest_resilience.breakers.verify import verify
from pytest_resilience.clock import Clock
from pytest_resilience.settings import Settings
from pytest_resilience.soak import messages
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.world import Task, World


def soak_tasks(clock: Clock, seed: int, settings: Settings) -> Mapping[str, Task]:
    """Return the task of each command that pauses the suite, by the command's name."""

    def breakers(world: World) -> Iterator[Message]:
        for name, breaker in world.breakers.items():
            report = verify(name, breaker, clock=clock, strictness=settings.breaker_strictness)
            yield from report.results
            yield from report.hazards
            yield from report.transitions

    def cascades(world: World) -> Iterator[Message]:
        topology = {name: service.needs for name, service in world.services.items()}
        name, breaker = next(iter(world.breakers.items()))
        report = run_cascades(
            topology,
            breaker,
            seed=seed,
            name=name,
            calling=Calling(settings.cascade_fan_out, settings.cascade_retries),
            max_services_down=settings.max_services_down,
        )
        yield from report.cascades

    return {messages.VerifyBreakers.__name__: breakers, messages.RunCascades.__name__: cascades}
