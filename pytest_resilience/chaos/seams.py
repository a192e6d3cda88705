"""Seams: the kinds of places where faults can reach a service, the host or the topology."""

from enum import StrEnum


class SeamKind(StrEnum):
    """Where a scenario acts."""

    CALLS = "calls"
    ENDPOINT = "endpoint"
    PROCESS = "process"
    HOST = "host"
    TOPOLOGY = "topology"


COUNTED = {
    SeamKind.CALLS: "call",
    SeamKind.ENDPOINT: "exchange",
    SeamKind.PROCESS: "check",
    SeamKind.HOST: "check",
    SeamKind.TOPOLOGY: "service",
}
"""What `reached` and `fired` count at each kind of seam."""

DECLARATIONS = {
    "calls": 'calls=["your.module:Client.method"]',
    "endpoint": 'endpoint="127.0.0.1:5432"',
    "process": "process=server",
    "timeout": "timeout=2.0",
    "errors": "errors=[ConnectionError]",
}
"""How a service declares what a scenario needs."""
