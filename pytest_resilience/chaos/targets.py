"""Targets: from what a user names to the function that is really reached, inside all its wrappers."""

import functools
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

from pytest_resilience.chaos.natives import Slot, is_immutable, is_native, slot_behind, slot_for
from pytest_resilience.chaos.paths import Found, find
from pytest_resilience.chaos.trampoline import Kind, kind_of
from pytest_resilience.errors import TargetError
from pytest_resilience.services import Target

_CALLER = "Name the Python function that calls it."
_MAX_WRAPPERS = 100


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call that can be reached: the innermost Python function, or the stand-in at a native's slot."""

    label: str
    kind: Kind
    function: FunctionType
    slot: Slot | None = None


def resolve(target: Target) -> CallSite:
    """Find the function that `target` names; patch nothing.

    A decorated function is reached inside all its wrappers, so that its breaker or retry sees the fault.

    Raises:
        TargetError: it does not resolve, or cannot be reached.
    """
    if isinstance(target, str):
        return _site(target, find(target))
    owner = getattr(target, "__objclass__", None)
    return _site(_label(target), Found(owner, getattr(target, "__name__", ""), target))


def _site(label: str, found: Found) -> CallSite:
    slot = slot_behind(found.value)
    innermost = _innermost(found.value)
    if slot is None and isinstance(innermost, FunctionType):
        return CallSite(label, kind_of(innermost), innermost)
    if slot is None and not is_native(innermost):
        raise TargetError(f"Target {label!r} {_why_not(innermost)}")
    slot = slot or _slot(label, found, innermost)
    return CallSite(label, Kind.FUNCTION, slot.stand_in, slot)


def _slot(label: str, found: Found, native: Any) -> Slot:
    owner, name = _home(found, native)
    if found.value is not native:
        raise TargetError(
            f"Target {label!r} wraps the compiled {native.__name__!r}, out of reach there. {_CALLER}"
        )
    if is_immutable(owner):
        fix = "Use time-machine to change the time." if owner.__module__ == "datetime" else _CALLER
        raise TargetError(f"Target {label!r} belongs to the immutable type {owner.__name__!r}. {fix}")
    if not isinstance(owner, (ModuleType, type)):
        raise TargetError(f"Target {label!r} is a compiled method of one object. Name it on its class.")
    return slot_for(owner, name, native)


def _home(found: Found, native: Any) -> tuple[Any, str]:
    """Say where a native really lives: for a function, the module that made it, whatever imported it."""
    module = getattr(native, "__self__", None)
    if isinstance(module, ModuleType) and hasattr(module, native.__name__):
        return module, native.__name__
    return found.owner, found.name


def _innermost(value: object) -> object:
    """Unwrap `value`; a Python function that wraps something compiled is the innermost itself."""
    function = None
    for _ in range(_MAX_WRAPPERS):
        function = value if isinstance(value, FunctionType) else function
        inner = _unwrapped(value)
        if inner is None:
            break
        value = inner
    return function if is_native(value) and function is not None else value


def _unwrapped(value: object) -> object:
    match value:
        case staticmethod() | classmethod() | MethodType():
            return value.__func__
        case property():
            return value.fget
        case functools.partial() | functools.partialmethod() | functools.cached_property():
            return value.func
        case type():
            return None
        case _:
            inner = getattr(value, "__wrapped__", None)
            return inner if callable(inner) else None


def _why_not(value: object) -> str:
    if isinstance(value, type):
        methods = [name for name, member in vars(value).items() if isinstance(member, FunctionType)]
        example = next((name for name in methods if not name.startswith("_")), "__init__")
        return f"is a class. Name a method of it, such as {value.__name__}.{example}."
    kind = type(value).__name__
    if "cython" in kind or "cyfunction" in kind:
        return f"is compiled by Cython ({kind}) and cannot be reached. {_CALLER}"
    if callable(value):
        return f"is an object of class {kind!r}. Name the method that it runs, such as {kind}.__call__."
    return f"must be a callable, not {value!r}. Name a function or a method."


def _label(target: object) -> str:
    inner = _innermost(target)
    name = getattr(inner, "__qualname__", type(inner).__name__)
    home = getattr(inner, "__objclass__", type(inner))  # a method compiled from C knows its type only
    return f"{getattr(inner, '__module__', None) or home.__module__}:{name}"
