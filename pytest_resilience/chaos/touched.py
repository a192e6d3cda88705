"""What a fault really touched: the evidence that every kind of fault gives."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Touched:
    """How often the seam was used while the fault was there, and how often the fault acted.

    What is counted depends on the seam: calls; exchanges with an endpoint (a question sent on a connection,
    or a new connection); checks whether the effect holds (host and processes). Times are in seconds of the
    machine's monotonic clock, which all its processes share. `detail` says in a few words what was done:
    "2 connections, 48,120 bytes", "1.97 of 2 cores busy". If `blind`, this machine does not let us see all
    that the fault does: it may have acted more often than `fired` says.
    """

    reached: int = 0
    fired: int = 0
    first_fired_at: float | None = None
    last_fired_at: float | None = None
    detail: str = ""
    blind: bool = False
