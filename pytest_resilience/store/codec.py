"""Records as tuples of builtin values: what the link carries and what the tables hold."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeAlias, get_args

from pytest_resilience.errors import StoreError, did_you_mean
from pytest_resilience.store.records import Record

Value: TypeAlias = str | int | float | bool | None
Wire: TypeAlias = tuple[Value, ...]

KINDS: tuple[type[Record], ...] = get_args(Record)

_BUILD: Mapping[str, Callable[..., Record]] = {kind.__name__: kind for kind in KINDS}
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in KINDS}


def _reader(names: tuple[str, ...]) -> Callable[[Record], Any]:
    """Return what reads these fields; attrgetter gives no tuple for a single one."""
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda record: (read(record),)


_READ = {kind: _reader(names) for kind, names in _NAMES.items()}


def encode(record: Record) -> Wire:
    """Return the name of the record's class and its values, as builtin types only."""
    kind = type(record)
    return (kind.__name__, *map(_plain, _READ[kind](record)))


def decode(wire: Wire) -> Record:
    """Return the record that `encode` was given; raise StoreError if it is none that this version knows."""
    name, *values = wire
    build = _BUILD.get(str(name))
    if build is None:
        raise StoreError(f"{name!r} is not a kind of record. {did_you_mean(str(name), _BUILD)}")
    try:
        return build(*values)
    except TypeError as reason:
        raise StoreError(f"{name} was recorded by another version of pytest-resilience: {reason}.") from None


def _plain(value: Value) -> Value:
    """Strip subclasses (enums, numpy's floats) and what UTF-8 cannot hold (lone surrogates)."""
    match value:
        case None | bool():
            return value
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case int():
            return int(value)
    return float(value)
