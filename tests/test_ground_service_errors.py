"""The errors that faults raise are the real ones."""

import errno
import os
import socket
import traceback

import pytest

from pytest_resilience.errors import ServiceError
from pytest_resilience.service_errors import MESSAGE, ErrorSpec, build_error

REAL = {
    BrokenPipeError: errno.EPIPE,
    ConnectionAbortedError: errno.ECONNABORTED,
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    TimeoutError: errno.ETIMEDOUT,
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
}


class ClientError(Exception):
    """A client library's error with a code of its own."""

    def __init__(self, text: str, *, code: int = 503) -> None:
        super().__init__(text)
        self.code = code


@pytest.mark.parametrize(("kind", "number"), REAL.items(), ids=lambda value: str(value))
def test_an_error_of_the_system_has_its_errno(kind: type[OSError], number: int) -> None:
    """Code that looks at errno, as many retry loops do, sees the real one."""
    error = build_error(kind)
    assert type(error) is kind
    assert isinstance(error, OSError)
    assert (error.errno, error.strerror) == (number, os.strerror(number))
    assert type(OSError(number, "")) is kind, "the errno is the one that Python maps to this type"


def test_a_name_that_does_not_resolve() -> None:
    """gaierror has numbers of its own, which are no errno."""
    error = build_error(socket.gaierror)
    assert isinstance(error, socket.gaierror)
    assert error.errno == socket.EAI_NONAME


def test_any_other_type_gets_a_message_that_says_where_it_comes_from() -> None:
    """Nobody takes an injected error in a log for a real one."""
    error = build_error(ClientError)
    assert isinstance(error, ClientError)
    assert (str(error), error.code) == (MESSAGE, 503)


def test_an_instance_is_copied_each_time_and_stays_as_it_is() -> None:
    """Raising it a thousand times in a soak must not pile tracebacks on the user's object."""
    given = ClientError("rate limit", code=429)
    built = [build_error(given) for _ in range(2)]
    for error in built:
        with pytest.raises(ClientError) as caught:
            raise error
        assert (str(caught.value), caught.value.code) == ("rate limit", 429)
    assert built[0] is not built[1]
    assert given not in built
    assert given.__traceback__ is None
    assert given.__context__ is None


def test_a_copy_does_not_carry_the_traceback_of_a_raised_instance() -> None:
    """An instance that was caught somewhere is as good as a fresh one."""
    try:
        raise ClientError("seen before")
    except ClientError as error:
        seen = error
    assert traceback.extract_tb(seen.__traceback__)
    assert build_error(seen).__traceback__ is None


def test_a_factory_is_called_each_time() -> None:
    """A factory can make what a single message cannot."""
    codes = iter((500, 502))
    errors = [build_error(lambda: ClientError("down", code=next(codes))) for _ in range(2)]
    assert [error.code for error in errors if isinstance(error, ClientError)] == [500, 502]


@pytest.mark.parametrize(
    "spec", [UnicodeDecodeError, "ConnectionError", lambda: 1 / 0, lambda wanted: wanted]
)
def test_what_cannot_be_built_is_rejected_with_the_fix(spec: ErrorSpec) -> None:
    """The reason is in the message and stays the cause."""
    with pytest.raises(ServiceError) as wrong:
        build_error(spec)
    said = str(wrong.value)
    constraint = "a type that can be built from one message, an instance or a factory"
    assert said.startswith(f"A service's error must be {constraint}, not {spec!r}. Building it failed (")
    assert said.endswith("): give an instance or a factory instead.")
    assert str(wrong.value.__cause__) in said


@pytest.mark.parametrize("spec", [str, dict, lambda: "down"])
def test_what_builds_no_exception_is_rejected(spec: ErrorSpec) -> None:
    """A factory that forgets its exception, or a type that is none."""
    with pytest.raises(ServiceError, match=r"^A service's error must be "):
        build_error(spec)
