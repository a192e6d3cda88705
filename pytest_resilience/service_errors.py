"""Build the error that a fault raises: the real type, with the numbers and the text of the real one."""

import copy
import errno
import os
import socket
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, TypeAlias

from pytest_resilience.errors import ServiceError, requirement

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

ErrorSpec: TypeAlias = type[BaseException] | BaseException | Callable[[], BaseException]

MESSAGE = "injected by pytest-resilience"

_ERRNO: dict[type[BaseException], int] = {
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

_REAL: dict[str, tuple[object, ...]] = {
    "socket.gaierror": (socket.EAI_NONAME, "Name or service not known"),
    "socket.herror": (1, "Unknown host"),
    "ssl.SSLError": (1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
    "ssl.SSLCertVerificationError": (1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
    "ssl.SSLEOFError": (8, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol"),
    "ssl.SSLZeroReturnError": (6, "TLS/SSL connection has been closed (EOF)"),
    "http.client.RemoteDisconnected": ("Remote end closed connection without response",),
    "http.client.IncompleteRead": (b"",),
    "asyncio.exceptions.IncompleteReadError": (b"", None),
}
"""What the real one is made from, by the name of its type: importing their modules costs start-up time."""

_ABSENT = object()

_REASONS = {
    "ssl.SSLError": "WRONG_VERSION_NUMBER",
    "ssl.SSLCertVerificationError": "CERTIFICATE_VERIFY_FAILED",
    "ssl.SSLEOFError": "UNEXPECTED_EOF_WHILE_READING",
}
"""The `reason` that ssl sets on its errors; their `library` is "SSL"."""


def build_error(spec: ErrorSpec) -> BaseException:
    """Return a fresh exception for `spec`: a type, an instance to copy, or a factory.

    Raise ServiceError if it cannot be built.
    """
    try:
        error = _build(spec)
    except Exception as reason:
        raise ServiceError(
            requirement(
                "A service's error",
                "a type that can be built from one message, an instance or a factory",
                spec,
                f"Building it failed ({reason}): give an instance or a factory instead.",
            )
        ) from reason
    if not isinstance(error, BaseException):
        raise ServiceError(
            requirement("A service's error", "an exception, or a factory that returns one", spec)
        )
    return error


def _build(spec: ErrorSpec) -> object:
    if isinstance(spec, BaseException):
        return _copy(spec)
    if not isinstance(spec, type):
        return spec()
    name = f"{spec.__module__}.{spec.__qualname__}"
    number = _ERRNO.get(spec)
    usual: tuple[object, ...] = (MESSAGE,) if number is None else (number, os.strerror(number))
    error = spec(*_REAL.get(name, usual))
    if name in _REASONS:
        vars(error).update(library="SSL", reason=_REASONS[name])
    return error


def _copy(error: BaseException) -> BaseException:
    """Return an error like `error` that was never raised.

    `copy.copy` calls the class with `args` again, which fails or lies where `__init__` takes something else.
    So the parts are copied one by one; a class compiled from C that hides some knows itself how to be copied.
    """
    try:
        twin = _twin(error)
    except (AttributeError, TypeError):
        twin = copy.copy(error)
    if hasattr(error, "__notes__"):
        twin.__notes__ = list(error.__notes__)  # else a note on the copy would stand on the user's own
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(None)


def _twin(error: BaseException) -> BaseException:
    kind = type(error)
    base: Any = next(
        base for base in kind.__mro__ if isinstance(vars(base).get("__new__"), BuiltinFunctionType)
    )
    twin: BaseException = base.__new__(kind, *error.args)
    for part in _parts(kind):
        if hasattr(error, part.__name__):
            _hand_over(part, error, twin)
    vars(twin).update(vars(error))
    return twin


def _hand_over(
    part: MemberDescriptorType | GetSetDescriptorType, error: BaseException, twin: BaseException
) -> None:
    value, present = part.__get__(error), getattr(twin, part.__name__, _ABSENT)
    if present is value:
        return
    try:
        part.__set__(twin, value)
    except AttributeError:  # read-only: made by the class itself, perhaps as it should be
        if present != value:
            raise


def _parts(kind: type[BaseException]) -> Iterator[MemberDescriptorType | GetSetDescriptorType]:
    """Yield what instances hold outside their `__dict__`: fields compiled from C, and slots."""
    for name, part in (item for base in kind.__mro__ for item in vars(base).items()):
        if isinstance(part, (MemberDescriptorType, GetSetDescriptorType)) and not name.startswith("__"):
            yield part
