"""Durations, sizes and numbers as users write and read them."""

import math
import re

from pytest_resilience.errors import SettingsError, requirement

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
KIB = 1024
MIB = 1024 * KIB

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ZERO = re.compile(r"0+(?:\.0+)?(?:ms|s|m|h|d)?")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(text: str, name: str = "duration") -> float:
    """Read `90s`, `15m`, `4h` or `1h30m` as seconds; raise SettingsError for anything else or zero."""
    compact = text.strip().lower().replace(" ", "")
    if not _DURATION.fullmatch(compact):
        raise SettingsError(
            requirement(name, "a duration such as 90s, 15m, 4h or 1h30m", text, "Give a number and a unit.")
        )
    seconds = sum(float(number) * SECONDS[unit] for number, unit in _PART.findall(compact))
    return positive(seconds, name, text, "Write for example 90s.")


def duration_or_zero(text: str, name: str = "duration") -> float:
    """Read a duration, or `0` or `0s`, as seconds; raise SettingsError for anything else."""
    return 0.0 if _ZERO.fullmatch(text.strip().lower()) else parse_duration(text, name)


def parse_hours(text: str, name: str = "hours") -> float:
    """Read a number of hours (fractions allowed) as seconds."""
    try:
        hours = float(text)
    except ValueError:
        raise SettingsError(
            requirement(
                name, "a number of hours such as 4 or 0.5", text, "For other units use --soak-duration."
            )
        ) from None
    return positive(hours * SECONDS["h"], name, text, "Write for example 4 or 0.5.")


def positive(number: float, name: str, text: object, fix: str = "") -> float:
    """Return `number` if it is finite and above zero, else raise SettingsError."""
    if not (math.isfinite(number) and number > 0):
        raise SettingsError(requirement(name, "finite and above 0", text, fix))
    return number


def counted(number: int, noun: str) -> str:
    """Write a number of things: `1 iteration`, `1,200 iterations`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """Write seconds for people: `250ms`, `4.2s`, `1m30s`, `4h00m`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def format_bytes(size: float) -> str:
    """Write a size in bytes for people, in binary units: `514 B`, `7.2 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
