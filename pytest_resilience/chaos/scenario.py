"""What a scenario is: a name, an impact, and the ways in which it acts on each kind of seam."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pytest_resilience.chaos.faults import Fault
from pytest_resilience.chaos.network.toxics import AnyToxic, Toxic
from pytest_resilience.chaos.parameters import check_trigger
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
        probability: the share of calls, and of connections, that are hit, above 0 and up to 1.
        trigger: which ones are hit, instead of a share.

    On connections these two go before what the toxics say themselves.

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
        self._check_parts()
        share(self.probability)
        if self.trigger is not None:
            check_trigger(f"{self.name}: trigger", self.trigger)
            if self.probability != 1:
                raise ScenarioError(f"{self.name}: probability and trigger exclude each other. Give one.")

    def scenario(self) -> Scenario:
        """Return it in the form of the built-in ones."""
        ways = []
        if self.fault is not None:
            ways.append(Way(SeamKind.CALLS, repr(self.fault), self._call_work, (), CALL_PARAMETERS))
        if self.toxics:
            ways.append(Way(SeamKind.ENDPOINT, repr(self.toxics), self._toxic_work, (), SHARE_PARAMETERS))
        return Scenario(self.name, self.impact, tuple(ways))

    def _check_parts(self) -> None:
        """Raise ScenarioError for what is no fault and no toxics: found in a call, it could get lost."""
        if self.fault is not None and (isinstance(self.fault, type) or not hasattr(self.fault, "effect")):
            fix = "Write fault=faults.Delay(0.2)."
            raise ScenarioError(requirement(f"{self.name}: fault", "a fault", self.fault, fix))
        listed = isinstance(self.toxics, Sequence) and not isinstance(self.toxics, str)
        if not listed or not all(isinstance(toxic, Toxic) for toxic in self.toxics):
            fix = "Write toxics=[toxics.Latency(0.2)]."
            raise ScenarioError(requirement(f"{self.name}: toxics", "a list of toxics", self.toxics, fix))
        if self.fault is None and not self.toxics:
            raise ScenarioError(
                f"CustomScenario({self.name!r}) does nothing. Give it a fault (for calls) or toxics."
            )

    def _call_work(self, order: Order) -> Work:
        fault = self.fault
        assert fault is not None
        trigger = self._trigger(order) or share(1)
        when, scope = order.parameters.get("when"), order.parameters.get("scope")
        return CallWork(order.target, trigger, lambda normal: fault, when, scope == "task")

    def _toxic_work(self, order: Order) -> Work:
        trigger = self._trigger(order)
        toxics = tuple(self.toxics)
        if trigger is not None:
            toxics = tuple(replace(toxic, trigger=trigger) for toxic in toxics)
        return ToxicWork(order.target, lambda normal: toxics)

    def _trigger(self, order: Order) -> AnyTrigger | None:
        """Return what picks the hits; None for all, as far as the toxics themselves say nothing else."""
        given = order.parameters
        if "trigger" in given:
            return given["trigger"]
        if "probability" in given or self.trigger is None:
            probability = given.get("probability", self.probability)
            return share(probability) if probability != 1 else None
        return self.trigger
