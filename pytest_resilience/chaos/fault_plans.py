"""Fault plans: a few faults at once as a value that can be made active, printed and pasted as decorators."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, cast

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.parameters import Parameters
from pytest_resilience.chaos.plans import Planner
from pytest_resilience.chaos.scenarios import Catalogue
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.chaos.shares import EVERY_CALL
from pytest_resilience.chaos.writing import Code, Import, code_of, import_lines, quoted
from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import ScenarioError, requirement
from pytest_resilience.services import Service, index_services

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

NOTE = "The plan of faults that was active, as decorators for a regression test:"
NO_FAULT = "No fault was active, the plan is empty: this fails by itself."


class FaultParameters(Parameters, total=False):
    """What an injection can be told, and the seam where it acts if that is not the first that fits."""

    seam: str


class PlannedFault(NamedTuple):
    """A scenario on a service, with its parameters."""

    scenario: str
    target: str
    parameters: FaultParameters

    @property
    def codes(self) -> Mapping[str, Code]:
        """Each parameter as code; raise ScenarioError for one that code cannot name."""
        return {name: _code(name, value) for name, value in self.parameters.items()}

    def __repr__(self) -> str:
        pairs = ", ".join(f"{quoted(name)}: {code.text}" for name, code in self.codes.items())
        return f"({quoted(self.scenario)}, {quoted(self.target)}, {{{pairs}}})"

    @property
    def decorator(self) -> str:
        """The marker that injects it."""
        keywords = "".join(f", {name}={code.text}" for name, code in self.codes.items())
        return f"@pytest.mark.chaos({quoted(self.scenario)}, target={quoted(self.target)}{keywords})"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FaultPlan:
    """Faults that are active together: `with plan.active(): …`.

    Its repr is the code that makes it again, without the services: `FaultPlan([…]).on(SERVICES)`. Plans are
    equal if their code is.

    Args:
        faults: scenario, target and parameters of each, the first one injected first.
        services: the declared services, for `active()` without an engine.

    Raises:
        ScenarioError: a fault is no such triple, or code cannot name one of its parameters.
    """

    faults: tuple[PlannedFault, ...]
    services: tuple[Service, ...] | None

    def __init__(
        self,
        faults: Iterable[tuple[str, str, FaultParameters]],
        services: Iterable[Service] | None = None,
    ) -> None:
        object.__setattr__(self, "faults", tuple(map(_planned, faults)))
        object.__setattr__(self, "services", None if services is None else tuple(services))
        repr(self)  # a parameter that cannot be written is told here, not in a report

    def __repr__(self) -> str:
        return f"FaultPlan([{', '.join(map(repr, self.faults))}])"

    def _repr_pretty_(self, printer: "_Printer", cycle: bool) -> None:
        """Hypothesis prints dataclasses by their fields, unless told otherwise."""
        printer.text(repr(self))

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other) if isinstance(other, FaultPlan) else NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self))

    @property
    def decorators(self) -> str:
        """A line `@pytest.mark.chaos(…)` per fault, which injects the same around a whole test."""
        return "\n".join(fault.decorator for fault in self.faults)

    @property
    def imports(self) -> str:
        """The lines that import what the decorators need."""
        codes = [code for fault in self.faults for code in fault.codes.values()]
        needed = frozenset[Import]().union(*(code.imports for code in codes))
        return "\n".join(import_lines({Import("pytest"), *needed}))

    def on(self, services: Iterable[Service]) -> "FaultPlan":
        """Return the same plan for these services."""
        return FaultPlan(self.faults, services)

    def active(self, chaos: Chaos | None = None) -> AbstractContextManager[Chaos]:
        """Inject all faults while the block lasts; `with` yields the engine.

        At the end they are removed, also when the block raises: then the exception gets a note with the
        decorators. None of them has to fire.

        Args:
            chaos: an engine, such as the fixture `chaos`; else a new one for the plan's services.

        Raises:
            ScenarioError: the plan knows no services, needs an engine, or a fault cannot be injected.
        """
        __tracebackhide__ = True
        if chaos is not None:
            return _Active(self, lambda: chaos, own=False)
        if self.services is None:
            raise ScenarioError(
                "This FaultPlan knows no services. Write plan.on(SERVICES), or give active() an engine."
            )
        planner = Planner(index_services(self.services), EVERY_CALL)
        for fault in self.faults:
            if _seam(fault, planner) is SeamKind.ENDPOINT:
                raise ScenarioError(_needs_engine(fault.target))
        return _Active(self, self._engine, own=True)

    def _engine(self) -> Chaos:
        services = self.services or ()
        untouched = [end.host for service in services if (end := service.listens_at)]
        at_once = max(1, len(self.faults))
        return Chaos(services, seed=0, shares=EVERY_CALL, max_concurrent=at_once, allow_hosts=untouched)


class _Active:
    """The faults of a plan, injected while its block lasts."""

    def __init__(self, plan: FaultPlan, engine: Callable[[], Chaos], *, own: bool) -> None:
        self._plan, self._engine, self._own = plan, engine, own
        self._clock, self._since = SystemClock(), 0.0
        self._undo = ExitStack()

    def __enter__(self) -> Chaos:
        __tracebackhide__ = True
        self._since = self._clock.now()
        try:
            return self._inject()
        except BaseException:
            self._undo.close()
            raise

    def _inject(self) -> Chaos:
        __tracebackhide__ = True
        chaos = self._engine()
        if self._own:
            self._undo.callback(chaos.close)
        for scenario, target, parameters in self._plan.faults:
            self._undo.enter_context(chaos.inject(scenario, target, must_fire=False, **parameters))
        return chaos

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is not None:
                _note(error, self._plan, self._since, self._clock.now())
        finally:
            self._undo.close()


class _Note(str):
    """A note of ours, and when it was written."""

    __slots__ = ("written_at",)
    written_at: float


class _Printer(Protocol):
    def text(self, text: str) -> None: ...


def _note(error: BaseException, plan: FaultPlan, since: float, now: float) -> None:
    """Tell the plan with the error, and forget one told before: code may raise the same object again."""
    notes = getattr(error, "__notes__", [])
    notes[:] = [one for one in notes if not (isinstance(one, _Note) and one.written_at < since)]
    note = _Note(f"{NOTE}\n\n{plan.imports}\n\n{plan.decorators}\n" if plan.faults else NO_FAULT)
    note.written_at = now
    with suppress(AttributeError):  # an exception may be frozen
        error.add_note(note)


def _planned(fault: object) -> PlannedFault:
    match fault:
        case (str(scenario), str(target), Mapping() as parameters):
            frozen = cast("FaultParameters", MappingProxyType({**parameters}))
            return PlannedFault(scenario, target, frozen)
    constraint = "a scenario, a target and a dict of parameters"
    fix = 'Write ("latency_spike", "odds_provider", {"delay": 0.01}).'
    raise ScenarioError(requirement("Each fault of a FaultPlan", constraint, fault, fix))


def _code(name: str, value: object) -> Code:
    code = code_of(value)
    if code is None:
        constraint = "a value that code can write: a literal, a trigger, or what a module has by its name"
        raise ScenarioError(requirement(f"FaultPlan: {name}", constraint, value))
    return code


def _seam(fault: PlannedFault, planner: Planner) -> SeamKind:
    """Return where the fault acts; raise ScenarioError if it is wrong."""
    parameters = {**fault.parameters}
    seam = cast("str | None", parameters.pop("seam", None))
    scenario = Catalogue().named(fault.scenario)
    return planner.plan(scenario, fault.target, seam, cast("Parameters", parameters)).seam


def _needs_engine(target: str) -> str:
    return (
        f"This FaultPlan hits the endpoint of {target!r}, at the address that another engine gave. "
        "Write plan.active(chaos) with that engine, such as the fixture chaos."
    )
