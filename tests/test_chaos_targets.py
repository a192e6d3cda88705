"""A target names a call, or is refused in one line."""

import datetime as dt
import socket
import sqlite3
import sys
import time
from pathlib import Path
from types import FunctionType

import chaos_subjects as subjects
import pytest

from pytest_resilience.chaos.targets import resolve
from pytest_resilience.chaos.trampoline import Kind
from pytest_resilience.errors import TargetError
from pytest_resilience.services import Target

CLIENT = vars(subjects.Client)


@pytest.mark.parametrize(
    ("target", "function", "kind"),
    [
        ("chaos_subjects:fetch", subjects.fetch, Kind.FUNCTION),
        ("chaos_subjects.fetch", subjects.fetch, Kind.FUNCTION),
        ("chaos_subjects.Client.fetch", CLIENT["fetch"], Kind.FUNCTION),
        ("chaos_subjects:Client.fetch_async", CLIENT["fetch_async"], Kind.COROUTINE),
        ("chaos_subjects:Client.stream", CLIENT["stream"], Kind.GENERATOR),
        ("chaos_subjects:Client.stream_async", CLIENT["stream_async"], Kind.ASYNC_GENERATOR),
        ("chaos_subjects:Client.create", CLIENT["create"].__func__, Kind.FUNCTION),
        ("chaos_subjects:Client.parse", CLIENT["parse"].__func__, Kind.FUNCTION),
        ("chaos_subjects:Client.odds", CLIENT["odds"].fget, Kind.FUNCTION),
        ("chaos_subjects:Client.limit", CLIENT["limit"].func, Kind.FUNCTION),
        ("chaos_subjects:bound_fetch", CLIENT["fetch"], Kind.FUNCTION),
        ("chaos_subjects:shared_client.fetch", CLIENT["fetch"], Kind.FUNCTION),
        (subjects.fetch, subjects.fetch, Kind.FUNCTION),
        (subjects.bound_fetch, CLIENT["fetch"], Kind.FUNCTION),
        (subjects.Client.create, CLIENT["create"].__func__, Kind.FUNCTION),
    ],
)
def test_each_kind_of_call_resolves(target: Target, function: FunctionType, kind: Kind) -> None:
    """Functions, methods, properties and aliases lead to the function that runs."""
    site = resolve(target)
    assert site.function is function
    assert site.kind is kind


@pytest.mark.parametrize("name", ["fetch_with_retry", "fetch_cached"])
def test_decorated_calls_resolve_to_the_innermost(name: str) -> None:
    """The fault stands inside the user's own retry or cache."""
    outer = getattr(subjects, name)
    assert resolve(f"chaos_subjects:{name}").function is outer.__wrapped__


@pytest.mark.parametrize("target", ["time:sleep", "time.sleep", "chaos_subjects:imported_sleep", time.sleep])
def test_a_native_is_one_place_under_all_its_names(target: Target) -> None:
    """However a compiled function is named, it is reached where it lives."""
    assert resolve(target).slot is resolve("time:sleep").slot


def test_resolving_patches_nothing() -> None:
    """Looking a target up leaves it as it was."""
    code, sleep, recv = subjects.fetch.__code__, time.sleep, vars(socket.socket).get("recv")
    for target in ("chaos_subjects:fetch", "time:sleep", "socket:socket.recv"):
        resolve(target)
    assert (subjects.fetch.__code__, time.sleep, vars(socket.socket).get("recv")) == (code, sleep, recv)


HOW = 'Write "package.module:Class.method", or give the callable itself.'

WRONG = {
    "chaos_subjects:Client.fetsh": "chaos_subjects.Client has no 'fetsh'. Did you mean 'fetch'?",
    "chaos_subjects:Klient.fetch": "chaos_subjects has no 'Klient'. Did you mean 'Client'?",
    "json.decodr:JSONDecoder.decode": "there is no module 'json.decodr'. Did you mean 'decoder'?",
    "no_such_module.fetch": f"there is no module 'no_such_module'. {HOW}",
}

REFUSED = {
    "chaos_subjects:Client": "is a class. Name a method of it, such as Client.fetch.",
    "chaos_subjects:not_callable": "must be a callable, not 42. Name a function or a method.",
    "datetime:datetime.now": "belongs to the immutable type 'datetime'. Use time-machine to change the time.",
    "builtins:str.upper": "belongs to the immutable type 'str'. Name the Python function that calls it.",
    "datetime:datetime": "is a class. Name a method of it, such as datetime.__init__.",
}

MESSAGES = {
    **{target: f"Target {target!r}: {message}" for target, message in WRONG.items()},
    **{target: f"Target {target!r} {message}" for target, message in REFUSED.items()},
    "fetch": f"A call target must be a dotted path to a callable, not 'fetch'. {HOW}",
    "chaos subjects:fetch": f"A call target must be a dotted path, not 'chaos subjects:fetch'. {HOW}",
}


@pytest.mark.parametrize(("target", "message"), MESSAGES.items())
def test_a_wrong_target_is_named_with_the_fix(target: str, message: str) -> None:
    """The error names the value, what is wrong, and what to write."""
    with pytest.raises(TargetError) as wrong:
        resolve(target)
    assert str(wrong.value) == message


def test_a_callable_object_names_its_method() -> None:
    """An object with __call__ is refused with the name of the method to give."""

    class Fetcher:
        def __call__(self) -> int:
            return 1

    with pytest.raises(
        TargetError, match=r"an object of class 'Fetcher'. Name the method that it runs, such as Fetcher"
    ):
        resolve(Fetcher())


def test_a_compiled_method_is_named_by_the_module_of_its_type() -> None:
    """As it would be written, though the method itself does not know its module."""
    with pytest.raises(TargetError) as wrong:
        resolve(sqlite3.Connection.execute)
    assert str(wrong.value).startswith("Target 'sqlite3:Connection.execute' belongs to the immutable type")


def test_an_immutable_method_given_as_an_object_is_refused() -> None:
    """The callable itself is checked like its path."""
    with pytest.raises(TargetError, match="is a compiled method of one object"):
        resolve(dt.datetime.now)


def test_a_module_that_fails_to_import_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of a failing import stands in the error."""
    (tmp_path / "broken_odds.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        TargetError, match=r"importing broken_odds failed: No module named 'no_such_library'\."
    ):
        resolve("broken_odds:fetch")


def test_a_path_with_two_meanings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a name is both a module and an attribute, the user chooses with a colon."""
    package = tmp_path / "twofold"
    package.mkdir()
    (package / "odds.py").write_text("def fetch(): pass\n")
    (package / "__init__.py").write_text(
        "import twofold.odds\nclass Odds:\n def fetch(self): pass\nodds = Odds\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TargetError) as wrong:
        resolve("twofold.odds.fetch")
    assert str(wrong.value) == (
        "Target 'twofold.odds.fetch' has two meanings. Write twofold.odds:fetch or twofold:odds.fetch."
    )
    for name in [name for name in sys.modules if name.startswith("twofold")]:
        del sys.modules[name]
