"""What users import: from the top, when it is used, with a docstring."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_resilience

SOURCE = Path(pytest_resilience.__file__)
PUBLIC = [name for name in pytest_resilience.__all__ if not name.startswith("__")]


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names_for_type_checkers() -> set[str]:
    """Return the names that a type checker sees."""
    tree = ast.parse(SOURCE.read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.asname or alias.name for node in ast.walk(block) if isinstance(node, ast.ImportFrom)
            for alias in node.names}  # fmt: skip


def test_types_that_users_name_come_from_the_top() -> None:
    """The README's imports."""
    from pytest_resilience import Chaos, Injection, ResilienceError, Service

    assert issubclass(ResilienceError, Exception)
    assert {Chaos.__name__, Injection.__name__, Service.__name__} <= set(pytest_resilience.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_one_home_and_a_docstring(name: str) -> None:
    """The same object is there and at the top, and it says what it is."""
    value = getattr(pytest_resilience, name)
    home = value.__name__ if inspect.ismodule(value) else value.__module__
    assert inspect.ismodule(value) or getattr(importlib.import_module(home), name) is value
    assert home.startswith("pytest_resilience.")
    assert inspect.getdoc(value)
    assert value.__doc__, "its own, not an inherited one"


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_public_class_offers_has_docstrings(name: str) -> None:
    """Each public method and property that is not plain by its name and type says what it does."""
    value = getattr(pytest_resilience, name)
    methods = {key: member for key, member in vars(value).items() if inspect.isfunction(member)}
    bare = [key for key, method in methods.items() if not key.startswith("_") and not method.__doc__]
    assert bare == []


def test_all_is_complete_and_sorted() -> None:
    """__all__, dir() and what type checkers see are the same names."""
    assert list(pytest_resilience.__all__) == sorted(pytest_resilience.__all__)
    assert dir(pytest_resilience) == sorted(pytest_resilience.__all__)
    assert names_for_type_checkers() == set(PUBLIC)


def test_a_star_import_gives_all_of_them() -> None:
    """Nothing in __all__ fails to import."""
    space: dict[str, object] = {}
    exec("from pytest_resilience import *", space)
    assert set(pytest_resilience.__all__) <= set(space)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """hasattr works, and a wrong import is an ImportError."""
    with pytest.raises(AttributeError, match=r"^module 'pytest_resilience' has no attribute 'Choas'$"):
        _ = pytest_resilience.Choas
    assert not hasattr(pytest_resilience, "_private")
    with pytest.raises(ImportError, match="Choas"):
        exec("from pytest_resilience import Choas")


def test_importing_the_package_alone_imports_nothing_else() -> None:
    """Neither a room nor a dependency is loaded before a name is used."""
    loaded = run(
        "import sys; before = set(sys.modules); import pytest_resilience;"
        "print(*sorted(set(sys.modules) - before))"
    )
    ours = [name for name in loaded.split() if name.startswith("pytest_resilience")]
    assert ours == ["pytest_resilience", "pytest_resilience._version"]
    assert not {"pytest", "psutil", "pybreaker", "sqlite3"} & set(loaded.split())


def test_service_and_chaos_need_no_pytest_and_no_heavy_library() -> None:
    """A declaration in a conftest costs no more than it must."""
    loaded = run("from pytest_resilience import Chaos, Service; import sys; print(*sys.modules)").split()
    assert not {"pytest", "_pytest", "psutil", "pybreaker", "sqlite3", "asyncio"} & set(loaded)
