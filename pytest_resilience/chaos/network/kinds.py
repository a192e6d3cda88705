"""Which effect is made of which spec of the network."""

from pytest_resilience.chaos.network.proxy import ProxyEffect
from pytest_resilience.chaos.network.specs import ProxySpec, ToxicsSpec, TrafficSpec
from pytest_resilience.chaos.network.toxics_effect import ToxicsEffect
from pytest_resilience.chaos.network.traffic import TrafficEffect
from pytest_resilience.chaos.supervisor.holding import Kinds

NETWORK_KINDS: Kinds = {
    ProxySpec: lambda spec, _: ProxyEffect(spec),
    ToxicsSpec: ToxicsEffect,
    TrafficSpec: TrafficEffect,
}
