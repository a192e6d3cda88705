"""Dotted paths: from "package.module:Class.method" to what stands there."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pytest_resilience.errors import TargetError, did_you_mean, requirement

_HOW = 'Write "package.module:Class.method", or give the callable itself.'
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Found:
    """What stands on `owner` under `name`, read without binding it."""

    owner: object
    name: str
    value: Any


def find(path: str) -> Found:
    """Import what `path` begins with and walk to its end; raise TargetError if it does not resolve."""
    module_name, colon, attributes = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attributes.split(".")) if part):
        raise TargetError(requirement("A call target", "a dotted path", path, _HOW))
    if not colon:
        return _find_without_colon(path)
    module = _import(path, module_name) if module_name else None
    if module is None:
        raise TargetError(_no_module(path, module_name))
    return _walk(path, module, attributes.split("."))


def _find_without_colon(path: str) -> Found:
    """Try every beginning of `path` as the module; all that resolve must lead to the same thing."""
    parts = path.split(".")
    modules = {name: module for name in _prefixes(parts) if (module := _import(path, name)) is not None}
    if not modules:
        raise TargetError(_no_module(path, parts[0]) if len(parts) > 1 else _no_call(path))
    rests = {name: parts[name.count(".") + 1 :] for name in modules}
    readings = [found for name in modules if (found := _try_walk(path, modules[name], rests[name]))]
    if len({id(found.value) for found in readings}) > 1:
        meanings = " or ".join(f"{name}:{'.'.join(rest)}" for name, rest in rests.items())
        raise TargetError(f"Target {path!r} has two meanings. Write {meanings}.")
    longest = next(iter(modules))
    return readings[0] if readings else _walk(path, modules[longest], rests[longest])


def _prefixes(parts: list[str]) -> Iterator[str]:
    for length in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:length])


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


def _try_walk(path: str, module: ModuleType, attributes: list[str]) -> Found | None:
    try:
        return _walk(path, module, attributes)
    except TargetError:
        return None


def _walk(path: str, module: ModuleType, attributes: list[str]) -> Found:
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
    return Found(owner, name, value)


def _missing(path: str, where: str, owner: object, name: str) -> TargetError:
    if not name:
        return TargetError(_no_call(path))
    public = [known for known in dir(owner) if not known.startswith("__")]
    return TargetError(f"Target {path!r}: {where} has no {name!r}. {did_you_mean(name, public)}")


def _no_call(path: str) -> str:
    return requirement("A call target", "a dotted path to a callable", path, _HOW)
