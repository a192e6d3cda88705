"""All hazards, in the order of the report."""

from collections.abc import Mapping
from types import MappingProxyType

from pytest_resilience.breakers.hazards.hazard import Hazard
from pytest_resilience.breakers.hazards.hooks import HOOKS
from pytest_resilience.breakers.hazards.probes import PROBES
from pytest_resilience.breakers.hazards.stragglers import STRAGGLERS
from pytest_resilience.breakers.hazards.surroundings import SURROUNDINGS

HAZARDS: Mapping[str, Hazard] = MappingProxyType(
    {hazard.name: hazard for hazard in (*STRAGGLERS, *PROBES, *HOOKS, *SURROUNDINGS)}
)
