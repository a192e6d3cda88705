"""Drive a breaker through a script of calls, and stop at the first that goes another way."""

import threading
from collections.abc import Callable
from itertools import groupby

from pytest_resilience.breakers.adapter import Breaker
from pytest_resilience.breakers.dependency import Dependency
from pytest_resilience.clock import ManualClock
from pytest_resilience.units import format_duration

# Instants exactly at the timeout say nothing, so a check looks this share before and after it.
MARGIN = 0.01
# Only a breaker that deadlocks takes this long over calls that do nothing.
HUNG_SECONDS = 5.0


class Mismatch(Exception):  # noqa: N818  (it is a finding about the breaker, not an error)
    """A call went another way than the script says."""


class Drive:
    """A breaker, the dependency behind it, and the story of the calls so far."""

    def __init__(self, breaker: Breaker, time: ManualClock) -> None:
        self.breaker = breaker
        self.traits = breaker.traits
        self._dependency = Dependency(self.traits.failure)
        self._time = time
        self._steps: list[str] = []

    @property
    def story(self) -> str:
        """Return the calls so far, equal ones in a row counted."""
        return ", ".join(f"{step} x{count}" if count > 1 else step for step, count in self._runs())

    def _runs(self) -> list[tuple[str, int]]:
        return [(step, len(list(run))) for step, run in groupby(self._steps)]

    def failing(self, calls: int, *, enter: bool) -> None:
        """Make calls while the dependency fails; each must enter it, or must not."""
        self._calls("failing", calls, enter=enter)

    def healthy(self, calls: int, *, enter: bool) -> None:
        """Make calls while the dependency is well; each must enter it, or must not."""
        self._calls("healthy", calls, enter=enter)

    def note(self, step: str) -> None:
        """Add to the story something that is not a call."""
        self._steps.append(step)

    def wait(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._time.advance(seconds)
        self.note(f"{format_duration(seconds)} later")

    def wait_until_probe(self) -> None:
        """Show that the breaker rejects until just before its open time is over; go to just after."""
        self.wait((1 - MARGIN) * self.traits.open_seconds)
        self.healthy(1, enter=False)
        self.wait(2 * MARGIN * self.traits.open_seconds)

    def failing_at_once(self, calls: int, *, enter: int) -> None:
        """Make failing calls in as many threads at the same time; at least `enter` must get in."""
        self._dependency.healthy = False
        self._dependency.gather(calls)
        before = self._dependency.entries
        hung = _at_once(calls, self._attempt)
        self._dependency.disperse()
        entered = self._dependency.entries - before
        self.note(f"{entered} of {calls} failing calls at once entered")
        if hung:
            raise Mismatch(f"expected {calls} calls at once to return, but {hung} hung")
        if not enter <= entered <= calls:
            raise Mismatch(
                f"expected {enter} to {calls} of {calls} calls at once to enter, but {entered} did"
            )

    def _calls(self, health: str, calls: int, *, enter: bool) -> None:
        self._dependency.healthy = health == "healthy"
        for _ in range(calls):
            before = self._dependency.entries
            raised = self._attempt()
            self._judge(health, self._dependency.entries - before, raised, enter=enter)

    def _attempt(self) -> Exception | None:
        try:
            self.breaker.call(self._dependency)
        except Exception as raised:  # whatever it is: only entries count
            return raised
        return None

    def _judge(self, health: str, entries: int, raised: Exception | None, *, enter: bool) -> None:
        self.note(f"{health} {'entered' if entries else 'rejected'}")
        if entries == enter:
            return
        wanted = "to enter the dependency" if enter else "to be rejected"
        happened = {0: "it was rejected", 1: "it entered"}.get(entries, f"it entered {entries} times")
        error = "" if raised is None else f" ({type(raised).__name__}: {raised})"
        raise Mismatch(f"expected a {health} call {wanted}, but {happened}{error}")


def _at_once(calls: int, attempt: Callable[[], object]) -> int:
    """Run `attempt` in as many threads, started together; return how many hung."""
    start = threading.Barrier(calls)

    def run() -> None:
        start.wait()
        attempt()

    threads = [threading.Thread(target=run, name="resilience-breaker", daemon=True) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HUNG_SECONDS)
    return sum(thread.is_alive() for thread in threads)
