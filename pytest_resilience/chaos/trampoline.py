"""Trampolines: code objects that ask a tap and then call the function's own code.

A pure-Python function is reached by swapping its `__code__`: whoever holds the function (an import by name, a
bound method, a closure, a cache) gets the trampoline, and identity, signature, defaults and attributes stay.
What the trampoline needs stands among its constants, because a function's closure cannot grow.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import CodeType, FunctionType

from pytest_resilience.chaos.taps import Tap


class Kind(StrEnum):
    """How a function hands out its result."""

    FUNCTION = "function"
    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"


_FLAGS = {
    Kind.COROUTINE: inspect.CO_COROUTINE,
    Kind.ASYNC_GENERATOR: inspect.CO_ASYNC_GENERATOR,
    Kind.GENERATOR: inspect.CO_GENERATOR,
}

_AROUND = """
  resilience__index = '<next>'
  resilience__index = resilience__index()
  resilience__inner = '<inner>'
  if resilience__index % '<period>' in '<firing>':
   resilience__enter = '<enter>'
   resilience__token = {await_}resilience__enter(resilience__index)
   resilience__result = {await_}resilience__inner({arguments})
   resilience__leave = '<leave>'
   {await_}resilience__leave(resilience__token)
   return resilience__result
  return {await_}resilience__inner({arguments})
"""

_BEFORE = """
  resilience__index = '<next>'
  resilience__index = resilience__index()
  resilience__inner = '<inner>'
  if resilience__index % '<period>' in '<firing>':
   resilience__enter = '<enter>'
   {await_}resilience__enter(resilience__index)
"""

_DELEGATE = """
  return (yield from resilience__inner({arguments}))
"""

_DELEGATE_ASYNC = """
  resilience__inner = resilience__inner({arguments})
  try:
   resilience__item = await resilience__inner.__anext__()
   while True:
    try:
     resilience__sent = yield resilience__item
    except GeneratorExit:
     await resilience__inner.aclose()
     raise
    except BaseException as resilience__error:
     resilience__item = await resilience__inner.athrow(resilience__error)
    else:
     resilience__item = await resilience__inner.asend(resilience__sent)
  except StopAsyncIteration:
   return
"""

_BODIES = {
    Kind.FUNCTION: _AROUND,
    Kind.COROUTINE: _AROUND,
    Kind.GENERATOR: _BEFORE + _DELEGATE,
    Kind.ASYNC_GENERATOR: _BEFORE + _DELEGATE_ASYNC,
}

_SOURCE = """
def closure():
 {cells}
 {define} trampoline({parameters}):
  if 0: {free}
{body}
"""

_PLACES = ("<next>", "<period>", "<firing>", "<enter>", "<leave>", "<inner>")

_MARK = ("pytest-resilience trampoline",)


@dataclass(frozen=True, slots=True)
class _Shape:
    """All that decides a trampoline's bytecode."""

    kind: Kind
    parameters: str
    arguments: str
    free: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Template:
    """A compiled trampoline, and where its constants wait for their values."""

    code: CodeType
    places: tuple[tuple[int, str], ...]


def kind_of(function: FunctionType) -> Kind:
    """Tell how `function` hands out its result."""
    return _kind(function.__code__)


def weave(function: FunctionType, taps: Iterable[Tap]) -> CodeType:
    """Return the code that asks all `taps`, the last one first, and then runs the original code."""
    code = original_code(function)
    for tap in taps:
        code = _trampoline(function, code, tap)
    return code


def original_code(function: FunctionType) -> CodeType:
    """Return the code under all trampolines; it is found from the function alone and so cannot get lost."""
    code = function.__code__
    while code.co_consts and code.co_consts[-1] is _MARK:
        code = code.co_consts[-2].__code__
    return code


def _trampoline(function: FunctionType, code: CodeType, tap: Tap) -> CodeType:
    template = _template(_shape(code))
    inner = FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)
    constants = list(template.code.co_consts)
    values = _values(tap, inner, awaiting=_kind(code) in (Kind.COROUTINE, Kind.ASYNC_GENERATOR))
    for place, name in template.places:
        constants[place] = values[name]
    return template.code.replace(
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_freevars=code.co_freevars,
        co_flags=template.code.co_flags | (code.co_flags & inspect.CO_ITERABLE_COROUTINE),
        co_consts=(*constants, inner, _MARK),
    )


def _values(tap: Tap, inner: FunctionType, *, awaiting: bool) -> Mapping[str, object]:
    return {
        "<next>": tap.reached.next_index,
        "<period>": tap.schedule.period,
        "<firing>": tap.schedule.firing,
        "<enter>": tap.enter_async if awaiting else tap.enter,
        "<leave>": tap.leave_async if awaiting else tap.leave,
        "<inner>": inner,
    }


def _kind(code: CodeType) -> Kind:
    return next((kind for kind, flag in _FLAGS.items() if code.co_flags & flag), Kind.FUNCTION)


def _shape(code: CodeType) -> _Shape:
    names = iter(code.co_varnames)
    positional = [next(names) for _ in range(code.co_argcount)]
    keywords = [next(names) for _ in range(code.co_kwonlyargcount)]
    star = f"*{next(names)}" if code.co_flags & inspect.CO_VARARGS else ""
    double = f"**{next(names)}" if code.co_flags & inspect.CO_VARKEYWORDS else ""
    parameters = list(positional)
    if code.co_posonlyargcount:
        parameters.insert(code.co_posonlyargcount, "/")
    parameters += [star or "*"] if star or keywords else []
    passed = [*positional, star, *(f"{name}={name}" for name in keywords), double]
    return _Shape(
        _kind(code),
        ", ".join(filter(None, [*parameters, *keywords, double])),
        ", ".join(filter(None, passed)),
        code.co_freevars,
    )


@lru_cache(maxsize=1024)
def _template(shape: _Shape) -> _Template:
    awaiting = shape.kind in (Kind.COROUTINE, Kind.ASYNC_GENERATOR)
    body = _BODIES[shape.kind].format(await_="await " if awaiting else "", arguments=shape.arguments)
    source = _SOURCE.format(
        cells="".join(f"{name} = " for name in shape.free) + "None",
        define="async def" if awaiting else "def",
        parameters=shape.parameters,
        free=", ".join(shape.free) or "None",  # in dead code: makes them free variables, nothing else
        body=body,
    )
    code = _nested_code(_nested_code(compile(source, "<trampoline>", "exec", dont_inherit=True)))
    places = ((place, name) for place, name in enumerate(code.co_consts) if name in _PLACES)
    return _Template(code.replace(co_linetable=_one_line(code)), tuple(places))


def _nested_code(code: CodeType) -> CodeType:
    return next(constant for constant in code.co_consts if isinstance(constant, CodeType))


def _one_line(code: CodeType) -> bytes:
    """Put every instruction on the first line, without columns: debuggers and coverage see that line only.

    Entries of CPython's location table: 0xE8 means "no columns", its low bits are the length minus one.
    """
    units = len(code.co_code) // 2
    return b"".join(bytes((0xE8 | (min(8, units - done) - 1), 0)) for done in range(0, units, 8))
