"""The architecture, enforced: who may import whom, how long things are, and what signatures say."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest_resilience

ROOT = Path(pytest_resilience.__file__).parent
PACKAGE = "pytest_resilience"

LAYERS = ("plugin", "api", "report", "soak", "store", ("chaos", "breakers", "memory"))
"""From the top; rooms of one layer do not know each other. Below all of them is the ground."""

GROUND = (
    "settings",
    "option_table",
    "services",
    "service_errors",
    "endpoints",
    "host_memory",
    "descriptors",
    "option_values",
    "rates",
    "clock",
    "units",
    "errors",
    "workers",
    "frames",
    "collector",
)
"""Single modules; each may import those to its right."""

PRIVATE_PYTEST = "plugin/pytest_private.py"
MOST_LINES = 420
MOST_FUNCTION_LINES = 40
LONG_FUNCTIONS: dict[str, int] = {}
"""Known to be too long; the number may only fall."""


@dataclass(frozen=True)
class Module:
    """A module of the package: its path from the package's folder, and its syntax tree."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def unit(self) -> str:
        """The room or the module of the ground that it belongs to."""
        return self.path.split("/")[0].removesuffix(".py")


MODULES = [
    Module(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in sorted(ROOT.rglob("*.py"))
]
TOP = ("__init__", "_version")


def imported(module: Module) -> Iterator[str]:
    """Yield the dotted names of all modules that it imports, wherever in it, also for type checkers only."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}: imports are absolute"
            base = node.module or ""
            yield from ([f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE else [base])


def imported_rooms(module: Module) -> set[str]:
    """Return the rooms, and modules of the ground, that it imports."""
    return {name.split(".")[1] for name in imported(module) if name.startswith(f"{PACKAGE}.")}


def top_names(module: Module) -> set[str]:
    """Return the packages that it imports."""
    return {name.split(".")[0] for name in imported(module)}


def allowed(unit: str) -> set[str]:
    """Return the units that a unit may import: itself and what is below."""
    if unit in GROUND:
        return {"_version", *GROUND[GROUND.index(unit) :]}
    below: set[str] = {"_version", *GROUND}
    for layer in reversed(LAYERS):
        rooms = (layer,) if isinstance(layer, str) else layer
        if unit in rooms:
            return below | {unit}
        below |= set(rooms)
    raise AssertionError(f"{unit} is in no layer: give it its place in this test and in the design")


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield all functions of a module, nested ones and methods too."""
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    assert docstring.end_lineno is not None
    return lines - (docstring.end_lineno - docstring.lineno + 1)


def test_imports_point_downwards() -> None:
    """plugin > api > report > soak > store > the three rooms > the ground."""
    wrong = {
        module.path: upwards
        for module in MODULES
        if module.unit not in TOP and (upwards := imported_rooms(module) - allowed(module.unit))
    }
    assert wrong == {}


def test_the_layers_are_those_of_the_package() -> None:
    """Every folder and module has its place, and the ground is there."""
    units = {module.unit for module in MODULES} - set(TOP)
    assert set(GROUND) <= units
    assert all(unit in allowed(unit) for unit in units)


def test_the_three_rooms_do_not_know_each_other() -> None:
    """chaos, breakers and memory can be read, tested and replaced one by one."""
    rooms = set(LAYERS[-1])
    for module in MODULES:
        if module.unit in rooms:
            assert not imported_rooms(module) & rooms - {module.unit}, module.path


def test_only_the_plugin_imports_pytest() -> None:
    """Everything else works without it; and its private modules are imported in one file."""
    for module in MODULES:
        tops = top_names(module)
        assert module.unit == "plugin" or not {"pytest", "_pytest", "pluggy", "xdist"} & tops, module.path
        assert module.path == PRIVATE_PYTEST or "_pytest" not in tops, module.path


def test_private_names_of_pytest_stay_in_one_file() -> None:
    """When pytest changes, one module has to follow."""
    touched = [
        f"{module.path}:{node.lineno}: {ast.unparse(node)}"
        for module in MODULES
        if module.unit == "plugin" and module.path != PRIVATE_PYTEST
        for node in ast.walk(module.tree)
        if isinstance(node, ast.expr) and touches_private(node)
    ]
    assert touched == []


def touches_private(node: ast.expr) -> bool:
    """Tell whether an expression reads a private attribute of something that is not its own."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
        name = node.args[1]
        return isinstance(name, ast.Constant) and is_private(str(name.value))
    if not isinstance(node, ast.Attribute) or not is_private(node.attr):
        return False
    return not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_heavy_libraries_are_imported_in_their_own_room() -> None:
    """psutil, pybreaker and sqlite3 cost start-up time: nobody else may bring them in."""
    homes = {"psutil": ("memory", "host_memory", "chaos"), "pybreaker": ("breakers",), "sqlite3": ("store",)}
    for module in MODULES:
        for library in top_names(module) & set(homes):
            assert module.unit in homes[library], f"{module.path} imports {library}"


def test_modules_are_short_and_say_what_they_are() -> None:
    """One concept each, named by a docstring."""
    for module in MODULES:
        assert len(module.text.splitlines()) <= MOST_LINES, module.path
        assert ast.get_docstring(module.tree) or module.unit == "_version", module.path


def test_functions_are_short() -> None:
    """A function fits on a screen; docstrings do not count."""
    long = {
        f"{module.path}:{function.name}": lines
        for module in MODULES
        for function in functions(module)
        if (lines := length(function)) > MOST_FUNCTION_LINES
    }
    too_long = {name: lines for name, lines in long.items() if lines > LONG_FUNCTIONS.get(name, 0)}
    assert too_long == {}
    assert set(LONG_FUNCTIONS) <= set(long), "what was shortened no longer needs its exception"


def test_signatures_say_what_they_carry() -> None:
    """No dict[str, Any] goes in or out of a public function."""
    vague = [
        f"{module.path}:{function.lineno}: {function.name}"
        for module in MODULES
        for function in functions(module)
        if not function.name.startswith("_") and "dict[str, Any]" in signature(function)
    ]
    assert vague == []


def signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return a function's parameters and what it returns, as text."""
    returns = ast.unparse(function.returns) if function.returns else ""
    return f"({ast.unparse(function.args)}) -> {returns}"
