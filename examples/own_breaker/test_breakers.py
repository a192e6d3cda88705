"""One test for each scenario and hazard of the two breakers: the first has defects, the second none."""

from shop.breakers import FAILURES, OPEN_SECONDS, Breaker, EraBreaker

from pytest_resilience import BreakerAdapter, breaker_suite


def make() -> BreakerAdapter:
    """Describe the first breaker: how it is made and called, when it opens, who reads its clock."""
    return BreakerAdapter(
        Breaker, call=Breaker.call, threshold=FAILURES, open_seconds=OPEN_SECONDS, clock="shop.breakers"
    )


test_first_try = breaker_suite(make)


def make_with_eras() -> BreakerAdapter:
    """Describe the second breaker."""
    return BreakerAdapter(
        EraBreaker,
        call=EraBreaker.call,
        threshold=FAILURES,
        open_seconds=OPEN_SECONDS,
        half_open_limit=1,
        clock="shop.breakers",
    )


test_with_eras = breaker_suite(make_with_eras, strictness="strict")
