"""pytest-resilience: proof of resilience from a pytest suite."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_resilience._version import __version__

if TYPE_CHECKING:
    from pytest_resilience.breakers.cascade_report import CascadeReport as CascadeReport
    from pytest_resilience.breakers.explore import ExploreReport as ExploreReport
    from pytest_resilience.breakers.own import BreakerAdapter as BreakerAdapter
    from pytest_resilience.breakers.verify import BreakerReport as BreakerReport
    from pytest_resilience.chaos import faults as faults
    from pytest_resilience.chaos.engine import Chaos as Chaos
    from pytest_resilience.chaos.fault_plans import FaultPlan as FaultPlan
    from pytest_resilience.chaos.injection import Injection as Injection
    from pytest_resilience.chaos.network import toxics as toxics
    from pytest_resilience.chaos.outside import Address as Address
    from pytest_resilience.chaos.plan_search import fault_plans as fault_plans
    from pytest_resilience.chaos.records import ChaosEvent as ChaosEvent
    from pytest_resilience.chaos.scenario import CustomScenario as CustomScenario
    from pytest_resilience.chaos.triggers import every as every
    from pytest_resilience.chaos.triggers import first as first
    from pytest_resilience.chaos.triggers import nth as nth
    from pytest_resilience.chaos.triggers import share as share
    from pytest_resilience.chaos.triggers import window as window
    from pytest_resilience.errors import ResilienceError as ResilienceError
    from pytest_resilience.memory.loop_sampler import MemorySampler as MemorySampler
    from pytest_resilience.plugin.breaker_fixtures import BreakerTester as BreakerTester
    from pytest_resilience.plugin.breaker_suite import breaker_suite as breaker_suite
    from pytest_resilience.services import Service as Service

_HOMES = {
    "Address": "chaos.outside",
    "BreakerAdapter": "breakers.own",
    "BreakerReport": "breakers.verify",
    "BreakerTester": "plugin.breaker_fixtures",
    "CascadeReport": "breakers.cascade_report",
    "Chaos": "chaos.engine",
    "ChaosEvent": "chaos.records",
    "CustomScenario": "chaos.scenario",
    "ExploreReport": "breakers.explore",
    "FaultPlan": "chaos.fault_plans",
    "Injection": "chaos.injection",
    "MemorySampler": "memory.loop_sampler",
    "ResilienceError": "errors",
    "Service": "services",
    "breaker_suite": "plugin.breaker_suite",
    "every": "chaos.triggers",
    "fault_plans": "chaos.plan_search",
    "first": "chaos.triggers",
    "nth": "chaos.triggers",
    "share": "chaos.triggers",
    "window": "chaos.triggers",
}

_MODULES = {"faults": "chaos.faults", "toxics": "chaos.network.toxics"}

__all__ = [
    "Address",
    "BreakerAdapter",
    "BreakerReport",
    "BreakerTester",
    "CascadeReport",
    "Chaos",
    "ChaosEvent",
    "CustomScenario",
    "ExploreReport",
    "FaultPlan",
    "Injection",
    "MemorySampler",
    "ResilienceError",
    "Service",
    "__version__",
    "breaker_suite",
    "every",
    "fault_plans",
    "faults",
    "first",
    "nth",
    "share",
    "toxics",
    "window",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing the package alone costs nothing."""
    if name in _MODULES:
        return import_module(f"{__name__}.{_MODULES[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
