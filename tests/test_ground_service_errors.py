"""The errors that faults raise are the real ones."""

import asyncio
import errno
import http.client
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import traceback
import urllib.error
from collections.abc import Callable

import pybreaker
import pytest
import redis

from pytest_resilience.errors import ServiceError
from pytest_resilience.service_errors import MESSAGE, ErrorSpec, build_error

REAL = {
    BrokenPipeError: errno.EPIPE,
    ConnectionAbortedError: errno.ECONNABORTED,
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    TimeoutError: errno.ETIMEDOUT,
    InterruptedError: errno.EINTR,
    FileExistsError: errno.EEXIST,
    FileNotFoundError: errno.ENOENT,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
    ProcessLookupError: errno.ESRCH,
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


class Bare(http.server.BaseHTTPRequestHandler):
    """A server that hangs up, or breaks off its answer."""

    def do_GET(self) -> None:
        if self.path == "/short":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")

    def log_message(self, *args: object) -> None:
        pass


def from_http(path: str) -> BaseException:
    with http.server.HTTPServer(("127.0.0.1", 0), Bare) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        connection = http.client.HTTPConnection(*server.server_address[:2])  # type: ignore[arg-type]
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except Exception as error:
            return error
        finally:
            connection.close()
            thread.join()
    raise AssertionError("the server answered")


def from_tls(answer: bytes) -> BaseException:
    """Fail to shake hands with a peer that says `answer` and hangs up."""
    ours, theirs = socket.socketpair()

    def peer() -> None:
        theirs.recv(4096)
        theirs.sendall(answer)
        theirs.close()

    thread = threading.Thread(target=peer)
    thread.start()
    with ours:
        try:
            ssl.create_default_context().wrap_socket(ours, server_hostname="odds.test")
        except ssl.SSLError as error:
            return error
        finally:
            thread.join()
    raise AssertionError("shook hands")


async def from_a_stream() -> BaseException:
    reader = asyncio.StreamReader()
    reader.feed_eof()
    try:
        await reader.readexactly(4)
    except asyncio.IncompleteReadError as error:
        return error
    raise AssertionError("read something")


@pytest.mark.parametrize(
    ("get", "same"),
    [
        (lambda: from_http("/"), ["args", "errno"]),
        (lambda: from_tls(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ["errno", "reason", "library"]),
        (lambda: from_tls(b""), ["errno", "reason", "library"]),
        (lambda: asyncio.run(from_a_stream()), ["partial"]),
    ],
    ids=["RemoteDisconnected", "SSLError", "SSLEOFError", "IncompleteReadError"],
)
def test_the_type_alone_gives_what_the_real_thing_gives(
    get: Callable[[], BaseException], same: list[str]
) -> None:
    """Provoke the real error and compare what clients look at."""
    real = get()
    built = build_error(type(real))
    assert type(built) is type(real)
    assert [getattr(built, name) for name in same] == [getattr(real, name) for name in same]


@pytest.mark.parametrize(
    "kind",
    [
        ssl.SSLCertVerificationError,
        ssl.SSLZeroReturnError,
        http.client.IncompleteRead,
        asyncio.TimeoutError,
        socket.herror,
        urllib.error.URLError,
        pybreaker.CircuitBreakerError,
        redis.exceptions.ConnectionError,
        redis.exceptions.TimeoutError,
    ],
)
def test_types_of_clients_build(kind: type[BaseException]) -> None:
    """They need no factory, and can be written into a log."""
    error = build_error(kind)
    assert type(error) is kind
    assert str(error)


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


class StatusError(Exception):
    """Its args are not what it was made from."""

    def __init__(self, code: int) -> None:
        super().__init__(f"status {code}")
        self.code = code


class DatabaseError(Exception):
    """Like psycopg's: keyword arguments, and fields that are read through properties."""

    def __init__(self, *args: object, info: dict[str, str]) -> None:
        super().__init__(*args)
        self._info = info

    @property
    def sqlstate(self) -> str:
        return self._info["sqlstate"]


class HostError(OSError):
    """An OSError with an __init__ of its own, and a slot."""

    __slots__ = ("host",)

    def __init__(self, host: str, *, port: int) -> None:
        super().__init__(errno.ECONNREFUSED, f"{host}:{port}")
        self.host = host


def decoding_json() -> BaseException:
    try:
        json.loads('{"odds": ')
    except ValueError as error:
        return error
    raise AssertionError("not reached")


INSTANCES: list[tuple[Callable[[], BaseException], list[str]]] = [
    (
        lambda: UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "bad"),
        ["encoding", "object", "start", "end", "reason"],
    ),
    (decoding_json, ["msg", "doc", "pos", "lineno", "colno"]),
    (lambda: StatusError(503), ["code"]),
    (lambda: DatabaseError("deadlock", info={"sqlstate": "40P01"}), ["sqlstate"]),
    (lambda: HostError("odds.test", port=80), ["host", "errno", "strerror"]),
    (lambda: FileNotFoundError(2, "none", "a", None, "b"), ["errno", "filename", "filename2"]),
    (lambda: BlockingIOError(11, "full", 5), ["errno", "characters_written"]),
    (lambda: pybreaker.CircuitBreakerError("open"), []),
    (lambda: redis.exceptions.ResponseError("MOVED 1 host"), []),
    (lambda: redis.exceptions.MovedError("1 127.0.0.1:7001"), ["slot_id", "host", "port"]),
    (lambda: urllib.error.URLError("refused"), ["reason"]),
    (lambda: ExceptionGroup("both", [KeyError("a"), OSError("b")]), ["message", "exceptions"]),
    (lambda: ImportError("no", name="odds", path="/odds.py"), ["msg", "name", "path"]),
    (lambda: StopIteration(4), ["value"]),
    (lambda: subprocess.TimeoutExpired("odds", 3.0, b"out"), ["cmd", "timeout", "output"]),
]


@pytest.mark.parametrize(("make", "fields"), INSTANCES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_copy_is_like_the_instance_in_everything(
    make: Callable[[], BaseException], fields: list[str]
) -> None:
    """Its class is not called again, which would fail or change the text; notes and cause come along."""
    given = make()
    given.add_note("while pricing")
    given.__cause__ = KeyError("cause")
    built = build_error(given)
    assert built is not given
    assert type(built) is type(given)
    assert (str(built), repr(built), built.args) == (str(given), repr(given), given.args)
    assert [getattr(built, name) for name in fields] == [getattr(given, name) for name in fields]
    assert built.__notes__ == ["while pricing"]
    assert built.__cause__ is given.__cause__
    assert vars(built) == vars(given)


def test_a_note_on_a_copy_stays_off_the_instance() -> None:
    """Code under test that adds notes would fill the user's object in a soak."""
    given = StatusError(503)
    given.add_note("given")
    build_error(given).add_note("added")
    assert given.__notes__ == ["given"]


def test_from_none_stays() -> None:
    """An instance that hides its context still does."""
    given = StatusError(503)
    given.__suppress_context__ = True
    assert build_error(given).__suppress_context__


class Both(ExceptionGroup[Exception]):
    """Made in a way that only its class knows, and that its args follow."""

    def __new__(cls, *errors: Exception) -> "Both":
        group = super().__new__(cls, "both", errors)
        group.args = errors
        return group


def test_a_class_that_alone_knows_how_it_is_made_is_asked() -> None:
    """Where the parts cannot be put together, the class is called, as copy.copy does."""
    given = Both(KeyError("a"), OSError("b"))
    built = build_error(given)
    assert isinstance(built, Both)
    assert built is not given
    assert (built.args, built.exceptions) == (given.args, given.exceptions)


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
