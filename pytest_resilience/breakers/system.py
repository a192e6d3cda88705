"""A system of services with a real breaker on every edge between them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

from pytest_resilience.breakers.adapter import Adapter
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.topology import Edge, Needs, closing_edges

Outcome: TypeAlias = Literal["answered", "failed", "rejected"]


class System:
    """Services that answer if they are up and everything that they need answers."""

    def __init__(self, needs: Needs, breakers: Mapping[Edge, Adapter], time: Hands) -> None:
        self.needs = needs
        self._time = time
        self.breakers = breakers
        self.closing = closing_edges(needs)
        self.down: frozenset[str] = frozenset()

    def set_down(self, services: Iterable[str]) -> None:
        """Let exactly these services be down."""
        self.down = frozenset(services)

    def request(self, order: Iterable[str]) -> "Round":
        """Send one request to each service in `order`; return what became of them."""
        round_ = Round(self)
        for service in order:
            round_.ask(service)
        return round_

    def call(self, edge: Edge, answers: Callable[[], bool]) -> Outcome:
        """Call through the breaker of `edge`; judge it by whether the callee was entered."""
        breaker = self.breakers[edge]
        outcome: Outcome = "rejected"

        def callee() -> None:
            nonlocal outcome
            outcome = "failed"
            if not answers():
                raise breaker.traits.failure(f"{edge[1]} is down")
            outcome = "answered"

        try:
            with self._time:
                breaker.call(callee)
        except Exception:
            return "failed" if outcome == "answered" else outcome
        return outcome


class Round:
    """One round of requests: each service works once and asks everything that it needs, even if some fail."""

    def __init__(self, system: System) -> None:
        self.answers: dict[str, bool] = {}
        self.outcomes: dict[Edge, Outcome] = {}
        self._system = system

    def ask(self, service: str) -> bool:
        """Let `service` work on a request; tell whether it answered."""
        if service not in self.answers:
            self.answers[service] = service not in self._system.down and self._work(service)
        return self.answers[service]

    def _work(self, service: str) -> bool:
        outcomes = [self._call((service, need)) for need in self._system.needs[service]]
        return all(outcome == "answered" for outcome in outcomes)

    def _call(self, edge: Edge) -> Outcome:
        self.outcomes[edge] = self._system.call(edge, lambda: self._callee(edge))
        return self.outcomes[edge]

    def _callee(self, edge: Edge) -> bool:
        if edge in self._system.closing:
            return edge[1] not in self._system.down
        return self.ask(edge[1])

    def with_outcome(self, outcome: Outcome) -> frozenset[Edge]:
        """Return the edges whose call ended so."""
        return frozenset(edge for edge, seen in self.outcomes.items() if seen == outcome)
