"""Services: the named dependencies of the code under test, and what they need of each other."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_resilience.endpoints import Endpoint, EndpointSpec, parse_endpoint
from pytest_resilience.errors import ServiceError, did_you_mean, requirement
from pytest_resilience.service_errors import ErrorSpec, build_error
from pytest_resilience.units import positive

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

Target = str | Callable[..., Any]

RESERVED_NAMES = ("host", "topology")
"""Targets of scenarios that act on no single service."""


class HasPid(Protocol):
    """A running process, such as subprocess.Popen or psutil.Process."""

    @property
    def pid(self) -> int: ...


ProcessSpec = int | HasPid | Callable[[], int | HasPid]
"""A pid, a process, or a function that returns the one that runs now."""


@dataclass(frozen=True)
class Service:
    """A dependency of the code under test, and the seams where faults can reach it.

    Args:
        name: how scenarios, options and reports call it.
        calls: its seams, as dotted paths (`"shop.odds:OddsClient.fetch"`) or the callables themselves.
        errors: what it raises when it is ill: exception types, instances or factories.
        timeout: seconds after which its client gives up.
        timeout_error: what its client raises then.
        needs: names of the services that it calls itself.
        endpoint: where it listens: `"127.0.0.1:5432"`, `("127.0.0.1", 5432)` or `"unix:/path/to.sock"`.
            Faults reach the connections that go through the fixture `service_address` instead.
        process: its pid, its Popen, or a function that returns one of them.

    Raises:
        ServiceError: a field is wrong, or an error cannot be built.
    """

    name: str
    calls: Sequence[Target] = ()
    errors: Sequence[ErrorSpec] = ()
    timeout: float | None = None
    timeout_error: ErrorSpec = TimeoutError
    needs: Sequence[str] = ()
    endpoint: EndpointSpec | None = None
    process: ProcessSpec | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.strip()):
            raise ServiceError(requirement("Service name", "a non-empty string", self.name))
        if self.name in RESERVED_NAMES:
            constraint = f"a name of your own ({' and '.join(RESERVED_NAMES)} are targets already)"
            raise ServiceError(requirement("Service name", constraint, self.name))
        for field in ("calls", "errors", "needs"):
            self._freeze(field)
        self._check_seams()
        for need in self.needs:
            if not isinstance(need, str):
                raise ServiceError(requirement(f"Each of {self._field('needs')}", "a name", need))
        if self.timeout is not None:
            self._check_timeout(self.timeout)
        for spec in (*self.errors, self.timeout_error):
            build_error(spec)

    @property
    def listens_at(self) -> Endpoint | None:
        """Its endpoint, parsed."""
        return None if self.endpoint is None else parse_endpoint(self.endpoint, self._field("endpoint"))

    @property
    def pid(self) -> int | None:
        """The pid of its process now; raise ServiceError if `process` gives none."""
        if self.process is None:
            return None
        given = self._ask_for_process() if callable(self.process) else self.process
        pid = given if isinstance(given, int) else getattr(given, "pid", None)
        if isinstance(pid, bool) or not isinstance(pid, int) or pid < 1:
            constraint = "a pid, a process with one, or a function that returns one of them"
            raise ServiceError(requirement(self._field("process"), constraint, given))
        return pid

    def _ask_for_process(self) -> object:
        assert callable(self.process)
        try:
            return self.process()
        except Exception as wrong:
            said = f"{type(wrong).__name__}: {wrong}"
            raise ServiceError(
                f"{self._field('process')} raised {said}. Let it return the process that runs now."
            ) from wrong

    def _field(self, name: str) -> str:
        return f"Service({self.name!r}).{name}"

    def _check_seams(self) -> None:
        """Raise ServiceError for what is no endpoint or no process; a function is asked when it is needed."""
        _ = self.listens_at
        pid = None if callable(self.process) else self.pid
        if pid is not None and not _runs(pid):
            fix = "Declare it once it is started, or give a function that returns the one that runs now."
            raise ServiceError(requirement(self._field("process"), "one that runs", pid, fix))

    def _freeze(self, field: str) -> None:
        value = getattr(self, field)
        if isinstance(value, str) or not isinstance(value, Iterable):
            fix = f"Write {field}=[{_written(value)}]."
            raise ServiceError(requirement(self._field(field), "a list", value, fix))
        object.__setattr__(self, field, tuple(value))

    def _check_timeout(self, timeout: object) -> None:
        name = self._field("timeout")
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            raise ServiceError(requirement(name, "a number of seconds", timeout))
        try:
            positive(timeout, name, timeout)
        except Exception as wrong:
            raise ServiceError(str(wrong)) from None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _written(value: object) -> str:
    """Return how code writes a value: types and functions by their name."""
    name = getattr(value, "__qualname__", None)
    return name.rpartition("<locals>.")[2] if isinstance(name, str) else repr(value)


def checked_services(given: object) -> Sequence[Service]:
    """Return what a fixture gave, if it is a list (of services, as index_services checks)."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ServiceError(requirement("resilience_services", "a list of Service", given))
    return given


def check_hosts(services: Iterable[Service], allowed: Iterable[str]) -> None:
    """Raise ServiceError for an endpoint that is neither on this machine nor on an `allowed` host."""
    known = frozenset(allowed)
    for service in services:
        endpoint = service.listens_at
        if endpoint is not None and not endpoint.is_local and endpoint.host not in known:
            name, constraint = f"Service({service.name!r}).endpoint", "on this machine, or on an allowed host"
            fix = f"If faults may hit it, add it to the ini file: resilience_allow_hosts = {endpoint.host}."
            raise ServiceError(requirement(name, constraint, str(endpoint), fix))


def index_services(services: Iterable[Service]) -> Mapping[str, Service]:
    """Return the services by name; raise ServiceError for doubles and for needs that nobody declared."""
    by_name: dict[str, Service] = {}
    for service in services:
        if not isinstance(service, Service):
            raise ServiceError(requirement("Each of resilience_services", "a Service", service))
        if by_name.setdefault(service.name, service) != service:
            raise ServiceError(
                f"Service {service.name!r} is declared twice, differently. Give each one its own name."
            )
    for service in by_name.values():
        for need in service.needs:
            if need not in by_name:
                fix = did_you_mean(need, by_name)
                raise ServiceError(f"Service {service.name!r} needs {need!r}, which is not declared. {fix}")
    return by_name
