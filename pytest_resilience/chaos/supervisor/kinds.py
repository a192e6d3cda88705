"""Which effect the supervisor makes of which spec."""

from pytest_resilience.chaos.host.kinds import HOST_KINDS
from pytest_resilience.chaos.network.kinds import NETWORK_KINDS
from pytest_resilience.chaos.supervisor.holding import Kinds

KINDS: Kinds = {**NETWORK_KINDS, **HOST_KINDS}
