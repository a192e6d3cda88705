"""Evidence says where the first injected error was caught, and keeps nothing alive to know it."""

import asyncio
import contextlib
import gc
import linecache
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import chaos_subjects as subjects
import pytest
from chaos_arming import ALWAYS, armed

from pytest_resilience.chaos.evidence import Evidence
from pytest_resilience.chaos.faults import Hang, Raise, RaiseAfter
from pytest_resilience.chaos.observed import THE_TEST, Sight, is_on_its_way

FETCH = "chaos_subjects:Client.fetch"
FETCH_ASYNC = "chaos_subjects:Client.fetch_async"
REFUSED = Raise([ConnectionRefusedError])
HERE = Path(__file__)
HERE_TEXT = "tests/test_chaos_observed.py"
DEADLINE = 10.0


def place(marker: str, function: str) -> str:
    """Write the place of the line of this file that ends with a marker comment."""
    lines = HERE.read_text("utf-8").splitlines()
    numbers = [number for number, line in enumerate(lines, 1) if line.endswith(f"# {marker}")]
    assert len(numbers) == 1
    return f"{HERE_TEXT}:{numbers[0]} in {function}"


class Shop:
    """Code under test that catches errors in its own ways."""

    def quote(self) -> str:
        try:
            return self.fetch()  # quote
        except ConnectionError:
            return "no odds"

    def fetch(self) -> str:
        return subjects.bound_fetch("g")

    def quote_or_fail(self) -> str:
        try:
            return self.fetch()  # chained
        except ConnectionError as error:
            raise LookupError("no odds") from error

    def quote_ignoring(self) -> None:
        with contextlib.suppress(ConnectionError):
            self.fetch()  # suppressed

    def quote_reraising(self) -> str:
        try:
            return self.fetch()
        except ConnectionError:
            raise
        finally:
            self.fetched = False

    def quote_outer(self) -> str:
        try:
            return self.quote_reraising()  # outer
        except ConnectionError:
            return "no odds"

    async def fetch_async(self) -> str:
        return await subjects.shared_client.fetch_async("g")

    async def quote_async(self) -> str:
        try:
            return await self.fetch_async()  # async
        except ConnectionError:
            return "no odds"

    async def gathering(self) -> Any:
        return await asyncio.gather(self.fetch_task(), return_exceptions=True)

    async def fetch_task(self) -> str:
        return await self.fetch_async()  # task

    def quote_in_pool(self) -> str:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self.fetch)
            try:
                return future.result()  # pool
            except ConnectionError:
                return "no odds"


def observed(call: Callable[[], object], target: str = FETCH, fault: Any = REFUSED) -> str | None:
    with armed(target, fault, ALWAYS) as evidence:
        call()
    assert evidence.settle()
    return evidence.observed


def test_the_frame_that_caught_the_error_is_named() -> None:
    """With its file, its line and its function, as deep as the error came."""
    assert observed(Shop().quote) == place("quote", "Shop.quote")


def test_an_error_that_was_raised_again_is_observed_at_its_last_catcher() -> None:
    """Catching and raising again is not the end of it."""
    assert observed(Shop().quote_outer) == place("outer", "Shop.quote_outer")


def test_a_chained_error_is_observed_where_it_was_replaced() -> None:
    """`raise X from error`: the injected error ended there, whatever became of X."""

    def call() -> None:
        with pytest.raises(LookupError):
            Shop().quote_or_fail()

    assert observed(call) == place("chained", "Shop.quote_or_fail")


def test_a_with_block_that_swallows_the_error_is_named() -> None:
    """contextlib.suppress, and a context manager of the user's own: the one that caught it."""
    assert observed(Shop().quote_ignoring) == place("suppressed", "Shop.quote_ignoring")

    @contextlib.contextmanager
    def ignoring() -> Iterator[None]:
        with contextlib.suppress(ConnectionError):
            yield  # manager

    def call() -> None:
        with ignoring():
            Shop().fetch()

    assert observed(call) == place("manager", f"{ignoring.__wrapped__.__qualname__}")  # type: ignore[attr-defined]


def test_a_coroutine_that_caught_the_error_is_named() -> None:
    """Awaiting does not hide it."""
    assert observed(lambda: asyncio.run(Shop().quote_async()), FETCH_ASYNC) == place(
        "async", "Shop.quote_async"
    )


def test_an_error_that_an_event_loop_kept_is_observed_at_the_last_frame_that_it_left() -> None:
    """gather(return_exceptions=True) hands it over as a value: the task is named."""
    assert observed(lambda: asyncio.run(Shop().gathering()), FETCH_ASYNC) == place("task", "Shop.fetch_task")


def test_an_error_that_came_out_of_a_future_is_observed_where_it_was_asked_for() -> None:
    """It travels on from the thread where it was raised."""
    assert observed(Shop().quote_in_pool) == place("pool", "Shop.quote_in_pool")


@pytest.mark.parametrize("fault", [RaiseAfter([ConnectionResetError]), Hang(0.001, ConnectionAbortedError)])
def test_every_fault_that_raises_is_observed(fault: Any) -> None:
    """Lost acknowledgements and hangs too."""
    assert observed(Shop().quote, fault=fault) == place("quote", "Shop.quote")


def test_only_the_first_error_counts() -> None:
    """Later ones neither replace it nor are kept."""

    def call() -> None:
        Shop().quote()
        Shop().quote_ignoring()

    assert observed(call) == place("quote", "Shop.quote")


def test_without_an_error_there_is_nothing_to_settle() -> None:
    """A fault that did not raise."""
    with armed(FETCH) as evidence:
        Shop().fetch()
    assert evidence.settle()
    assert evidence.observed is None


def runner(name: str) -> Callable[[Callable[[], object]], None]:
    """Make a module that catches what a test lets out, as a test framework does."""
    module = types.ModuleType(name)
    source = "def run(call):\n    try:\n        call()\n    except ConnectionError:\n        pass\n"
    exec(compile(source, f"/site/{name}.py", "exec"), vars(module))
    run: Callable[[Callable[[], object]], None] = module.run
    return run


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_pytest.runner", THE_TEST),
        ("pluggy", THE_TEST),
        ("pluggyish", "/site/pluggyish.py:3 in run"),
        ("retries", "/site/retries.py:3 in run"),
    ],
)
def test_an_error_that_left_the_test_reached_the_test(name: str, expected: str) -> None:
    """Frames of the test framework stand for the test; a library that caught it is named."""
    assert observed(lambda: runner(name)(Shop().fetch)) == expected


def test_a_failing_test_of_a_real_pytest_is_observed(pytester: pytest.Pytester) -> None:
    """The error goes through the test function up to pytest, which catches it."""
    evidence: list[Evidence] = []

    def test_that_fails() -> None:
        with armed(FETCH, REFUSED, ALWAYS) as found:
            evidence.append(found)
            Shop().fetch()

    module = types.ModuleType("test_inner")
    vars(module)["test_that_fails"] = test_that_fails
    path = pytester.makepyfile(test_inner="from inner_cases import test_that_fails")
    sys.modules["inner_cases"] = module
    try:
        result = pytester.inline_run(path, "-p", "no:randomly", "-p", "no:asyncio")
    finally:
        del sys.modules["inner_cases"]
    result.assertoutcome(failed=1)
    assert evidence[0].settle()
    assert evidence[0].observed == THE_TEST


def test_the_packages_of_the_test_framework_are_a_parameter() -> None:
    """Another framework's runner can stand for the test too."""
    evidence = Evidence(sight=Sight(test_frames=("behave",)))
    run = runner("behave.runner")

    def fail() -> None:
        error = ConnectionError()
        evidence.note_raised(error)
        raise error

    run(fail)
    assert evidence.settle()
    assert evidence.observed == THE_TEST


def test_paths_are_written_from_the_root_or_the_import_path() -> None:
    """A library is written as it is imported, other files as they are."""
    stdlib = linecache.__file__

    def caught_at(path: str, root: str) -> str | None:
        space: dict[str, Any] = {}
        source = "def catch():\n try:\n  raise OSError\n except OSError as error:\n  return error\n"
        exec(compile(source, path, "exec"), space)
        return Sight(root=root).catcher(space["catch"]())

    assert caught_at("/shop/odds/api.py", "/shop") == "odds/api.py:3 in catch"
    assert caught_at(stdlib, "/shop") == "linecache.py:3 in catch"
    assert caught_at("/elsewhere/x.py", "/shop") == "/elsewhere/x.py:3 in catch"
    assert caught_at("<string>", "/shop") == "<string>:3 in catch"


def test_an_error_that_is_still_being_handled_is_not_read() -> None:
    """In except, finally and with blocks it may travel on; afterwards it is read."""
    answers: list[bool] = []

    def handle_and_raise(evidence: Evidence) -> None:
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(lambda: answers.append(evidence.settle()))
                Shop().fetch()
        except ConnectionError:
            answers.append(evidence.settle())
            with contextlib.suppress(KeyError):
                raise KeyError("another one, raised while the first is handled")
            raise
        finally:
            answers.append(evidence.settle())

    with armed(FETCH, REFUSED, ALWAYS) as evidence, pytest.raises(ConnectionError):
        handle_and_raise(evidence)  # at last
    assert answers == [False] * 3
    assert evidence.observed is None
    assert evidence.settle()
    this_test = test_an_error_that_is_still_being_handled_is_not_read
    assert evidence.observed == place("at last", this_test.__name__)


def test_an_error_that_another_thread_handles_is_not_read() -> None:
    """The main thread looks while a worker is still in its except block."""
    handling, may_go_on = threading.Event(), threading.Event()

    def work() -> None:
        try:
            Shop().fetch()
        except ConnectionError:
            handling.set()
            may_go_on.wait(DEADLINE)

    with armed(FETCH, REFUSED, ALWAYS) as evidence:
        worker = threading.Thread(target=work)
        worker.start()
        assert handling.wait(DEADLINE)
        assert not evidence.settle()
        may_go_on.set()
        worker.join(DEADLINE)
    assert evidence.settle()
    assert evidence.observed is not None
    assert evidence.observed.endswith(f"{work.__qualname__}")


def test_a_cycle_of_contexts_ends() -> None:
    """Errors that name each other as context, as some libraries make them, are walked once."""
    one, two = ValueError("one"), KeyError("two")
    one.__context__, two.__context__ = two, one
    try:
        raise one
    except ValueError:
        assert is_on_its_way(two)
        assert not is_on_its_way(OSError("a third one"))


class Held:
    """Something that a frame under test holds."""


def test_settling_lets_go_of_the_frames() -> None:
    """What the code under test held is freed, and nothing is kept before the first error."""
    references: list[weakref.ref[Held]] = []

    def call() -> None:
        held = Held()
        references.append(weakref.ref(held))
        with contextlib.suppress(ConnectionError):
            subjects.bound_fetch("g")

    with armed(FETCH, REFUSED, ALWAYS) as evidence:
        call()
        call()
        gc.collect()
        assert references[0]() is not None, "the first error is kept, or this test shows nothing"
        assert references[1]() is None
        assert evidence.settle()
        gc.collect()
        assert references[0]() is None
