"""Stragglers: calls that end in another era of the breaker than they began in."""

from pytest_resilience.breakers.drive import Drive
from pytest_resilience.breakers.flight import Flight, NotPossibleError, Outcome
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
    _one_good_probe_short(drive, probe)


def _one_good_probe_short(drive: Drive, probe: Flight) -> None:
    """Let all but one of the probes that decide happen, `probe` first; it must not have decided."""
    if drive.traits.failures_to_reopen > 1:  # it goes by a rate: bad ones leave it half-open until the last
        drive.land(probe, "failure")
        drive.failing(drive.traits.failures_to_reopen - 1, enter=True)
        return
    missing = drive.traits.successes_to_close - 1
    if missing:
        drive.land(probe, "ok")
        drive.healthy(missing - 1, enter=True)
    must_not_be_closed(drive)


def _late_failure_in_half_open(drive: Drive) -> None:
    late = drive.take_off()
    half_open(drive)
    probe = drive.take_off()
    drive.land(late, "failure")
    if drive.traits.half_open_limit != 1:
        drive.land(drive.take_off(), "ok")
    drive.land(probe, "ok")
    drive.healthy(drive.traits.successes_to_close, enter=True)


def _late_probe_failure_after_recovery(drive: Drive) -> None:
    needs_two_failures(drive)
    first, second = _two_probes(drive)
    drive.land(first, "ok")
    for _ in range(drive.traits.successes_to_close - 1):
        _probe_or_none_is_late(drive, "ok")
    drive.land(second, "failure")
    drive.healthy(1, enter=True)


def _probe_or_none_is_late(drive: Drive, outcome: Outcome) -> None:
    """Make another probe; leave out a breaker that lets in no more than decide, and waits for all of them."""
    if not drive.attempt(outcome).entered:
        raise NotPossibleError("the breaker decides when all of its probes have ended, so that none is late")


def _two_probes(drive: Drive) -> tuple[Flight, Flight]:
    if drive.traits.half_open_limit == 1:
        raise NotPossibleError("half-open lets one call in at a time, so that no probe outlives its era")
    half_open(drive)
    return drive.take_off(), drive.take_off()


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
    stale, other = _two_probes(drive)
    drive.land(other, "failure")
    for _ in range(drive.traits.failures_to_reopen - 1):
        _probe_or_none_is_late(drive, "failure")
    drive.perhaps_reopened()
    drive.outlast_open()
    probe = drive.take_off()
    drive.land(stale, "ok")
    _one_good_probe_short(drive, probe)


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
        "late_probe_failure_after_recovery",
        "wrong",
        "One failure of a probe that others have overtaken does not open a breaker that has recovered.",
        _late_probe_failure_after_recovery,
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
