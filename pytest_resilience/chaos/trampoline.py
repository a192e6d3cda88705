"""Trampolines: code objects that ask a tap and then call the function's own code.

A pure-Python function is reached by swapping its `__code__`: whoever holds the function (an import by name, a
bound method, a closure, a cache) gets the trampoline, and identity, signature, defaults and attributes stay.
What the trampoline needs stands among its constants, because a function's closure cannot grow.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import CodeType, FunctionType
from typing import NamedTuple

from pytest_resilience.chaos.kinds import AWAITED, kind_of_code
from pytest_resilience.chaos.kinds import Kind as Kind
from pytest_resilience.chaos.later import Deferral, hands_out_awaitable
from pytest_resilience.chaos.taps import Tap, When
from pytest_resilience.chaos.twists import Twist

_AWAITING = (*AWAITED, Kind.ASYNC_GENERATOR)

_CONCERNED = ("resilience__concerns = '<concerns>'", "resilience__concerns({arguments}) and ")

_TWISTED = """resilience__twist = '<twist>'
   if resilience__token.__class__ in resilience__twist:
    if resilience__token.skips:
     return resilience__token.answer()
    return resilience__token.finish(({await_}resilience__inner({arguments})))"""

_TWISTED_STREAM = """resilience__twist = '<twist>'
   if resilience__token.__class__ in resilience__twist:
    resilience__inner = resilience__token.{stream}(resilience__inner)"""

_AROUND = """
  resilience__next = '<next>'
  resilience__inner = '<inner>'
  {concerns}
  if {concerned}(resilience__index := resilience__next('<numbers>')) % '<period>' in '<firing>':
   resilience__enter = '<enter>'
   resilience__token = ({await_}resilience__enter(resilience__index))
   {twisted}
   resilience__result = ({await_}resilience__inner({arguments}))
   resilience__leave = '<leave>'
   ({await_}resilience__leave(resilience__token))
   return resilience__result
  return ({await_}resilience__inner({arguments}))
"""

_BEFORE = """
  resilience__next = '<next>'
  resilience__call = '<inner>'
  resilience__inner = resilience__call({arguments})
  {concerns}
  if {concerned}(resilience__index := resilience__next('<numbers>')) % '<period>' in '<firing>':
   resilience__enter = '<enter>'
   resilience__token = {await_}resilience__enter(resilience__index)
   {twisted}
"""

_DELEGATE = """
  return (yield from resilience__inner)
"""

_DELEGATE_ASYNC = """
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


class _Form(NamedTuple):
    """How the trampolines of one kind are written; `twisted` is the part that serves twists."""

    define: str
    await_: str
    body: str
    twisted: str


_FORMS = {
    Kind.FUNCTION: _Form("def", "", _AROUND, _TWISTED),
    Kind.COROUTINE: _Form("async def", "await ", _AROUND, _TWISTED),
    Kind.GENERATOR_COROUTINE: _Form("def", "yield from ", _AROUND, _TWISTED),
    Kind.GENERATOR: _Form("def", "", _BEFORE + _DELEGATE, _TWISTED_STREAM.format(stream="stream")),
    Kind.ASYNC_GENERATOR: _Form(
        "async def", "await ", _BEFORE + _DELEGATE_ASYNC, _TWISTED_STREAM.format(stream="stream_async")
    ),
}

_SOURCE = """
def closure():
 {cells}
 {define} trampoline({parameters}):
  if 0: {free}
{body}
"""

_PLACES = (
    "<concerns>",
    "<next>",
    "<numbers>",
    "<period>",
    "<firing>",
    "<enter>",
    "<twist>",
    "<leave>",
    "<inner>",
)

_MARK = ("pytest-resilience trampoline",)


class _Shape(NamedTuple):
    """All that decides a trampoline's bytecode."""

    kind: Kind
    choosy: bool
    twists: bool
    names: tuple[str, ...]
    positional: int
    positional_only: int
    keyword_only: int
    star: bool
    double_star: bool
    free: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Template:
    """A compiled trampoline, and where its constants wait for their values."""

    code: CodeType
    places: tuple[tuple[int, str], ...]


def kind_of(function: FunctionType) -> Kind:
    """Tell how `function` hands out its result."""
    kind = kind_of_code(function.__code__)
    return Kind.AWAITABLE if kind is Kind.FUNCTION and hands_out_awaitable(function) else kind


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
    concerns = getattr(tap, "concerns", None)
    shape = _shape(code, concerns is not None, getattr(tap, "twists", False))
    template = _template(shape)
    inner = FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)
    values = _values(tap, concerns, inner, awaiting=shape.kind in _AWAITING)
    constants = list(template.code.co_consts)
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


def _values(tap: Tap, concerns: When | None, inner: FunctionType, *, awaiting: bool) -> Mapping[str, object]:
    return {
        "<concerns>": concerns,
        "<next>": next,
        "<numbers>": tap.reached.numbers,
        "<period>": tap.schedule.period,
        "<firing>": tap.schedule.firing,
        "<enter>": tap.enter_async if awaiting else tap.enter,
        "<twist>": (Twist, Deferral),
        "<leave>": tap.leave_async if awaiting else tap.leave,
        "<inner>": inner,
    }


def _shape(code: CodeType, choosy: bool, twists: bool) -> _Shape:
    star = bool(code.co_flags & inspect.CO_VARARGS)
    double_star = bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return _Shape(
        kind_of_code(code),
        choosy,
        twists,
        code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + star + double_star],
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        star,
        double_star,
        code.co_freevars,
    )


def _signature(shape: _Shape) -> tuple[str, str]:
    """Write the parameters of a `def` and the arguments of the call that passes them all on."""
    names = iter(shape.names)
    positional = list(islice(names, shape.positional))
    keywords = list(islice(names, shape.keyword_only))
    star = f"*{next(names)}" if shape.star else ""
    double_star = f"**{next(names)}" if shape.double_star else ""
    parameters = list(positional)
    if shape.positional_only:
        parameters.insert(shape.positional_only, "/")
    if keywords and not star:
        parameters.append("*")
    passed = (*positional, star, *(f"{name}={name}" for name in keywords), double_star)
    return _listed(*parameters, star, *keywords, double_star), _listed(*passed)


def _listed(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


@lru_cache(maxsize=1024)
def _template(shape: _Shape) -> _Template:
    form = _FORMS[shape.kind]
    parameters, arguments = _signature(shape)
    concerns, concerned = _CONCERNED if shape.choosy else ("", "")
    twisted = form.twisted if shape.twists else ""
    source = _SOURCE.format(
        cells="".join(f"{name} = " for name in shape.free) + "None",
        define=form.define,
        parameters=parameters,
        free=_listed(*shape.free) or "None",  # in dead code: makes them free variables, nothing else
        body=form.body.format(
            await_=form.await_,
            arguments=arguments,
            concerns=concerns,
            concerned=concerned.format(arguments=arguments),
            twisted=twisted.format(await_=form.await_, arguments=arguments),
        ),
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
