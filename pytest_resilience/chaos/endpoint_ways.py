"""How scenarios act on endpoints."""

from dataclasses import replace
from typing import TypeVar

from pytest_resilience.chaos.call_ways import (
    MIN_SPIKE_SECONDS,
    SLOWDOWN_FACTOR,
    SPIKE_FACTORS,
    factor_range,
)
from pytest_resilience.chaos.network.toxics import (
    AnyToxic,
    Bandwidth,
    Down,
    Latency,
    NeverAccept,
    ResetPeer,
    Slicer,
    Slots,
    Timeout,
    Toxic,
)
from pytest_resilience.chaos.works import Order, ToxicWork, Work

ToxicT = TypeVar("ToxicT", bound=Toxic)

SLOW_RATE = 1024.0 * 1024
"""Bytes per second that a slow database still sends."""

SLICE_BYTES = 64
SLICE_SECONDS = 0.0005


def black_hole(order: Order) -> Work:
    """Answers are swallowed, so that the client waits for its own time-out."""
    return _toxics(order, _hit_data(order, Timeout()))


def spike(order: Order) -> Work:
    if "delay" in order.parameters:
        return _toxics(order, _hit_data(order, _late(order)))
    return _slower(order, SPIKE_FACTORS)


def slow_down(order: Order) -> Work:
    """Answers come late and trickle in."""
    if "delay" in order.parameters:
        return _toxics(order, _hit_data(order, _late(order)), _trickle(order))
    return _slower(order, (SLOWDOWN_FACTOR, SLOWDOWN_FACTOR), _trickle(order))


def partition(order: Order) -> Work:
    if order.parameters.get("mode", "reset") == "reset":
        return _toxics(order, Down())
    return _toxics(order, Timeout(stream="upstream"), Timeout(), NeverAccept())


def reset_some(order: Order) -> Work:
    return _toxics(order, _hit(order, ResetPeer()))


def take_slots(order: Order) -> Work:
    """Others have taken the slots: with none left, the connections that are open lose theirs too."""
    left = order.parameters.get("connections", 0)
    return _toxics(order, Slots(left), *(() if left else (ResetPeer(),)))


def slice_packets(order: Order) -> Work:
    return _toxics(order, Slicer(SLICE_BYTES, SLICE_BYTES // 2, SLICE_SECONDS))


def _hit(order: Order, toxic: ToxicT) -> ToxicT:
    """Let a toxic hit the exchanges that were asked for, else a share of them."""
    parameters = order.parameters
    share, trigger = parameters.get("probability", order.share), parameters.get("trigger")
    return replace(toxic, per="exchange", toxicity=share, trigger=trigger)


def _hit_data(order: Order, toxic: ToxicT) -> ToxicT:
    """Do the same; where every exchange is hit, then all data is.

    Also what nobody asks for, such as a server's push, and what is on its way already.
    """
    hit = _hit(order, toxic)
    return toxic if hit.toxicity == 1 and hit.trigger is None else hit


def _late(order: Order) -> Latency:
    return Latency(order.parameters["delay"], order.parameters.get("jitter", 0.0))


def _trickle(order: Order) -> Bandwidth:
    return Bandwidth(order.parameters.get("rate", SLOW_RATE))


def _slower(order: Order, factors: tuple[float, float], *more: AnyToxic) -> Work:
    """Delay answers until an exchange takes `factors` times its normal latency, and at least a little."""
    low, high = factor_range(order, factors)

    def toxics(normal: float | None) -> tuple[AnyToxic, ...]:
        least, most = ((factor - 1) * (normal or 0.0) for factor in (low, high))
        late = max(MIN_SPIKE_SECONDS, (least + most) / 2)
        jitter = min((most - least) / 2, late - min(late, MIN_SPIKE_SECONDS))
        return (_hit_data(order, Latency(late, jitter)), *more)

    return ToxicWork(order.target, toxics)


def _toxics(order: Order, *toxics: AnyToxic) -> ToxicWork:
    return ToxicWork(order.target, lambda normal: toxics)
