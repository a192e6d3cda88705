"""What a scenario is: a name, an impact, and the ways in which it acts on each kind of seam."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_resilience.chaos.faults import Fault
from pytest_resilience.chaos.network.toxics import AnyToxic
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.chaos.triggers import AnyTrigger, share
from pytest_resilience.chaos.works import CallWork, Order, ToxicWork, Work
from pytest_resilience.errors import ScenarioError, requirement

Impact: TypeAlias = Literal["low", "medium", "high", "critical"]

CALL_PARAMETERS = ("probability", "trigger", "when", "scope")
SHARE_PARAMETERS = ("probability", "trigger")


@dataclass(frozen=True, slots=True)
class Way:
    """How a scenario acts on one kind of seam.

    `does` says it to users; `needs` are the fields that a service must declare beside the seam itself, and
    `parameters` what an injection may be told. One that is `machine_wide` hits all processes of the machine.
    """

    seam: SeamKind
    does: str
    work: Callable[[Order], Work]
    needs: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    machine_wide: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named fault plan: its ways, the preferred one first. `soaked` ones are part of every soak."""

    name: str
    impact: Impact
    ways: tuple[Way, ...]
    soaked: bool = True

    def way(self, seam: SeamKind) -> Way | None:
        """Return the way that acts on `seam`, or None."""
        return next((way for way in self.ways if way.seam is seam), None)


@dataclass(frozen=True, slots=True)
class CustomScenario:
    """A scenario of your own, as plain data.

    Args:
        name: how reports and `chaos.inject` call it.
        impact: low, medium, high or critical (a critical one runs alone in a soak).
        fault: what happens to calls, from `pytest_resilience.faults`.
        toxics: what happens to connections, from `pytest_resilience.toxics`.
        probability: the share of calls that are hit, above 0 and up to 1.
        trigger: which calls are hit, instead of a share.

    Raises:
        ScenarioError: a field is wrong, or it does nothing.
    """

    name: str
    impact: Impact = "medium"
    fault: Fault | None = None
    toxics: Sequence[AnyToxic] = ()
    probability: float = 1.0
    trigger: AnyTrigger | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise ScenarioError(requirement("CustomScenario name", "a name like slow_and_lossy", self.name))
        if self.impact not in ("low", "medium", "high", "critical"):
            constraint = "low, medium, high or critical"
            raise ScenarioError(requirement(f"{self.name}: impact", constraint, self.impact))
        if self.fault is None and not self.toxics:
            raise ScenarioError(
                f"CustomScenario({self.name!r}) does nothing. Give it a fault (for calls) or toxics."
            )
        share(self.probability)

    def scenario(self) -> Scenario:
        """Return it in the form of the built-in ones."""
        ways = []
        if self.fault is not None:
            ways.append(Way(SeamKind.CALLS, repr(self.fault), self._call_work, (), CALL_PARAMETERS))
        if self.toxics:
            ways.append(Way(SeamKind.ENDPOINT, repr(self.toxics), self._toxic_work))
        return Scenario(self.name, self.impact, tuple(ways))

    def _call_work(self, order: Order) -> Work:
        fault = self.fault
        assert fault is not None
        trigger = self.trigger or share(order.parameters.get("probability", self.probability))
        when, scope = order.parameters.get("when"), order.parameters.get("scope")
        given = order.parameters.get("trigger", trigger)
        return CallWork(order.target, given, lambda normal: fault, when, scope == "task")

    def _toxic_work(self, order: Order) -> Work:
        toxics = tuple(self.toxics)
        return ToxicWork(order.target, lambda normal: toxics)
