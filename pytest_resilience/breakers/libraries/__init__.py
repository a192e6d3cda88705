"""The libraries whose breakers can be checked: one module each, imported when its library already is."""

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import FunctionType, MappingProxyType
from typing import cast

from pytest_resilience.breakers.adapter import Library

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "aiobreaker": "aiobreaker_breakers",
        "circuitbreaker": "circuitbreaker_breakers",
        "interlock": "interlock_breakers",
        "nopanic": "nopanic_breakers",
        "purgatory": "purgatory_breakers",
        "pybreaker": "pybreaker_breakers",
        "pyresilience": "pyresilience_breakers",
    }
)
"""The package that a library is imported as, and the module here whose LIBRARY supports it."""


def library_of(made: object) -> Library | None:
    """Return the library that an object is a breaker of, None if it is of none that is supported."""
    for package in _packages(made):
        if package in MODULES and package in sys.modules:
            library = load_library(package)
            if library.owns(made):
                return library
    return None


def _packages(made: object) -> Iterable[str]:
    """Return the packages that an object's type comes from; of decorated functions the decorator's too."""
    kinds = [*type(made).__mro__]
    if isinstance(made, FunctionType):
        kinds += [type(value) for value in vars(made).values()]
    return dict.fromkeys(kind.__module__.partition(".")[0] for kind in kinds)


def load_library(package: str) -> Library:
    """Return the support of the library that is imported as `package`; it must be installed."""
    module = import_module(f"{__name__}.{MODULES[package]}")
    return cast("Library", module.LIBRARY)
