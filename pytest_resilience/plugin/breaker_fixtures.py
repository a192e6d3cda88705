"""The fixtures that hand a circuit breaker to a test, or verify one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.plugin.fixtures import without_our_frames

if TYPE_CHECKING:
    from pytest_resilience.breakers.verify import BreakerReport


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
    """Verifies circuit breakers: the seven scenarios and the hazards, in virtual time."""

    def __init__(self, registered: Mapping[str, object], strictness: str) -> None:
        self._registered = registered
        self._strictness = strictness

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
        from pytest_resilience.breakers.named import checked_breakers, named_breaker
        from pytest_resilience.breakers.verify import verify
        from pytest_resilience.clock import SystemClock
        from pytest_resilience.option_values import read_strictness

        level = self._strictness if strictness is None else read_strictness(strictness, "strictness")
        name, breaker = named_breaker(source, checked_breakers(self._registered))
        return verify(name, breaker, clock=SystemClock(), real_time=real_time, strictness=level)


@pytest.fixture
def breaker_tester(pytestconfig: pytest.Config, resilience_breakers: Mapping[str, object]) -> BreakerTester:
    """Verify a circuit breaker in virtual time: `breaker_tester.verify("test_circuit")` returns a report.

    The report has `passed`, `verdict` (one line), `results` of the seven scenarios and `hazards`; its text
    says what was expected, what was observed and the calls that show it, and `must_pass()` raises it.
    """
    from pytest_resilience.plugin.options import SETTINGS

    return BreakerTester(resilience_breakers, pytestconfig.stash[SETTINGS].breaker_strictness)
