"""The fixtures that users override or ask for."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.plugin.options import SETTINGS

if TYPE_CHECKING:
    from pytest_resilience.chaos.engine import Chaos
    from pytest_resilience.services import Service
    from pytest_resilience.settings import Settings

CHAOS = pytest.StashKey["Chaos"]()


@pytest.fixture(scope="session")
def resilience_services() -> "Sequence[Service]":
    """Override to declare the services that the code under test depends on: a list of Service."""
    return []


@pytest.fixture(scope="session")
def resilience_breakers() -> Mapping[str, object]:
    """Override to register circuit breakers for verification: name -> breaker (pybreaker) or factory."""
    return {}


@pytest.fixture
def chaos(request: pytest.FixtureRequest, resilience_services: "Sequence[Service]") -> "Iterator[Chaos]":
    """Inject real faults: `with chaos.inject("latency_spike", "odds_provider", delay=0.2) as event:`.

    The targets are the services of the fixture `resilience_services`, and every call is hit unless told
    otherwise. What is still active at the end of the test is removed, and an injection that never fired fails
    the test, unless it was given `must_fire=False`.
    """
    engine = _engine(request.config.stash[SETTINGS], resilience_services)
    request.node.stash[CHAOS] = engine
    if not request.config.pluginmanager.has_plugin(FiringCheck.NAME):
        request.config.pluginmanager.register(FiringCheck(), FiringCheck.NAME)
    try:
        yield engine
    finally:
        del request.node.stash[CHAOS]
        engine.sweep()


class FiringCheck:
    """Fails a test whose fault never fired: it has shown nothing. The first use of `chaos` registers it."""

    NAME = "resilience-firing-check"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        result = yield
        engine = item.stash.get(CHAOS, None)
        unfired = engine.unfired() if engine is not None else ()
        if unfired:
            pytest.fail("\n".join(injection.explain() for injection in unfired), pytrace=False)
        return result


def _engine(settings: "Settings", services: object) -> "Chaos":
    from pytest_resilience.errors import ResilienceError
    from pytest_resilience.plugin.engine import fixture_chaos
    from pytest_resilience.services import checked_services

    try:
        return fixture_chaos(checked_services(services), settings)
    except ResilienceError as wrong:
        mistake = str(wrong)
    pytest.fail(mistake, pytrace=False)  # outside of `except`, or it would be told twice
