"""How far checks go."""

MOST_CALLS = 10_000
"""A check calls a breaker a few times its thresholds; beyond this it would no longer be quick."""

SCENARIOS_BY_CALLS = (
    "failure_threshold",
    "half_open_recovery",
    "forced_state_transitions",
    "concurrent_failures",
)
"""What cannot be driven where the thresholds of a breaker are out of reach."""

MARGIN = 0.01
"""Instants exactly at the timeout say nothing, so a check looks this share before and after it."""
