"""What the test process asks of the network in the supervisor."""

from dataclasses import dataclass

from pytest_resilience.chaos.network.toxics import AnyToxic
from pytest_resilience.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """A proxy in front of `upstream`; it tells `host`, `port`, `port6` (0 without IPv6) and `path`."""

    upstream: Endpoint


@dataclass(frozen=True, slots=True)
class ToxicsSpec:
    """Toxics on the proxy that was started under the id `proxy`; `seed` decides what they hit."""

    proxy: str
    toxics: tuple[AnyToxic, ...]
    seed: str


@dataclass(frozen=True, slots=True)
class TrafficSpec:
    """Counts and times the exchanges at the proxy of id `proxy` without touching them.

    Its `touched()` has reached = fired = exchanges; `detail` is the median seconds of an exchange (from the
    first byte of a question to the first byte of its answer), written as repr of a float, or an empty string.
    """

    proxy: str
