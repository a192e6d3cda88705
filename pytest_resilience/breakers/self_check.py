"""Check that the time which a check moves is the time that the breaker reads."""

from pytest_resilience.breakers.drive import Drive
from pytest_resilience.breakers.hands import VacuousClockError
from pytest_resilience.breakers.limits import MOST_CALLS


def check_clock(name: str, drive: Drive) -> None:
    """Trip the breaker, and look just before and just after its open time.

    A breaker that goes another way is a finding of the scenarios; but one that never read the moved clock,
    and rejects where it should not, was not checked at all.

    Raises:
        VacuousClockError: the breaker reads another clock.
    """
    hands, traits = drive.bench.hands, drive.traits
    if not hands.virtual or traits.threshold >= MOST_CALLS:
        return
    before = hands.reads
    for _ in range(traits.threshold):
        drive.attempt("failure")
    if drive.attempt().entered:
        return
    drive.wait((1 + hands.margin) * traits.open_seconds)
    if drive.attempt().entered or hands.reads > before:
        return
    raise VacuousClockError(
        f"Breaker {name!r} does not read the time that the check moves: {traits.open_seconds:g} s after it "
        "opened, it still rejects. Name the module whose code reads the time "
        '(BreakerAdapter(…, clock="shop.breakers")), or let make take the clock.'
    )
