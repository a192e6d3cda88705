"""Arm one fault on one call, without an engine, and check that the original comes back."""

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_resilience.chaos.evidence import Evidence
from pytest_resilience.chaos.faults import Fault, Raise
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.scope import Scope
from pytest_resilience.chaos.taps import FaultTap, When
from pytest_resilience.chaos.targets import resolve
from pytest_resilience.chaos.trampoline import original_code
from pytest_resilience.chaos.triggers import Trigger, nth, share
from pytest_resilience.clock import Clock, SystemClock
from pytest_resilience.services import Target

NEVER = nth(10**9)
ALWAYS = share(1)


@contextmanager
def armed(
    target: Target,
    fault: Fault | None = None,
    trigger: Trigger = NEVER,
    *,
    when: When | None = None,
    scope: Scope | None = None,
    release: Release | None = None,
    clock: Clock | None = None,
) -> Iterator[Evidence]:
    """Attach a fault to a call, and check afterwards that the original is back, identically."""
    site, evidence, release = resolve(target), Evidence(), release or Release()
    code, schedule = site.function.__code__, trigger.schedule("seed")
    is_outermost = code is original_code(site.function)
    tap = FaultTap(
        fault or Raise([KeyError]),
        schedule,
        "seed",
        evidence,
        release,
        clock or SystemClock(),
        when=when,
        scope=scope,
        kind=site.kind,
        target=site.label,
    )
    LEDGER.attach(site.function, site.slot, tap)
    try:
        assert site.function.__code__ is not code
        yield evidence
    finally:
        release.set()
        LEDGER.detach(site.function, tap)
        assert site.function.__code__ is code or not is_outermost
