"""How scenarios act on calls."""

from pytest_resilience.chaos.faults import Delay, Fault, Hang, Raise, RaiseAfter, Spike
from pytest_resilience.chaos.triggers import share
from pytest_resilience.chaos.works import CallWork, FaultFor, Order, Work
from pytest_resilience.service_errors import ErrorSpec

SPIKE_FACTORS = (2.0, 10.0)
"""A spike takes this many times the normal latency."""

SLOWDOWN_FACTOR = 5.0
"""A slow database takes this many times its normal latency."""

MIN_SPIKE_SECONDS = 0.010
"""A spike adds at least this much: ten times a microsecond would be no spike at all."""


def hang(order: Order) -> Work:
    timeout = order.parameters.get("timeout", order.target.timeout)
    assert timeout is not None  # the way needs it
    return _calls(order, Hang(timeout, order.parameters.get("error", order.target.timeout_error)))


def raise_errors(order: Order) -> Work:
    return _calls(order, Raise(errors_of(order)))


def raise_after(order: Order) -> Work:
    return _calls(order, RaiseAfter(errors_of(order)))


def refuse(order: Order) -> Work:
    """The service cannot be reached: its own errors if it declares some, else a refused connection."""
    return _calls(order, Raise(errors_of(order) or (ConnectionRefusedError,)))


def no_such_host(order: Order) -> Work:
    import socket  # costs start-up time, and few need it

    return _calls(order, Raise((socket.gaierror,)))


def spike(order: Order) -> Work:
    return _slow(order, SPIKE_FACTORS)


def slow_down(order: Order) -> Work:
    return _slow(order, (SLOWDOWN_FACTOR, SLOWDOWN_FACTOR))


def errors_of(order: Order) -> tuple[ErrorSpec, ...]:
    """Return the errors that were given, else those that the service declares."""
    return tuple(order.parameters.get("errors", order.target.errors))


def _slow(order: Order, factors: tuple[float, float]) -> Work:
    parameters = order.parameters
    if "delay" in parameters:
        return _calls(order, Delay(parameters["delay"], parameters.get("jitter", 0.0)))
    low, high = factor_range(order, factors)
    return _work(order, lambda normal: Spike(low, high, MIN_SPIKE_SECONDS, normal))


def factor_range(order: Order, default: tuple[float, float]) -> tuple[float, float]:
    """Return how many times the normal latency it takes, at least and at most."""
    factor = order.parameters.get("factor", default)
    return factor if isinstance(factor, tuple) else (factor, factor)


def _calls(order: Order, fault: Fault) -> Work:
    return _work(order, lambda normal: fault)


def _work(order: Order, fault_for: FaultFor) -> Work:
    parameters = order.parameters
    trigger = parameters.get("trigger") or share(parameters.get("probability", order.share))
    own_task = parameters.get("scope") == "task"
    return CallWork(order.target, trigger, fault_for, parameters.get("when"), own_task)
