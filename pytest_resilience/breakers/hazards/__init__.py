"""Hazards: what only overlap, cancellation, hostile clocks and raising hooks show of a breaker."""
