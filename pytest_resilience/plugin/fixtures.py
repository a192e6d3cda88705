"""The fixtures that users override or ask for."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from pytest_resilience.chaos.engine import Chaos, Injection
    from pytest_resilience.chaos.outside import Address
    from pytest_resilience.memory.loop_sampler import MemorySampler
    from pytest_resilience.services import Service

T = TypeVar("T")

CHAOS = pytest.StashKey["Chaos"]()
ENGINES = pytest.StashKey["list[Chaos]"]()
CHECKED = pytest.StashKey[int]()
"""How many injections there were when the test's body was over; the later ones are a fixture's."""


@pytest.fixture(scope="session")
def resilience_services() -> "Sequence[Service]":
    """Override to declare the services that the code under test depends on: a list of Service."""
    return []


@pytest.fixture(scope="session")
def resilience_breakers() -> Mapping[str, object]:
    """Override to register circuit breakers: name -> breaker, factory of breakers, or BreakerAdapter."""
    return {}


@pytest.fixture(scope="session")
def resilience_processes() -> Mapping[str, object]:
    """Override to have a soak watch other processes: name -> pid, Popen, process name, or a function.

    The processes of services, Service(process=…), are watched anyway; all of them with their children.
    """
    return {}


@pytest.fixture(scope="session")
def resilience_signals() -> Mapping[str, object]:
    """Override to have a soak watch signals of your own: name -> function that returns a number.

    For example `{"queue length": queue.qsize}`. They are read on a thread beside the tests.
    """
    return {}


@pytest.fixture(scope="session")
def service_address(
    pytestconfig: pytest.Config, resilience_services: "Sequence[Service]"
) -> "Callable[[str], Address]":
    """Where to connect to, for faults on endpoints: `str(service_address("database"))` is host:port.

    Faults on the endpoint (network_partition, latency_spike …) reach the connections that go through there.
    The address has a `host`, a `port`, the `port6` on ::1, and the `path` of a Unix socket.
    """

    def address(service: str) -> "Address":
        from pytest_resilience.chaos.outside import address_of
        from pytest_resilience.plugin.engine import outside_of
        from pytest_resilience.plugin.options import SETTINGS
        from pytest_resilience.services import check_hosts, checked_services, index_services

        def find() -> "Address":
            services = index_services(checked_services(resilience_services))
            check_hosts(services.values(), pytestconfig.stash[SETTINGS].allow_hosts)
            return address_of(service, services, outside_of(pytestconfig))

        return without_our_frames(find)

    return address


@pytest.fixture(scope="session")
def resilience_disk(pytestconfig: pytest.Config) -> Path:
    """The folder of a disk of 16 MiB that faults may fill: disk_full gives a real ENOSPC there."""
    from pytest_resilience.plugin.engine import outside_of

    return without_our_frames(lambda: outside_of(pytestconfig).disk()[1])


@pytest.fixture
def memory_sampler() -> "MemorySampler":
    """Sample memory while a test loops: `for _ in memory_sampler.loop(2000): quote("game-1")`.

    Then `memory_sampler.assert_no_leak()` fails the test with what leaks and who holds it;
    `memory_sampler.verdict` and `memory_sampler.samples` have the numbers.
    """
    from pytest_resilience.memory.loop_sampler import MemorySampler

    return MemorySampler()


@pytest.fixture
def chaos(request: pytest.FixtureRequest, resilience_services: "Sequence[Service]") -> "Iterator[Chaos]":
    """Inject real faults: `with chaos.inject("latency_spike", "odds_provider", delay=0.2) as event:`.

    The targets are the services of the fixture `resilience_services`, and every call is hit unless told
    otherwise. What is still active at the end of the test is removed, and an injection that never fired fails
    the test, unless it was given `must_fire=False`.
    """
    from pytest_resilience.plugin.news import HookNews, InjectionNews

    hooks = HookNews(request.node.ihook)
    news = InjectionNews(hooks.tell)
    engine = _engine(request.node, resilience_services, news.take)
    engines = request.config.stash.setdefault(ENGINES, [])
    engines.append(engine)
    request.node.stash[CHAOS] = engine
    if not request.config.pluginmanager.has_plugin(FiringCheck.NAME):
        request.config.pluginmanager.register(FiringCheck(), FiringCheck.NAME)
    with ExitStack() as undo:  # whatever one of them raises, the others have their turn
        undo.callback(news.tell_all)
        undo.callback(engine.settle)
        undo.callback(engines.remove, engine)
        undo.callback(engine.sweep)
        undo.callback(request.node.stash.__delitem__, CHAOS)
        yield engine
    hooks.raise_error()
    _fail_for(engine.complaints(request.node.stash.get(CHECKED, len(engine.injections))))


def sweep_engines(config: pytest.Config) -> None:
    """Remove what an interrupted test left active; what cannot be removed is told, and the session ends."""
    if not config.stash.get(ENGINES, []):
        return
    from pytest_resilience.errors import ResilienceError

    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    for engine in config.stash[ENGINES]:
        try:
            engine.sweep()
        except ResilienceError as trouble:
            if reporter:
                reporter.write_line(f"resilience: {trouble}")


class FiringCheck:
    """Fails a test whose fault never fired: it has shown nothing. The first use of `chaos` registers it."""

    NAME = "resilience-firing-check"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        try:
            result = yield
        finally:
            engine = item.stash.get(CHAOS, None)
            item.stash[CHECKED] = len(engine.injections) if engine is not None else 0
        if engine is not None:
            _fail_for(engine.complaints())
        return result


def _fail_for(complaints: Sequence[str]) -> None:
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def _engine(node: pytest.Item, services: object, changed: "Callable[[Injection, str], None]") -> "Chaos":
    from pytest_resilience.plugin.engine import fixture_chaos
    from pytest_resilience.services import checked_services

    return without_our_frames(lambda: fixture_chaos(checked_services(services), node, changed))


def without_our_frames(make: Callable[[], T]) -> T:
    """Return what `make` returns; tell a mistake of the user's in one line."""
    from pytest_resilience.errors import ResilienceError

    try:
        return make()
    except ResilienceError as wrong:
        mistake = str(wrong)
    pytest.fail(mistake, pytrace=False)  # outside of `except`, or it would be told twice
