"""Stragglers: calls that end in another era of the breaker than they began in."""

from pytest_resilience.breakers.drive import Drive
from pytest_resilience.breakers.flight import NotPossibleError
from pytest_resilience.breakers.hazards.hazard import (
    Hazard,
    half_open,
    must_not_be_closed,
    needs_two_failures,
)


def _late_success_while_open(drive: Drive) -> None:
    late = drive.take_off()
    drive.trip()
    drive.land(late, "ok")
    drive.healthy(1, enter=False)


def _late_failure_while_open(drive: Drive) -> None:
    late = drive.take_off()
    drive.trip()
    drive.wait(0.5 * drive.traits.open_seconds)
    drive.land(late, "failure")
    drive.wait(0.52 * drive.traits.open_seconds)
    drive.healthy(1, enter=True)


def _late_success_in_half_open(drive: Drive) -> None:
    late = drive.take_off()
    half_open(drive)
    probe = drive.take_off()
    drive.land(late, "ok")
    drive.land(probe, "failure")
    _reopened(drive)


def _reopened(drive: Drive) -> None:
    """Demand that a failed probe, with as many more as it takes, has opened the breaker again."""
    if drive.traits.failures_to_reopen >= drive.traits.threshold:
        must_not_be_closed(drive)  # says why it cannot be seen
    drive.failing(drive.traits.failures_to_reopen - 1, enter=True)
    drive.healthy(1, enter=False)


def _late_failure_in_half_open(drive: Drive) -> None:
    late = drive.take_off()
    half_open(drive)
    probe = drive.take_off()
    drive.land(late, "failure")
    drive.land(probe, "ok")
    drive.healthy(drive.traits.successes_to_close, enter=True)


def _late_failure_after_recovery(drive: Drive) -> None:
    needs_two_failures(drive)
    late = drive.take_off()
    drive.trip()
    drive.recover()
    drive.land(late, "failure")
    drive.healthy(1, enter=True)


def _late_failure_counted_after_recovery(drive: Drive) -> None:
    late = drive.take_off()
    drive.trip()
    drive.recover()
    drive.land(late, "failure")
    drive.failing(drive.traits.threshold, enter=True)


def _late_success_two_eras_later(drive: Drive) -> None:
    late = drive.take_off()
    drive.trip()
    drive.recover()
    drive.trip()
    drive.land(late, "ok")
    drive.healthy(1, enter=False)


def _stale_probe_two_eras_later(drive: Drive) -> None:
    limit = drive.traits.half_open_limit
    if limit == 1:
        raise NotPossibleError("half-open lets one call in at a time, so that no probe outlives its era")
    half_open(drive)
    stale, other = drive.take_off(), drive.take_off()
    drive.land(other, "failure")
    drive.failing(drive.traits.failures_to_reopen - 1, enter=True)
    drive.perhaps_reopened()
    drive.outlast_open()
    probe = drive.take_off()
    drive.land(stale, "ok")
    drive.land(probe, "failure")
    _reopened(drive)


STRAGGLERS = (
    Hazard(
        "late_success_while_open",
        "wrong",
        "A success of a call from before the outage does not close an open breaker.",
        _late_success_while_open,
    ),
    Hazard(
        "late_failure_while_open",
        "strict",
        "A failure of a call from before the outage does not lengthen the open time.",
        _late_failure_while_open,
    ),
    Hazard(
        "late_success_in_half_open",
        "wrong",
        "A success of a call from before the outage does not count as a good probe.",
        _late_success_in_half_open,
    ),
    Hazard(
        "late_failure_in_half_open",
        "strict",
        "A failure of a call from before the outage does not count as a failed probe.",
        _late_failure_in_half_open,
    ),
    Hazard(
        "late_failure_after_recovery",
        "wrong",
        "One failure of a call from before the outage does not open a breaker that has recovered.",
        _late_failure_after_recovery,
    ),
    Hazard(
        "late_failure_counted_after_recovery",
        "strict",
        "A failure of a call from before the outage is not counted after the recovery.",
        _late_failure_counted_after_recovery,
    ),
    Hazard(
        "late_success_two_eras_later",
        "wrong",
        "A success of a call from before the last outage does not close the breaker in this one.",
        _late_success_two_eras_later,
    ),
    Hazard(
        "stale_probe_two_eras_later",
        "wrong",
        "A success of a probe of an earlier half-open era does not count as a good probe in this one.",
        _stale_probe_two_eras_later,
    ),
)
