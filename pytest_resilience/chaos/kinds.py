"""Kinds of callables: how a function hands out its result, which decides how a fault can reach into it."""

import inspect
from enum import StrEnum
from types import CodeType


class Kind(StrEnum):
    """How a function hands out its result."""

    FUNCTION = "function"
    AWAITABLE = "function that hands out an awaitable"
    COROUTINE = "coroutine"
    GENERATOR_COROUTINE = "generator-based coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"


STREAMS = (Kind.GENERATOR, Kind.ASYNC_GENERATOR)
"""These hand out items, one at a time."""

AWAITED = (Kind.COROUTINE, Kind.GENERATOR_COROUTINE)
"""These are awaited for one result."""


def kind_of_code(code: CodeType) -> Kind:
    """Tell how a function with this code hands out its result."""
    flags = code.co_flags
    if flags & inspect.CO_COROUTINE:
        return Kind.COROUTINE
    if flags & inspect.CO_ASYNC_GENERATOR:
        return Kind.ASYNC_GENERATOR
    if flags & inspect.CO_ITERABLE_COROUTINE:
        return Kind.GENERATOR_COROUTINE
    return Kind.GENERATOR if flags & inspect.CO_GENERATOR else Kind.FUNCTION
