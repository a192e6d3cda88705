"""Writing: from a parameter's value to the Python code that makes it again, and the imports it needs."""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import FunctionType

from pytest_resilience.chaos.triggers import Ordinals, Share

_TRIGGERS = "pytest_resilience"


@dataclass(frozen=True, slots=True)
class Import:
    """A module that code needs, or one name from it."""

    module: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """An expression, and what it needs imported."""

    text: str
    imports: frozenset[Import] = frozenset()


def code_of(value: object) -> Code | None:
    """Return the code that makes `value`; None for what no code can name, such as a lambda."""
    match value:
        case Ordinals():
            return _ordinals(value)
        case Share(p):
            return Code(f"share({p!r})", frozenset({Import("pytest_resilience.chaos.triggers", "share")}))
        case str():
            return Code(quoted(value))
        case None | bool() | int():
            return Code(repr(value))
        case float():
            return Code(repr(value)) if math.isfinite(value) else None
        case list() | tuple():
            return _sequence(value)
        case BaseException():
            return _instance(value)
        case type() | FunctionType():
            return _named(value)
    return None


def quoted(text: str) -> str:
    """Write a string as formatters do."""
    return repr(text) if '"' in text or "\\" in repr(text) else f'"{text}"'


def import_lines(imports: Iterable[Import]) -> list[str]:
    """Write imports: whole modules first, then names, one line for each module."""
    whole = sorted({one.module for one in imports if not one.name})
    names: dict[str, set[str]] = {}
    for one in imports:
        if one.name:
            names.setdefault(one.module, set()).add(one.name)
    named = [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]
    return [*(f"import {module}" for module in whole), *named]


def _ordinals(trigger: Ordinals) -> Code:
    """Say which of the makers of triggers gives this one."""
    name, arguments = "window", f"{trigger.start}, {trigger.stop}"
    if trigger.text.startswith("every"):
        name, arguments = "every", f"{trigger.period}"
    elif trigger.start == trigger.stop:
        name, arguments = "nth", f"{trigger.start}"
    elif trigger.start == 1:
        name, arguments = "first", f"{trigger.stop}"
    return Code(f"{name}({arguments})", frozenset({Import(_TRIGGERS, name)}))


def _sequence(values: Sequence[object]) -> Code | None:
    codes = [code for code in map(code_of, values) if code is not None]
    if len(codes) < len(values):
        return None
    texts = ", ".join(code.text for code in codes)
    imports = frozenset[Import]().union(*(code.imports for code in codes))
    if isinstance(values, list):
        return Code(f"[{texts}]", imports)
    return Code(f"({texts},)" if len(codes) == 1 else f"({texts})", imports)


def _instance(error: BaseException) -> Code | None:
    """Write a call of the error's type, if that makes an equal one."""
    made_by = _made_by(error)
    name, arguments = _named(type(error)), _sequence(made_by or ())
    if made_by is None or name is None or arguments is None:
        return None
    texts = arguments.text[1:-1].removesuffix(",")
    return Code(f"{name.text}({texts})", name.imports | arguments.imports)


def _made_by(error: BaseException) -> tuple[object, ...] | None:
    """Return the arguments that make the error, as pickle would; None if they do not."""
    how = error.__reduce__()
    if isinstance(how, str) or how[0] is not type(error) or any(how[2:]):
        return None
    try:
        again = type(error)(*how[1])
    except Exception:  # a signature of its own, which its `args` do not fit
        return None
    alike = type(again) is type(error) and again.__reduce__()[:2] == how[:2] and repr(again) == repr(error)
    return tuple(how[1]) if alike else None


def _named(value: type | FunctionType) -> Code | None:
    """Write the name under which a type or a function is found."""
    module, path = value.__module__, value.__qualname__
    found: object = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    if found is not value:
        return None
    return Code(path) if module == "builtins" else Code(f"{module}.{path}", frozenset({Import(module)}))
