"""Endpoints: where a service listens, as users write it."""

import ipaddress
from dataclasses import dataclass
from typing import TypeAlias

from pytest_resilience.errors import ServiceError, requirement

HIGHEST_PORT = 65535
UNIX = "unix:"
_FIX = 'Write "127.0.0.1:5432", ("127.0.0.1", 5432) or "unix:/path/to.sock".'


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service listens: a host and a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_local(self) -> bool:
        """Tell whether it is on this machine: a Unix socket, localhost, or a loopback address."""
        if self.path or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path:
            return f"{UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


EndpointSpec: TypeAlias = str | tuple[str, int] | Endpoint
"""`"host:port"`, `"[::1]:port"`, `"unix:/path/to.sock"`, or `(host, port)`."""


def parse_endpoint(value: EndpointSpec, name: str) -> Endpoint:
    """Return the endpoint that a user wrote; raise ServiceError if it is none."""
    if isinstance(value, Endpoint):
        return value
    if isinstance(value, str) and value.startswith(UNIX) and value != UNIX:
        return Endpoint(path=value.removeprefix(UNIX))
    host, port = _host_and_port(value)
    if not _is_host(host) or not 1 <= port <= HIGHEST_PORT:
        constraint = f"a host and a port from 1 to {HIGHEST_PORT}, or a Unix socket"
        raise ServiceError(requirement(name, constraint, value, _FIX))
    return Endpoint(host, port)


def _host_and_port(value: object) -> tuple[str, int]:
    """Split a value; a port of 0 says that it is no endpoint."""
    match value:
        case str():
            host, _, port = value.rpartition(":")
            return _bare(host), int(port) if port.isdecimal() else 0
        case (str() as host, int() as port) if not isinstance(port, bool):
            return _bare(host), port
    return "", 0


def _bare(host: str) -> str:
    """Return an IPv6 address without its brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _is_host(host: str) -> bool:
    """Tell a name or an address from a URL, and from an address that lacks its port."""
    if ":" not in host:
        return host != "" and not any(letter.isspace() or letter in "/[]" for letter in host)
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
