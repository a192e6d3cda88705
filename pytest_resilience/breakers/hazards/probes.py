"""Probes that end without a verdict, come as a herd, or do not end at all."""

import asyncio
from collections.abc import Callable
from typing import Literal

from pytest_resilience.breakers.drive import Drive, Mismatch
from pytest_resilience.breakers.flight import NotPossibleError, Outcome
from pytest_resilience.breakers.hazards.hazard import (
    Hazard,
    half_open,
    must_not_be_closed,
    must_recover,
    places,
    probes_that_end,
)

HERD = 8

Undecided = Literal["ignored", "cancelled", "base_exception"]


def _does_not_close(outcome: Undecided) -> Callable[[Drive], None]:
    def script(drive: Drive) -> None:
        counts = getattr(drive.traits, f"{outcome}_counts")
        if counts == "success":
            raise NotPossibleError("its documentation says that such a call counts as a success")
        probes_that_end(drive, outcome, drive.traits.successes_to_close)
        must_not_be_closed(drive)

    return script


def _keeps_no_slot(outcome: Undecided) -> Callable[[Drive], None]:
    def script(drive: Drive) -> None:
        probes_that_end(drive, outcome, places(drive))
        must_recover(drive)

    return script


def _reaches_caller(outcome: Outcome, error: type[BaseException] | None) -> Callable[[Drive], None]:
    def script(drive: Drive) -> None:
        drive.bench.check(outcome)
        drive.failing(drive.traits.threshold - 1, enter=True)
        wanted = drive.traits.failure if error is None else error
        raised = drive.attempt(outcome).raised
        if not isinstance(raised, wanted):
            seen = "nothing" if raised is None else type(raised).__name__
            raise Mismatch(f"expected the caller to get {wanted.__name__}, but it got {seen}")

    return script


def _cancelled_calls_do_not_open(drive: Drive) -> None:
    drive.bench.check("cancelled")
    for _ in range(drive.traits.threshold):
        drive.calls("cancelled", 1, enter=True)
    drive.healthy(1, enter=True)


def _herd(drive: Drive) -> None:
    herd = max(HERD, 1 + (drive.traits.half_open_limit or 0))
    half_open(drive)
    for _ in range(herd):
        if not drive.start().in_air:
            return
    raise Mismatch(f"expected half-open to bound the calls that it lets in, but all {herd} entered")


def _limit(drive: Drive) -> None:
    limit = drive.traits.half_open_limit
    if limit is None:
        raise NotPossibleError("the breaker has no limit of calls in half-open")
    half_open(drive)
    probes = [drive.start() for _ in range(limit + 1)]
    entered = sum(probe.in_air for probe in probes)
    if entered > limit:
        raise Mismatch(f"expected at most {limit} calls in half-open at once, but {entered} entered")
    if entered < limit and drive.traits.successes_to_close >= limit:
        raise Mismatch(f"expected {limit} calls in half-open at once, but {entered} entered")


def _fail_fast(drive: Drive) -> None:
    half_open(drive)
    drive.take_off()
    if drive.start().blocked:
        raise Mismatch("expected a call to enter or to be rejected at once, but it waits for the hung probe")


def _hung_probe(drive: Drive) -> None:
    half_open(drive)
    for _ in range(places(drive)):
        drive.take_off()
    drive.perhaps_reopened()
    drive.outlast_open()
    drive.outlast_open()
    other = drive.start()
    if not other.in_air:
        what = "waits" if other.blocked else "was rejected"
        raise Mismatch(f"expected another probe to enter after two open times, but it {what}")


def _no_lock(drive: Drive) -> None:
    drive.take_off()
    if drive.start().blocked:
        raise Mismatch("expected calls to run side by side, but the second waits for the first to end")


def _pair(outcome: Undecided, what: str) -> tuple[Hazard, Hazard]:
    return (
        Hazard(
            f"{outcome}_probe_closes",
            "strict" if outcome == "ignored" else "wrong",
            f"A probe that {what} says nothing good about the dependency and does not close the breaker.",
            _does_not_close(outcome),
        ),
        Hazard(
            f"{outcome}_probe_keeps_its_slot",
            "wrong",
            f"A probe that {what} gives its place back, so that others can follow and close the breaker.",
            _keeps_no_slot(outcome),
        ),
    )


PROBES = (
    *_pair("cancelled", "is cancelled"),
    *_pair("ignored", "ends in an ignored error"),
    *_pair("base_exception", "is interrupted (KeyboardInterrupt)"),
    Hazard(
        "interrupt_replaced",
        "wrong",
        "A KeyboardInterrupt in a call reaches the caller as such, also where the call trips the breaker.",
        _reaches_caller("base_exception", KeyboardInterrupt),
    ),
    Hazard(
        "cancellation_replaced",
        "wrong",
        "The cancellation of a call reaches the task as such, also where the call trips the breaker.",
        _reaches_caller("cancelled", asyncio.CancelledError),
    ),
    Hazard(
        "tripping_error_replaced",
        "strict",
        "The error of the call that trips the breaker reaches its caller.",
        _reaches_caller("failure", None),
    ),
    Hazard(
        "cancelled_calls_open",
        "strict",
        "Calls that their callers gave up are no failures of the dependency and do not open the breaker.",
        _cancelled_calls_do_not_open,
    ),
    Hazard(
        "herd_in_half_open",
        "strict",
        "Half-open bounds how many calls it lets into a dependency that has just been down.",
        _herd,
    ),
    Hazard(
        "half_open_limit_missed",
        "wrong",
        "Half-open lets in as many calls at once as it is set up for.",
        _limit,
    ),
    Hazard(
        "waits_for_hung_probe",
        "wrong",
        "While a probe hangs, other calls enter or are rejected at once.",
        _fail_fast,
    ),
    Hazard(
        "wedged_by_hung_probe",
        "strict",
        "A probe that never ends does not keep all others out for ever.",
        _hung_probe,
    ),
    Hazard(
        "lock_held_during_calls",
        "strict",
        "A closed breaker lets calls run side by side.",
        _no_lock,
    ),
)
