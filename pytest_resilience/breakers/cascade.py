"""Cascades: an outage spreads through real breakers, is contained, heals, and every breaker closes."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.limits import MARGIN
from pytest_resilience.breakers.outages import OUTAGES, NotApplicableError, Outage
from pytest_resilience.breakers.records import Cascade
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.breakers.system import Round, System
from pytest_resilience.breakers.topology import Edge, edges, failing_edges, longest_chain, read_topology

# After the heal each edge is called this often within the open time of a breaker.
CALLS_PER_OPEN_TIME = 20
NAMES_SHOWN = 5


def run_cascades(topology: Mapping[str, Sequence[str]], source: object, *, seed: int) -> tuple[Cascade, ...]:
    """Run the five cascade types in virtual time, with a breaker like `source` on every edge.

    Args:
        topology: each service with the services that it needs; cycles are allowed.
        source: a pybreaker.CircuitBreaker, which is copied and not touched, or a function that returns one.
        seed: draws the random cascade.

    Raises:
        ResilienceError: the topology or the breaker is wrong.
    """
    needs = read_topology(topology)
    subject = subject_of("cascade", source)

    def run(kind: str, outage: Outage) -> Cascade:
        time = Hands()
        with subject.borrowed(time, twins=True) as lend:
            breakers = {edge: lend() for edge in edges(outage.needs)}
            return _Run(outage, System(outage.needs, breakers, time), time).record(kind)

    cascades = []
    for kind, plan in OUTAGES.items():
        try:
            cascades.append(run(kind, plan(needs, Random(f"{kind} {seed}"))))
        except NotApplicableError as missing:
            cascades.append(Cascade(kind, "not_applicable", 0, 0, len(edges(needs)), None, str(missing)))
    return tuple(cascades)


class _Run:
    """One cascade, run when it is made: its outage, then its heal."""

    def __init__(self, outage: Outage, system: System, time: Hands) -> None:
        self._outage = outage
        self._system = system
        self._time = time
        # All edges have a breaker of the same kind, so that one speaks for all.
        self._traits = next(iter(system.breakers.values())).traits
        if reason := self._traits.lacks.get("half_open_recovery"):
            raise NotApplicableError(reason)
        self._height = self._break_down()
        self._closed_after = self._heal()
        self._half_open = self._refusing_one_failure() if self._closed_after is not None else []

    def _break_down(self) -> Round:
        """Send requests into the outage until each breaker on the way has had its fill, and once more."""
        self._system.set_down(self._outage.down)
        for _ in range(self._traits.threshold):
            self._system.request(self._outage.order)
        return self._system.request(self._outage.order)

    def _heal(self) -> float | None:
        """End the outage and keep calling; return the virtual seconds until all answer, None if never."""
        self._system.set_down(())
        step = (1 + MARGIN) * self._traits.open_seconds / CALLS_PER_OPEN_TIME
        answered = dict.fromkeys(self._system.breakers, 0)
        for calls in range(1, self._patience() + 1):
            self._time.advance(step)
            outcomes = self._system.request(self._outage.order).outcomes
            answered = {
                edge: answered[edge] + 1 if outcomes.get(edge) == "answered" else 0 for edge in answered
            }
            if min(answered.values()) >= self._traits.successes_to_close:
                return calls * step
        return None

    def _patience(self) -> int:
        """Return after how many rounds even breakers that had to wait for each other are closed."""
        open_times = len(longest_chain(self._outage.needs)) + 1
        return open_times * CALLS_PER_OPEN_TIME + self._traits.successes_to_close

    def _refusing_one_failure(self) -> list[Edge]:
        """Return the edges that answer, but are still half-open: one failure is enough to open them."""
        if self._traits.threshold == 1:
            return []
        return [edge for edge in self._system.breakers if not self._survives_failure(edge)]

    def _survives_failure(self, edge: Edge) -> bool:
        failure = self._system.call(edge, lambda: False)
        return failure == "failed" and self._system.call(edge, lambda: True) == "answered"

    def record(self, kind: str) -> Cascade:
        """Return what happened."""
        problem = self._problem()
        down = sum(not answered for answered in self._height.answers.values())
        opened = len(self._height.with_outcome("rejected"))
        story = (
            f"outage of {_list(self._outage.down)}: "
            f"{opened} of {len(self._system.breakers)} breakers opened, "
            f"{down} of {len(self._outage.needs)} services down"
        )
        return Cascade(
            kind=kind,
            verdict="failed" if problem else "passed",
            services_down=down,
            opened=opened,
            edges=len(self._system.breakers),
            seconds_to_closed=None if problem else self._closed_after,
            detail=f"{story}; {problem or f'all closed {self._closed_after:.3g} s after the heal'}",
        )

    def _problem(self) -> str:
        failing = failing_edges(self._outage.needs, self._outage.down)
        rejected = self._height.with_outcome("rejected")
        if let_through := failing - rejected:
            return f"still calling after {self._traits.threshold} failures: {_arrows(let_through)}"
        if innocent := rejected - failing:
            return f"opened without a failure behind them: {_arrows(innocent)}"
        if self._closed_after is None:
            return f"not every breaker let calls in again within {self._patience()} rounds after the heal"
        if self._half_open:
            return f"never closed, one failure opened them again: {_arrows(self._half_open)}"
        return ""


def _arrows(found: Iterable[Edge]) -> str:
    return _list([f"{service} -> {need}" for service, need in sorted(found)])


def _list(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
