"""The live line: where a soak is right now."""

from dataclasses import dataclass

from pytest_resilience.units import format_bytes, format_duration


@dataclass(frozen=True)
class Now:
    """An instant of a soak; times in seconds, `rss` in bytes or 0, `fault` empty if none is active."""

    phase: str
    elapsed: float
    total: float
    iterations: int
    failures: int
    failures_outside: int
    fault: str
    rss: int


def live_line(now: Now, before: Now) -> str:
    """Describe `now`, with the iterations per second since `before`."""
    seconds = max(now.elapsed - before.elapsed, 1e-9)
    parts = [
        f"soak {format_duration(now.elapsed)}/{format_duration(now.total)}",
        now.phase,
        f"{(now.iterations - before.iterations) / seconds:.0f} it/s",
        f"{now.failures} failures ({now.failures_outside} outside faults)",
    ]
    if now.fault:
        parts.append(f"fault: {now.fault}")
    if now.rss:
        parts.append(f"RSS {format_bytes(now.rss)}")
    return " | ".join(parts)
