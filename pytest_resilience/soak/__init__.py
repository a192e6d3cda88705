"""The phased soak: plan, conductor, telemetry, recovery and criteria."""
