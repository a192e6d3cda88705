"""The fixtures that hand a circuit breaker to a test, or verify one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.plugin.fixtures import without_our_frames

if TYPE_CHECKING:
    from pytest_resilience.breakers.cascade_report import CascadeReport
    from pytest_resilience.breakers.explore import ExploreReport
    from pytest_resilience.breakers.flight import Way
    from pytest_resilience.breakers.verify import BreakerReport
    from pytest_resilience.services import Service
    from pytest_resilience.settings import Settings


@pytest.fixture
def circuit_breaker(resilience_breakers: Mapping[str, object]) -> "Iterator[Callable[[str], object]]":
    """Give a registered breaker to the test: `circuit_breaker("test_circuit")`, freshly closed.

    An instance is handed back as it was before, at the end of the test; a factory makes a new breaker. Its
    clock is the machine's. A breaker that is described by a BreakerAdapter comes from its `make`.
    """
    with ExitStack() as undo:
        yield lambda name: without_our_frames(lambda: _handed_out(name, resilience_breakers, undo))


def _handed_out(name: str, registered: Mapping[str, object], undo: ExitStack) -> object:
    from pytest_resilience.breakers.named import checked_breakers, named_breaker
    from pytest_resilience.breakers.subject import subject_of

    found, source = named_breaker(name, checked_breakers(registered))
    return undo.enter_context(subject_of(found, source).handed_out())


class BreakerTester:
    """Verifies circuit breakers in virtual time: scenarios and hazards, sequences, and cascades."""

    def __init__(
        self,
        registered: Mapping[str, object],
        settings: "Settings",
        services: "Callable[[], Sequence[Service]]" = tuple,
    ) -> None:
        self._registered = registered
        self._settings = settings
        self._strictness = settings.breaker_strictness
        self._services = services

    def verify(
        self, source: object, *, strictness: str | None = None, real_time: bool = False
    ) -> "BreakerReport":
        """Check a breaker: `breaker_tester.verify(make).must_pass()`, or ask the report for details.

        Args:
            source: a name of `resilience_breakers`, "package.module:name", a breaker, a function that
                returns one, or a BreakerAdapter. An instance is given back as it was.
            strictness: what it must pass: scenarios, wrong or strict. Default: resilience_breaker_strictness.
            real_time: really wait, for at most a few seconds, instead of moving the clock that it reads.

        Raises:
            ResilienceError: it cannot be checked, and why.
        """
        return without_our_frames(lambda: self._verify(source, strictness, real_time))

    def _verify(self, source: object, strictness: str | None, real_time: bool) -> "BreakerReport":
        from pytest_resilience.breakers.verify import verify
        from pytest_resilience.clock import SystemClock
        from pytest_resilience.option_values import read_strictness

        level = self._strictness if strictness is None else read_strictness(strictness, "strictness")
        name, breaker = self._named(source)
        return verify(name, breaker, clock=SystemClock(), real_time=real_time, strictness=level)

    def explore(
        self, source: object, *, seed: int | None = None, examples: int = 100, way: "Way | None" = None
    ) -> "ExploreReport":
        """Play sequences of calls on a breaker: `breaker_tester.explore(make).must_pass()`.

        Written and random sequences are played on it and on a model of all that a right breaker may do. What
        no right breaker does is reported with a script of the library alone, to paste into an issue.

        Args:
            source: as for verify.
            seed: draws the random sequences. Default: resilience_seed, or 0.
            examples: how many random sequences are played in each way; they need hypothesis, 0 does not.
            way: "sync" or "async"; each that the breaker has, by default.

        Raises:
            ResilienceError: it cannot be checked, and why.
        """
        from pytest_resilience.breakers.explore import explore

        drawn = self._seed(seed)
        return without_our_frames(
            lambda: explore(*self._named(source), seed=drawn, examples=examples, way=way)
        )

    def cascade(
        self,
        source: object,
        topology: "Mapping[str, Sequence[str]] | None" = None,
        *,
        modes: Iterable[str] | None = None,
        fan_out: str | None = None,
        retries: int | None = None,
        max_services_down: int | None = None,
        seed: int | None = None,
        way: "Way | None" = None,
    ) -> "CascadeReport":
        """Run the five cascade types: `breaker_tester.cascade("test_circuit").must_pass()`.

        Args:
            source: as for verify; one like it stands on every edge.
            topology: each service with the services that it needs. Default: those of resilience_services.
            modes: outage, slow, flapping, retry_storm and heal_under_load, or some of them. Default: all.
            fan_out: "parallel" or "in_turn". Default: resilience_cascade_fan_out.
            retries: how often a caller tries again. Default: resilience_cascade_retries.
            max_services_down: a cascade that takes more down at once fails.
                Default: resilience_max_services_down.
            seed: draws the random cascade. Default: resilience_seed, or 0.
            way: "sync" or "async"; the first that the breaker has, by default.

        Raises:
            ResilienceError: the topology, the breaker or a parameter is wrong.
        """
        from pytest_resilience.breakers.cascade import run_cascades
        from pytest_resilience.breakers.modes import Calling

        settings = self._settings

        def run() -> "CascadeReport":
            name, breaker = self._named(source)
            return run_cascades(
                self._topology() if topology is None else topology,
                breaker,
                seed=self._seed(seed),
                name=name,
                modes=modes,
                calling=Calling(
                    settings.cascade_fan_out if fan_out is None else fan_out,
                    settings.cascade_retries if retries is None else retries,
                ),
                way=way,
                max_services_down=(
                    settings.max_services_down if max_services_down is None else max_services_down
                ),
            )

        return without_our_frames(run)

    def _named(self, source: object) -> tuple[str, object]:
        from pytest_resilience.breakers.named import checked_breakers, named_breaker

        return named_breaker(source, checked_breakers(self._registered))

    def _seed(self, given: int | None) -> int:
        return (self._settings.seed or 0) if given is None else given

    def _topology(self) -> Mapping[str, Sequence[str]]:
        from pytest_resilience.errors import ResilienceError
        from pytest_resilience.services import checked_services, index_services

        services = index_services(checked_services(self._services()))
        if not services:
            fix = "Give one, as {'shop': ['database'], 'database': []}, or declare resilience_services."
            raise ResilienceError(f"There is no topology to run cascades over. {fix}")
        return {name: service.needs for name, service in services.items()}


@pytest.fixture
def breaker_tester(
    pytestconfig: pytest.Config, request: pytest.FixtureRequest, resilience_breakers: Mapping[str, object]
) -> BreakerTester:
    """Verify a circuit breaker in virtual time: `breaker_tester.verify("test_circuit")` returns a report.

    The report has `passed`, `verdict` (one line), `results` of the seven scenarios and `hazards`; its text
    says what was expected, what was observed and the calls that show it, and `must_pass()` raises it.
    `breaker_tester.explore(…)` plays sequences of calls on it, `breaker_tester.cascade(…)` puts one on every
    edge of a topology and lets services fail.
    """
    from pytest_resilience.plugin.options import SETTINGS

    # Services are asked for only where they are needed: they may start servers.
    return BreakerTester(
        resilience_breakers,
        pytestconfig.stash[SETTINGS],
        lambda: request.getfixturevalue("resilience_services"),
    )
