"""Build the error that a fault raises: the real type with its real errno."""

import copy
import errno
import os
import socket
from collections.abc import Callable
from typing import TypeAlias

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
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
}


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
        return copy.copy(spec).with_traceback(None)
    if not isinstance(spec, type):
        return spec()
    if spec is socket.gaierror:
        return socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    number = _ERRNO.get(spec)
    arguments = (MESSAGE,) if number is None else (number, os.strerror(number))
    return spec(*arguments)
