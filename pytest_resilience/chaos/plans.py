"""Plans: from a scenario, a service and parameters to a trigger and a fault."""

from collections.abc import Callable
from dataclasses import dataclass

from pytest_resilience.chaos.faults import Delay, Fault, Hang, Raise, Spike
from pytest_resilience.chaos.parameters import Parameters, check, describe
from pytest_resilience.chaos.scenarios import Scenario, Shares, lacking, scenario_named
from pytest_resilience.chaos.triggers import Trigger, share
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

SPIKE_FACTORS = (2.0, 10.0)
"""A spike takes this many times the normal latency."""

MIN_SPIKE_SECONDS = 0.010
"""A spike adds at least this much: ten times a microsecond would be no spike at all."""

FaultFor = Callable[[float | None], Fault]
"""Makes the fault for a call whose normal latency (seconds) is known, or None."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an injection is going to do to each call of a service."""

    scenario: Scenario
    service: Service
    trigger: Trigger
    fault_for: FaultFor
    parameters: str


def make_plan(scenario_name: str, service: Service, parameters: Parameters, shares: Shares) -> Plan:
    """Plan `scenario_name` on `service`; raise ScenarioError if it cannot act or a parameter is wrong."""
    scenario = scenario_named(scenario_name)
    check(scenario, parameters)
    lack = lacking(scenario_name, service, parameters)
    if lack is not None:
        raise ScenarioError(f"Scenario {scenario_name!r} cannot act: {lack.reason}. {lack.fix}")
    trigger = parameters.get("trigger") or share(parameters.get("probability", shares.of(scenario_name)))
    fault_for = _FAULTS[scenario_name](service, parameters)
    return Plan(scenario, service, trigger, fault_for, describe(parameters))


def _hang(service: Service, parameters: Parameters) -> FaultFor:
    timeout = parameters.get("timeout", service.timeout)
    assert timeout is not None  # lacking() saw to it
    hang = Hang(timeout, parameters.get("error", service.timeout_error))
    return lambda normal: hang


def _raise(service: Service, parameters: Parameters) -> FaultFor:
    fault = Raise(tuple(parameters.get("errors", service.errors)))
    return lambda normal: fault


def _slow(service: Service, parameters: Parameters) -> FaultFor:
    if "delay" in parameters:
        delay = Delay(parameters["delay"])
        return lambda normal: delay
    factor = parameters.get("factor", SPIKE_FACTORS)
    low, high = factor if isinstance(factor, tuple) else (factor, factor)
    return lambda normal: Spike(low, high, MIN_SPIKE_SECONDS, normal)


_FAULTS = {
    "provider_timeout": _hang,
    "valuation_exception": _raise,
    "intermittent_errors": _raise,
    "latency_spike": _slow,
}
