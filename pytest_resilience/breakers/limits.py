"""How far checks go."""

MOST_CALLS = 10_000
"""A check calls a breaker a few times its thresholds; beyond this it would no longer be quick."""

MOST_CALLS_OF_HAZARDS = 1_000
"""Hazards open a breaker a hundred times in all; a breaker that takes more calls to open is spared them."""

SCENARIOS_BY_CALLS = (
    "failure_threshold",
    "half_open_recovery",
    "forced_state_transitions",
    "concurrent_failures",
)
"""What cannot be driven where the thresholds of a breaker are out of reach."""

MARGIN = 0.01
"""How far from the timeout a check looks, as a share of it, in virtual time."""

REAL_MARGIN = 0.4
"""The same in real time, where calls take their time and threads wait for their turn."""

REAL_OPEN_SECONDS = 0.2
"""In real time, the open time is set to this where the adapter can; it must outlast the calls in between."""

MOST_REAL_WAIT_SECONDS = 5.0
"""What would have to wait longer at once, for a window or a slow call, is left out in real time."""

MOST_REAL_SECONDS = 2.0
"""Real waiting for longer open times would take minutes."""
