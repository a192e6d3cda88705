"""Services: what is declared wrongly is said at once, with the fix."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from json import JSONDecoder
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.endpoints import Endpoint, EndpointSpec
from pytest_resilience.errors import ServiceError
from pytest_resilience.services import ProcessSpec, Service, check_hosts, checked_services, index_services


def message(**fields: Any) -> str:
    """Return what is said about a wrong declaration."""
    with pytest.raises(ServiceError) as wrong:
        Service(**fields)
    assert "\n" not in str(wrong.value)
    return str(wrong.value)


def test_a_declaration_is_frozen_data() -> None:
    """Lists become tuples, so that nobody changes a service behind the back of the run."""
    calls = ["shop.odds:fetch"]
    service = Service("odds", calls=calls, errors=[ConnectionError], needs=["cache"])
    calls.append("shop.odds:other")
    assert service == Service("odds", ("shop.odds:fetch",), (ConnectionError,), needs=("cache",))
    assert service.timeout is None
    assert service.timeout_error is TimeoutError


@pytest.mark.parametrize("name", ["", "   ", None, 5])
def test_a_service_needs_a_name(name: object) -> None:
    """The message shows what was given instead."""
    assert message(name=name) == f"Service name must be a non-empty string, not {name!r}."


@pytest.mark.parametrize("name", ["host", "topology"])
def test_targets_that_are_no_service_keep_their_names(name: str) -> None:
    """Else `target="host"` would mean two things."""
    assert message(name=name) == (
        f"Service name must be a name of your own (host and topology are targets already), not {name!r}."
    )
    assert Service(f"{name}_service").name == f"{name}_service"


@pytest.mark.parametrize("field", ["calls", "errors", "needs"])
@pytest.mark.parametrize("value", ["shop.odds:fetch", None, 3])
def test_a_list_is_asked_for_where_one_belongs(field: str, value: object) -> None:
    """The fix shows the value in a list."""
    assert message(name="odds", **{field: value}) == (
        f"Service('odds').{field} must be a list, not {value!r}. Write {field}=[{value!r}]."
    )


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        ("errors", ConnectionError, "errors=[ConnectionError]"),
        ("calls", JSONDecoder.decode, "calls=[JSONDecoder.decode]"),
        ("calls", len, "calls=[len]"),
    ],
)
def test_the_fix_for_a_lone_type_or_function_is_python(field: str, value: object, written: str) -> None:
    """It is written by its name."""
    assert message(name="odds", **{field: value}).endswith(f" Write {written}.")


@pytest.mark.parametrize("timeout", ["2", True, None.__class__, [2]])
def test_a_timeout_is_a_number(timeout: object) -> None:
    """Text and booleans are no seconds."""
    assert message(name="odds", timeout=timeout) == (
        f"Service('odds').timeout must be a number of seconds, not {timeout!r}."
    )


@pytest.mark.parametrize("timeout", [0, -1.5, float("nan"), float("inf")])
def test_a_timeout_is_finite_and_above_zero(timeout: float) -> None:
    """A call that gives up at once, or never, has no timeout."""
    assert message(name="odds", timeout=timeout) == (
        f"Service('odds').timeout must be finite and above 0, not {timeout!r}."
    )


def test_a_need_is_a_name() -> None:
    """A Service in place of its name is a mistake that is easily made."""
    cache = Service("cache")
    must = "Each of Service('odds').needs must be a name"
    assert message(name="odds", needs=[cache]) == f"{must}, not {cache!r}."


@pytest.mark.parametrize("field", ["errors", "timeout_error"])
def test_an_error_that_cannot_be_built_is_found_at_once(field: str) -> None:
    """Not in the middle of a soak."""
    value: object = [UnicodeDecodeError] if field == "errors" else UnicodeDecodeError
    said = message(name="odds", **{field: value})
    assert said.startswith("A service's error must be a type that can be built from one message, ")
    assert said.endswith("give an instance or a factory instead.")


@pytest.mark.parametrize(
    ("endpoint", "listens_at"),
    [
        (None, None),
        ("127.0.0.1:5432", Endpoint("127.0.0.1", 5432)),
        (("::1", 5432), Endpoint("::1", 5432)),
        ("unix:/run/db.sock", Endpoint(path="/run/db.sock")),
        (Endpoint("db", 5432), Endpoint("db", 5432)),
    ],
)
def test_a_service_listens_at_its_endpoint(
    endpoint: EndpointSpec | None, listens_at: Endpoint | None
) -> None:
    """In any spelling; without one, nowhere."""
    assert Service("db", endpoint=endpoint).listens_at == listens_at


@pytest.mark.parametrize("endpoint", ["5432", "", "postgresql://127.0.0.1:5432/shop", ("127.0.0.1", 0), 5432])
def test_a_wrong_endpoint_is_found_at_once(endpoint: object) -> None:
    """With the name of the service, and how to write it."""
    assert message(name="db", endpoint=endpoint) == (
        "Service('db').endpoint must be a host and a port from 1 to 65535, or a Unix socket, "
        f"not {endpoint!r}. "
        'Write "127.0.0.1:5432", ("127.0.0.1", 5432) or "unix:/path/to.sock".'
    )


@pytest.fixture(scope="module")
def server() -> Iterator["subprocess.Popen[bytes]"]:
    """Return a process that waits to be ended."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as running:
        yield running


GIVEN: dict[str, Callable[["subprocess.Popen[bytes]"], ProcessSpec]] = {
    "pid": lambda server: server.pid,
    "Popen": lambda server: server,
    "psutil": lambda server: psutil.Process(server.pid),
    "function of a pid": lambda server: lambda: server.pid,
    "function of a Popen": lambda server: lambda: server,
}


@pytest.mark.parametrize("given_as", GIVEN)
def test_a_process_is_known_by_its_pid(server: "subprocess.Popen[bytes]", given_as: str) -> None:
    """However it is given."""
    assert Service("db", process=GIVEN[given_as](server)).pid == server.pid


def test_without_a_process_there_is_no_pid() -> None:
    """And nothing is said about it."""
    assert Service("db").pid is None


def test_a_function_is_asked_each_time() -> None:
    """A server that was started anew has another pid; before it is started there is none to ask for."""
    pids = iter([os.getpid(), os.getppid()])
    service = Service("db", process=lambda: next(pids))
    assert (service.pid, service.pid) == (os.getpid(), os.getppid())


NO_PID = "a pid, a process with one, or a function that returns one of them"


@pytest.mark.parametrize("process", [0, -5, True, "redis-server", 12.0, object, ["redis-server"]])
def test_what_is_no_process_is_found_at_once(process: Any) -> None:
    """But for a function, whose answer is looked at when it is needed."""
    if callable(process):
        with pytest.raises(ServiceError) as wrong:
            _ = Service("db", process=process).pid
        assert str(wrong.value).startswith(f"Service('db').process must be {NO_PID}, not <object object")
    else:
        assert (
            message(name="db", process=process) == f"Service('db').process must be {NO_PID}, not {process!r}."
        )


@pytest.mark.parametrize("answer", [None, 0, "1234", False])
def test_a_function_that_gives_no_process_is_told_with_its_answer(answer: Any) -> None:
    """A fixture that has not started the server yet returns None."""
    service = Service("db", process=lambda: answer)
    with pytest.raises(ServiceError) as wrong:
        _ = service.pid
    assert str(wrong.value) == f"Service('db').process must be {NO_PID}, not {answer!r}."


def test_a_function_that_raises_is_told_with_what_it_raised() -> None:
    """It is the user's own, and may fail at any instant."""
    service = Service("db", process=lambda: dict[str, int]()["db"])
    with pytest.raises(ServiceError) as wrong:
        _ = service.pid
    assert str(wrong.value) == (
        "Service('db').process raised KeyError: 'db'. Let it return the process that runs now."
    )


def test_a_process_that_has_ended_is_found_at_once() -> None:
    """Nothing can be done to it."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert message(name="db", process=ended) == (
        f"Service('db').process must be one that runs, not {ended.pid}. "
        "Declare it once it is started, or give a function that returns the one that runs now."
    )


@pytest.mark.parametrize("endpoint", ["127.0.0.1:5432", "[::1]:5432", "localhost:5432", "unix:/run/db.sock"])
def test_faults_may_hit_this_machine(endpoint: str) -> None:
    """Without any permission."""
    check_hosts([Service("db", endpoint=endpoint), Service("cache")], [])


def test_faults_may_hit_another_machine_only_if_it_is_allowed() -> None:
    """The line to add is told."""
    service = Service("db", endpoint="db.staging:5432")
    with pytest.raises(ServiceError) as wrong:
        check_hosts([Service("cache", endpoint="localhost:6379"), service], ["cache.staging"])
    assert str(wrong.value) == (
        "Service('db').endpoint must be on this machine, or on an allowed host, not 'db.staging:5432'. "
        "If faults may hit it, add it to the ini file: resilience_allow_hosts = db.staging."
    )
    check_hosts([service], ["cache.staging", "db.staging"])


def test_an_ipv6_host_is_allowed_as_it_is_told() -> None:
    """The line of the message helps."""
    service = Service("db", endpoint="[2001:db8::1]:5432")
    with pytest.raises(ServiceError, match=r"resilience_allow_hosts = 2001:db8::1\.$"):
        check_hosts([service], [])
    check_hosts([service], ["2001:db8::1"])


@pytest.mark.parametrize("given_back", ["odds", None, {"odds": Service("odds")}, Service("odds")])
def test_the_fixture_gives_a_list(given_back: object) -> None:
    """One service alone, or nothing, is a slip."""
    with pytest.raises(ServiceError) as wrong:
        checked_services(given_back)
    assert str(wrong.value) == f"resilience_services must be a list of Service, not {given_back!r}."


def test_services_are_indexed_by_name_in_their_order() -> None:
    """The same declaration seen twice, by two modules, is one service."""
    odds, cache = Service("odds", needs=["cache"]), Service("cache")
    assert list(index_services([odds, cache, Service("cache")])) == ["odds", "cache"]


@pytest.mark.parametrize(
    ("services", "text"),
    [
        (["odds"], "Each of resilience_services must be a Service, not 'odds'."),
        (
            [Service("odds"), Service("odds", timeout=1)],
            "Service 'odds' is declared twice, differently. Give each one its own name.",
        ),
        (
            [Service("odds", needs=["cashe"]), Service("cache")],
            "Service 'odds' needs 'cashe', which is not declared. Did you mean 'cache'?",
        ),
    ],
)
def test_a_wrong_list_of_services(services: Sequence[Any], text: str) -> None:
    """Each mistake has its own sentence."""
    with pytest.raises(ServiceError) as wrong:
        index_services(services)
    assert str(wrong.value) == text


@given(
    st.dictionaries(
        st.text("abcde", min_size=1), st.lists(st.text("abcde", min_size=1), max_size=3), max_size=6
    )
)
def test_an_index_is_given_exactly_when_every_need_is_declared(needs: dict[str, list[str]]) -> None:
    """Cycles and self-needs are allowed: a topology may have them."""
    services = [Service(name, needs=wanted) for name, wanted in needs.items()]
    if all(need in needs for wanted in needs.values() for need in wanted):
        assert {name: list(one.needs) for name, one in index_services(services).items()} == needs
    else:
        with pytest.raises(ServiceError, match="which is not declared"):
            index_services(services)
