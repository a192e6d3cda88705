"""Names for what refers to what: roots that have a name of their own, and the steps below them."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import (
    AsyncGeneratorType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any

LONGEST_KEY = 40
SHARED = (ModuleType, type, FunctionType)
"""What belongs to none of those who refer to it."""

FIXTURE = ("_pytest.fixtures", "FixtureDef")
"""By name, as this room knows no pytest: what outlives a test there is a fixture's."""

SETUP_STATE = ("_pytest.runner", "SetupState")
MACHINERY = "what pytest needs to end it"
"""Of a fixture, or of all that is set up: it grows for a while, and is dropped."""


@dataclass(frozen=True, slots=True)
class Root:
    """What has a name of its own; the lowest `rank` says most. What `exec` made is of no module."""

    name: str
    title: str
    rank: int
    of_no_module: bool = False

    @property
    def is_dotted(self) -> bool:
        """Tell whether what follows makes an expression: of fixtures and frames it does not."""
        return self.rank < 3

    @property
    def is_local(self) -> bool:
        """Tell whether it was made by a function that ran, or from text: somebody must hold it too."""
        return self.of_no_module or "<locals>" in self.name


@dataclass(frozen=True, slots=True)
class Edge:
    """One step down: as code writes it (`._quotes`, `['a']`), and in words; `owner` is an instance."""

    text: str
    title: str
    owner: Any = None


NOTHING = Edge("", "")


def is_a(one: object, kinds: type | tuple[type, ...]) -> bool:
    """Tell what isinstance() tells, without asking the object: the __class__ of a proxy runs its code."""
    return issubclass(type(one), kinds)


def root_name(one: Any) -> Root | None:
    """Return the name of a module's or a class's namespace, of a function, a fixture or a frame."""
    if type(one) is dict and (module := _module_of(one)):
        return Root(module, f"module {module}", 0)
    if is_a(one, ModuleType):
        name = object.__getattribute__(one, "__dict__").get("__name__", "?")  # a lazy one is not to be loaded
        return Root(name, f"module {name}", 0)
    if is_a(one, type):
        return Root(class_name(one), f"class {class_name(one)}", 1)
    if is_a(one, FunctionType):
        name = _function_name(one)
        return Root(name, f"function {name}", 2, of_no_module=not one.__module__)
    if _is_cached_function(one) and hasattr(one, "__qualname__"):  # a cached partial has no name of its own
        name = f"{one.__module__}.{one.__qualname__}"
        return Root(name, f"cached function {name}", 2)
    if _is_fixture(one):
        return Root(f"fixture {one.argname}", f"fixture {one.argname}", 3)
    if is_a(one, (GeneratorType, CoroutineType, AsyncGeneratorType)):
        return Root(f"{one.__qualname__}()", f"suspended {one.__qualname__}()", 4)
    if is_a(one, FrameType):
        return Root(f"{one.f_code.co_qualname}()", f"frame of {one.f_code.co_qualname}()", 4)
    return None


def _module_of(namespace: dict[Any, Any]) -> str:
    """Return the name of the module whose namespace this is, or an empty string."""
    name = dict.get(namespace, "__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if not isinstance(name, str) or module is None:
        return ""
    return name if instance_namespace(module) is namespace else ""


def _function_name(one: FunctionType) -> str:
    """Return the dotted name; of a function made with exec, as by a template, where its text is from."""
    if not one.__module__:
        return f"{one.__qualname__} ({one.__code__.co_filename})"
    return f"{one.__module__}.{one.__qualname__}"


def _is_cached_function(one: Any) -> bool:
    return type(one).__name__ == "_lru_cache_wrapper" and type(one).__module__ == "functools"


def _is_fixture(one: Any) -> bool:
    return _is_named(one, FIXTURE)


def _is_named(one: Any, name: tuple[str, str]) -> bool:
    return any((kind.__module__, kind.__name__) == name for kind in type(one).__mro__)


def class_name(kind: type) -> str:
    """Return the dotted name of a class, without the module if it is a builtin."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def edge_between(chain: Sequence[Any], place: int) -> Edge:
    """Return the step from one object of a chain down to the next."""
    parent, child = chain[place], chain[place + 1]
    above = chain[place - 1] if place else None
    if _is_named_above(parent, above):
        return NOTHING
    if _is_cached_function(parent):
        return Edge("", "its cache")
    if is_a(parent, dict):
        return _from_dict(parent, child, is_namespace=place == 0 and bool(_module_of(parent)))
    if is_a(parent, (list, tuple)):
        return Edge("[…]", f"an element of a {type(parent).__name__}")
    if is_a(parent, FunctionType):
        return _from_function(parent, child, chain[place + 2] if place + 2 < len(chain) else None)
    if is_a(parent, (GeneratorType, CoroutineType, AsyncGeneratorType, FrameType)):
        return _from_frame(parent, child)
    if is_a(parent, MethodType):
        return Edge("", "a bound method")
    if _is_named(parent, SETUP_STATE):
        return Edge("", MACHINERY)
    if _is_fixture(parent):
        return Edge("", "its value" if child is parent.cached_result else MACHINERY)
    return _from_instance(chain, place)


def _is_named_above(parent: Any, above: Any) -> bool:
    """Tell whether the step was named with the object above: a namespace, or the tuple of a function's."""
    if is_a(above, (type, FunctionType)) or _is_cached_function(above) or _is_fixture(above):
        return type(parent) in (dict, tuple, CellType)
    if is_a(parent, CellType):
        return True
    return type(parent) is dict and above is not None and instance_namespace(above) is parent


def _from_dict(parent: dict[Any, Any], child: Any, *, is_namespace: bool) -> Edge:
    key = _key_of(parent, child)
    if key is None:
        return Edge("[…]", "a key of a dict")
    if is_namespace and isinstance(key, str):
        return Edge(f".{key}", key)
    written = repr(key) if type(key) in (str, int, bytes) else f"<{class_name(type(key))}>"
    return Edge(f"[{_shortened(written)}]", f"[{_shortened(written)}] of a dict")


def _key_of(parent: dict[Any, Any], child: Any) -> Any:
    """Return the key of a value; None if it is none, or another thread changes the dict just now."""
    with suppress(RuntimeError):
        for key, value in dict.items(parent):
            if value is child:
                return key
    return None


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_KEY else f"{text[: LONGEST_KEY - 1]}…"


def _from_function(parent: FunctionType, child: Any, below: Any) -> Edge:
    """Name the variable of a closure, a default value or an attribute."""
    cells = parent.__closure__ or ()
    for name, cell in zip(parent.__code__.co_freevars, cells, strict=False):
        if cell is child or (child is cells and cell is below):
            return Edge(f".<closure>.{name}", f"variable {name} of its closure")
    if child is parent.__defaults__ or child is parent.__kwdefaults__:
        return Edge(".<default>", "a default value")
    return Edge("", "an attribute")


def _from_frame(parent: Any, child: Any) -> Edge:
    frame = parent
    for name in ("gi_frame", "cr_frame", "ag_frame"):
        frame = getattr(parent, name, None) or frame
    variables = frame.f_locals if is_a(frame, FrameType) else {}
    name = next((name for name, value in list(variables.items()) if value is child), "")
    return Edge(f".<local>.{name}", f"variable {name}") if name else Edge("", "a variable")


def _from_instance(chain: Sequence[Any], place: int) -> Edge:
    """Name the attribute of an instance (or a class), whether the chain goes through its __dict__ or not."""
    owner, child = chain[place], chain[place + 1]
    is_namespace = is_a(owner, type) or instance_namespace(owner) is child
    if is_a(child, dict) and is_namespace and place + 2 < len(chain):
        child = chain[place + 2]
    for name, value in _attributes(owner):
        if value is child:
            return Edge(f".{name}", f"{name} of {_kind(owner)}", owner)
    return Edge("", f"inside of {_kind(owner)}", owner)


def _kind(owner: Any) -> str:
    return f"class {class_name(owner)}" if is_a(owner, type) else f"a {class_name(type(owner))}"


def instance_namespace(one: Any) -> Any:
    """Return the __dict__ of an instance without running any code of its class; None if it has none."""
    if is_a(one, type):
        return None
    try:
        return object.__getattribute__(one, "__dict__")
    except AttributeError:
        return None


def _attributes(owner: Any) -> list[tuple[str, Any]]:
    if is_a(owner, type):
        return list(owner.__dict__.items())
    namespace = instance_namespace(owner)
    found = list(namespace.items()) if is_a(namespace, dict) else []
    for kind in type(owner).__mro__:
        for name, member in list(kind.__dict__.items()):
            if type(member).__name__ == "member_descriptor":
                found.extend((name, value) for value in _member(member, owner))
    return found


def _member(member: Any, owner: Any) -> list[Any]:
    """Return the value of a slot, if it is set."""
    try:
        return [member.__get__(owner)]
    except AttributeError:
        return []
