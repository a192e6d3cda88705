"""The live line."""

from dataclasses import replace

from pytest_resilience.soak.live import Now, live_line
from pytest_resilience.units import MIB

BEFORE = Now("CHAOS_INJECTION", 60.0, 14400.0, 1000, 3, 0, "", 0)


def test_the_line_says_where_the_soak_is() -> None:
    """Elapsed and total, phase, speed since the last look, failures, fault and memory."""
    fault = "latency_spike on odds_provider"
    now = replace(
        BEFORE, elapsed=90.0, iterations=4000, failures=7, failures_outside=1, fault=fault, rss=80 * MIB
    )
    assert live_line(now, BEFORE) == (
        "soak 1m30s/4h00m | CHAOS_INJECTION | 100 it/s | 7 failures (1 outside faults) | "
        "fault: latency_spike on odds_provider | RSS 80.0 MiB"
    )


def test_what_is_not_there_takes_no_room() -> None:
    """No fault, no memory reading."""
    line = live_line(replace(BEFORE, elapsed=61.0, iterations=1000), BEFORE)
    assert line == "soak 1m01s/4h00m | CHAOS_INJECTION | 0 it/s | 3 failures (0 outside faults)"


def test_two_looks_at_the_same_instant_are_no_division_by_zero() -> None:
    """A line is a line, however soon it comes."""
    assert " 0 it/s " in live_line(BEFORE, BEFORE)
