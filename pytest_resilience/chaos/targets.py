"""Targets: from what a user names to the function that is really reached."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

from pytest_resilience.chaos.natives import Slot, is_immutable, is_native, slot_behind, slot_for
from pytest_resilience.chaos.trampoline import Kind, kind_of
from pytest_resilience.errors import TargetError, did_you_mean, requirement
from pytest_resilience.services import Target

_HOW = 'Write "package.module:Class.method", or give the callable itself.'
_CALLER = "Name the Python function that calls it."
_MAX_WRAPPERS = 100
_MISSING = object()


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call that can be reached: the innermost Python function, or the stand-in at a native's slot."""

    label: str
    kind: Kind
    function: FunctionType
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    owner: object
    name: str
    value: Any


def resolve(target: Target) -> CallSite:
    """Find the function that `target` names; patch nothing.

    A decorated function is reached inside all its wrappers, so that its breaker or retry sees the fault.

    Raises:
        TargetError: it does not resolve, or cannot be reached.
    """
    if isinstance(target, str):
        return _site(target, _find(target))
    owner = getattr(target, "__objclass__", None)
    return _site(_label(target), _Found(owner, getattr(target, "__name__", ""), target))


def _site(label: str, found: _Found) -> CallSite:
    slot = slot_behind(found.value)
    innermost = _innermost(found.value)
    if slot is None and isinstance(innermost, FunctionType):
        return CallSite(label, kind_of(innermost), innermost)
    if slot is None and not is_native(innermost):
        raise TargetError(f"Target {label!r} {_why_not(innermost)}")
    slot = slot or _slot(label, found, innermost)
    return CallSite(label, Kind.FUNCTION, slot.stand_in, slot)


def _slot(label: str, found: _Found, native: Any) -> Slot:
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


def _home(found: _Found, native: Any) -> tuple[Any, str]:
    """Say where a native really lives: for a function, the module that made it, whatever imported it."""
    module = getattr(native, "__self__", None)
    if isinstance(module, ModuleType) and hasattr(module, native.__name__):
        return module, native.__name__
    return found.owner, found.name


# From a dotted path to what stands there


def _find(path: str) -> _Found:
    module_name, colon, attributes = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attributes.split(".")) if part):
        raise TargetError(requirement("A call target", "a dotted path", path, _HOW))
    if colon:
        return _walk(path, _module(path, module_name), attributes.split("."))
    return _find_without_colon(path)


def _find_without_colon(path: str) -> _Found:
    parts = path.split(".")
    if len(parts) == 1:
        raise TargetError(requirement("A call target", "a dotted path to a callable", path, _HOW))
    modules = [(name, module) for name in _prefixes(parts) if (module := _import(path, name)) is not None]
    if not modules:
        raise TargetError(_no_module(path, parts[0]))
    readings: list[_Found] = []
    for name, module in modules:
        found = _try_walk(path, module, parts[name.count(".") + 1 :])
        if found is not None and all(found.value is not other.value for other in readings):
            readings.append(found)
    if len(readings) > 1:
        names = " or ".join(f"{name}:{path[len(name) + 1 :]}" for name, _ in modules[:2])
        raise TargetError(f"Target {path!r} has two meanings. Write {names}.")
    longest, module = modules[0]
    return readings[0] if readings else _walk(path, module, parts[longest.count(".") + 1 :])


def _prefixes(parts: list[str]) -> Iterator[str]:
    for length in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:length])


def _module(path: str, name: str) -> ModuleType:
    module = _import(path, name) if name else None
    if module is None:
        raise TargetError(_no_module(path, name))
    return module


def _import(path: str, name: str) -> ModuleType | None:
    """Import a module; return None if there is none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and (name == missing.name or name.startswith(f"{missing.name}.")):
            return None
        raise TargetError(f"Target {path!r}: importing {name} failed: {missing}.") from missing
    except Exception as failure:
        reason = f"{type(failure).__name__}: {failure}"
        raise TargetError(f"Target {path!r}: importing {name} failed with {reason}.") from failure


def _no_module(path: str, name: str) -> str:
    parent, _, last = name.rpartition(".")
    package = _import(path, parent) if parent else None
    searched = getattr(package, "__path__", None) if parent else None
    siblings = [module.name for module in pkgutil.iter_modules(searched)] if searched is not None else []
    hint = did_you_mean(last, siblings) if siblings else _HOW
    return f"Target {path!r}: there is no module {name!r}. {hint}"


def _try_walk(path: str, module: ModuleType, attributes: list[str]) -> _Found | None:
    try:
        return _walk(path, module, attributes)
    except TargetError:
        return None


def _walk(path: str, module: ModuleType, attributes: list[str]) -> _Found:
    owner: object = module
    where = module.__name__
    for name in attributes[:-1]:
        try:
            owner = getattr(owner, name)
        except AttributeError:
            raise _missing(path, where, owner, name) from None
        where = f"{where}.{name}"
    name = attributes[-1]
    value = inspect.getattr_static(owner, name, _MISSING)
    if value is _MISSING and isinstance(owner, ModuleType):
        value = getattr(owner, name, _MISSING)  # a module may make its names on demand
    if value is _MISSING:
        raise _missing(path, where, owner, name)
    return _Found(owner, name, value)


def _missing(path: str, where: str, owner: object, name: str) -> TargetError:
    if not name:
        return TargetError(requirement("A call target", "a dotted path to a callable", path, _HOW))
    public = [known for known in dir(owner) if not known.startswith("__")]
    return TargetError(f"Target {path!r}: {where} has no {name!r}. {did_you_mean(name, public)}")


# From what stands there to the function inside


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
    return f"{getattr(inner, '__module__', None) or type(inner).__module__}:{name}"
