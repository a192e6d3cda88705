"""What the soak tests' conftests declare, as the tests themselves see it."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import pytest

from pytest_resilience.breakers.named import checked_breakers
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.errors import ResilienceError, ServiceError
from pytest_resilience.memory.gauges import Gauge, declared_gauges
from pytest_resilience.memory.processes import WatchedProcess, watched_processes
from pytest_resilience.plugin.engine import soak_chaos
from pytest_resilience.plugin.soak_marks import soak_mistake, survives_of, weight_of
from pytest_resilience.services import Service, checked_services, index_services
from pytest_resilience.soak.world import World
from pytest_resilience.store.records import SoakTest

RunItem = Callable[[pytest.Item, pytest.Item], list[pytest.TestReport]]


class DeclarationFailed(Exception):  # noqa: N818
    """A fixture that declares the world failed; `report` says how."""

    def __init__(self, report: pytest.TestReport) -> None:
        super().__init__(report.nodeid)
        self.report = report


class _Seen:
    """Collects what the modules' fixtures give; `wrong` is the first mistake of the user's."""

    def __init__(self) -> None:
        self.services: list[Service] = []
        self.breakers: dict[str, object] = {}
        self.processes: dict[str, WatchedProcess] = {}
        self.gauges: dict[str, Gauge] = {}
        self.wrong: ResilienceError | None = None

    def probe(self, request: pytest.FixtureRequest) -> None:
        try:
            self.services += checked_services(request.getfixturevalue("resilience_services"))
            self._take_breakers(request.getfixturevalue("resilience_breakers"))
            self._take_watched(request)
        except ResilienceError as wrong:
            self.wrong = self.wrong or wrong
        except pytest.skip.Exception as skipped:
            fact = f"What the soak tests declare was skipped: {skipped}."
            fix = "Deselect these tests, or declare what is there."
            self.wrong = self.wrong or ServiceError(f"{fact} {fix}")

    def _take_watched(self, request: pytest.FixtureRequest) -> None:
        """Take the processes and the signals; of a name the first one counts, as modules see the same."""
        for process in watched_processes(request.getfixturevalue("resilience_processes")):
            self.processes.setdefault(process.name, process)
        for gauge in declared_gauges(request.getfixturevalue("resilience_signals")):
            self.gauges.setdefault(gauge.name, gauge)

    def watched(self, services: Iterable[Service]) -> tuple[WatchedProcess, ...]:
        """Return the processes of the services, and the others that were declared."""
        own = {one.name: WatchedProcess(one.name, partial(_pid_of, one)) for one in services if one.process}
        return tuple({**own, **self.processes}.values())

    def _take_breakers(self, breakers: object) -> None:
        for name, breaker in checked_breakers(breakers).items():
            subject_of(name, breaker)
            if self.breakers.setdefault(name, breaker) is not breaker:
                raise ServiceError(
                    f"Breaker {name!r} is declared twice, differently. Give each its own name."
                )


def declare(items: Sequence[pytest.Item], config: pytest.Config, run_item: RunItem) -> World:
    """Ask each module's fixtures for services and breakers; set up only what these need.

    Raise DeclarationFailed if a fixture fails, ResilienceError if what it gives is wrong.
    """
    seen = _Seen()
    probes = [_probe_of(module, seen) for module in _modules(items)]
    for probe, following in zip(probes, (*probes[1:], items[0]), strict=True):
        failed = [report for report in run_item(probe, following) if report.failed]
        if failed:
            raise DeclarationFailed(failed[0])
    if seen.wrong:
        raise seen.wrong
    services = index_services(seen.services)
    chaos = soak_chaos(services.values(), config) if services else None
    marks = {item.nodeid: _marked(item) for item in items}
    watched = seen.watched(services.values())
    return World(services, seen.breakers, chaos, marks, watched, tuple(seen.gauges.values()))


def _pid_of(service: Service) -> int | None:
    return service.pid


def _marked(item: pytest.Item) -> SoakTest:
    """Return what the markers of a test say; one whose markers are wrong fails when it is run."""
    if soak_mistake(item):
        return SoakTest(item.nodeid)
    return SoakTest(item.nodeid, weight_of(item), " ".join(survives_of(item)))


def _modules(items: Sequence[pytest.Item]) -> list[pytest.Module]:
    modules = (item.getparent(pytest.Module) for item in items)
    return [module for module in dict.fromkeys(modules) if module is not None]


def _probe_of(module: pytest.Module, seen: _Seen) -> pytest.Item:
    def probe(request: pytest.FixtureRequest) -> None:
        seen.probe(request)

    item: pytest.Item = pytest.Function.from_parent(module, name="resilience declarations", callobj=probe)
    return item
