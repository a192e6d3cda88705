"""pytest-resilience: proof of resilience from a pytest suite."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_resilience._version import __version__

if TYPE_CHECKING:
    from pytest_resilience.breakers.verify import BreakerReport as BreakerReport
    from pytest_resilience.chaos.engine import Chaos as Chaos
    from pytest_resilience.chaos.injection import Injection as Injection
    from pytest_resilience.chaos.triggers import every as every
    from pytest_resilience.chaos.triggers import first as first
    from pytest_resilience.chaos.triggers import nth as nth
    from pytest_resilience.chaos.triggers import window as window
    from pytest_resilience.errors import ResilienceError as ResilienceError
    from pytest_resilience.services import Service as Service

_HOMES = {
    "BreakerReport": "breakers.verify",
    "Chaos": "chaos.engine",
    "Injection": "chaos.injection",
    "ResilienceError": "errors",
    "Service": "services",
    "every": "chaos.triggers",
    "first": "chaos.triggers",
    "nth": "chaos.triggers",
    "window": "chaos.triggers",
}

__all__ = [
    "BreakerReport",
    "Chaos",
    "Injection",
    "ResilienceError",
    "Service",
    "__version__",
    "every",
    "first",
    "nth",
    "window",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing the package alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
