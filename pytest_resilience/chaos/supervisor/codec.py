"""Frozen dataclasses as JSON values and back, strictly: what test process and supervisor send each other.

A dataclass is an object with one key, its name: `{"Endpoint": {"host": "::1", "port": 80, "path": ""}}`. The
field's annotation decides what is read, so that nothing comes out that could not have gone in.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from pytest_resilience.errors import ScenarioError, requirement

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

_SCALARS: Mapping[object, tuple[type, ...]] = MappingProxyType(
    {bool: (bool,), int: (int,), float: (int, float), str: (str,), type(None): (type(None),)}
)


def encode(value: object) -> Plain:
    """Return `value` as JSON values; raise ScenarioError for what `Codec.decode` could not give back."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            type(value).__name__: {each.name: encode(getattr(value, each.name)) for each in fields(value)}
        }
    if isinstance(value, tuple):
        return [encode(each) for each in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)  # without a subclass, such as an enum
    if value is None:
        return None
    constraint = "a number, a text, None, a tuple or a dataclass"
    raise ScenarioError(requirement("What is sent to the supervisor", constraint, value))


class Codec:
    """Reads the dataclasses `kinds`, and those in their fields. A field's `object` is one of `objects`."""

    def __init__(self, kinds: Iterable[type[Any]], objects: Iterable[type[Any]] = ()) -> None:
        self._kinds = tuple(kinds)
        self._objects = tuple(objects)
        self._hints: dict[type[Any], Mapping[str, object]] = {}

    def decode(self, plain: Plain) -> object:
        """Return the dataclass that `encode` was given; raise ScenarioError if it is none of ours."""
        return self._read(plain, self._kinds, "A message")

    def _read(self, plain: Plain, hint: object, name: str) -> object:
        options = tuple(self._options(hint))
        for option in options:
            if _suits(plain, option):
                return self._build(plain, option, name)
        known = ", ".join(map(_name, options))
        raise ScenarioError(requirement(name, f"one of: {known}", plain))

    def _options(self, hint: object) -> Iterator[object]:
        if hint is object:
            yield from self._objects
        elif isinstance(hint, tuple):
            yield from hint
        elif get_origin(hint) in (Union, UnionType):
            for member in get_args(hint):
                yield from self._options(member)
        else:
            yield hint

    def _build(self, plain: Plain, option: object, name: str) -> object:
        if isinstance(plain, list):
            return tuple(self._elements(plain, get_args(option), name))
        if isinstance(plain, dict):
            assert isinstance(option, type)
            return self._construct(option, plain[option.__name__])
        return plain

    def _elements(self, plain: list[Plain], hints: tuple[object, ...], name: str) -> Iterator[object]:
        if hints[-1:] == (...,):
            hints = hints[:1] * len(plain)
        if len(hints) != len(plain):
            raise ScenarioError(requirement(name, f"{len(hints)} values", plain))
        return (self._read(each, hint, name) for each, hint in zip(plain, hints, strict=True))

    def _construct(self, kind: type[Any], values: Plain) -> object:
        hints = self._hints.get(kind) or self._hints.setdefault(kind, _hints(kind))
        if not isinstance(values, dict) or values.keys() != hints.keys():
            raise ScenarioError(requirement(kind.__name__, f"given {', '.join(hints) or 'nothing'}", values))
        read = {
            name: self._read(values[name], hint, f"{kind.__name__}.{name}") for name, hint in hints.items()
        }
        built: object = kind(**read)
        return built


def _hints(kind: type[Any]) -> Mapping[str, object]:
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}


def _suits(plain: Plain, option: object) -> bool:
    """Tell whether a value has the outer form of one alternative of an annotation."""
    if get_origin(option) is Literal:
        return any(type(plain) is type(choice) and plain == choice for choice in get_args(option))
    if get_origin(option) is tuple:
        return isinstance(plain, list)
    if is_dataclass(option):
        return isinstance(plain, dict) and list(plain) == [_name(option)]
    return type(plain) in _SCALARS.get(option, ())


def _name(option: object) -> str:
    return option.__name__ if isinstance(option, type) else str(option)
