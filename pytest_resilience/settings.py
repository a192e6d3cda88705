"""The frozen settings of a run, read by the table of options."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from pytest_resilience.errors import SettingsError, requirement
from pytest_resilience.option_table import DEFAULT_DIRECTORY, OPTIONS, Option, ini_name
from pytest_resilience.option_values import AUTO

Given: TypeAlias = Mapping[str, tuple[str, object]]
"""What the user gave, by field: the name of the option or ini value, and the value."""


@dataclass(frozen=True)
class Settings:
    """What a run was asked for; durations in seconds, probabilities and rates as shares from 0 to 1.

    `seed` is None until one is drawn; a probability of None is the intensity's own. `resume` and `report`
    name a run by its id, or are "latest" (`resume` also "auto"). `rate` and `think_time` are as the user
    wrote them (see rates), empty for none; an `iteration_timeout` of 0 is none.
    """

    duration_seconds: float | None = None
    resume: str | None = None
    report: str | None = None
    plan_only: bool = False
    cleanup: bool = False
    soak_all: bool = False
    fail_fast: bool = False
    rate: str = ""
    think_time: str = ""
    min_iterations: int = 1
    iteration_timeout: float = 300.0
    seed: int | None = None
    intensity: str = "medium"
    directory: Path = Path(DEFAULT_DIRECTORY)
    phase_lines: tuple[str, ...] = ()
    criteria_lines: tuple[str, ...] = ()
    memory_interval: float | None = None
    known_leaks: tuple[str, ...] = ()
    enable_chaos_testing: bool = True
    enable_circuit_breaker_testing: bool = True
    enable_cascading_failure_testing: bool = True
    cascade_fan_out: str = "parallel"
    cascade_retries: int = 0
    max_services_down: int = 5
    breaker_strictness: str = "scenarios"
    enable_memory_monitoring: bool = True
    timeout_probability: float | None = None
    valuation_exception_rate: float | None = None
    latency_spike_probability: float | None = None
    scenario_lines: tuple[str, ...] = ()
    max_concurrent_chaos: int = 3
    auto_recovery: bool = True
    allow_hosts: tuple[str, ...] = ()
    critical_memory_threshold_percent: float = 90.0
    memory_growth_threshold_percent: float = 10.0
    max_memory_growth_percent: float = 15.0
    max_system_memory_percent: float = 90.0
    min_recovery_success_rate: float = 0.8

    @property
    def soaking(self) -> bool:
        """Tell whether a soak was asked for."""
        return self.duration_seconds is not None or self.resume is not None

    def to_json(self) -> str:
        """Return all settings as one JSON object."""
        return json.dumps(asdict(self), default=str, sort_keys=True)


def load_settings(
    flag_value: Callable[[str], str | bool | None], ini_value: Callable[[str], str | list[str] | None]
) -> Settings:
    """Read every option of the table; a flag wins over the ini, the ini over the default.

    Raise SettingsError for a wrong value, and where two flags set the same thing.
    """
    given = given_settings(flag_value, ini_value)
    values: dict[str, Any] = {field: value for field, (_, value) in given.items()}
    return _checked(Settings(**values), tuple(giver for giver, _ in given.values()))


def given_settings(
    flag_value: Callable[[str], str | bool | None], ini_value: Callable[[str], str | list[str] | None]
) -> Given:
    """Return the settings that the user gave; raise SettingsError as `load_settings` does."""
    found: dict[str, tuple[str, object]] = {}
    for option in OPTIONS:
        given = _given(option, flag_value, ini_value)
        if given is None:
            continue
        if option.field in found:
            raise SettingsError(f"{found[option.field][0]} and {given[0]} both set the duration. Give one.")
        found[option.field] = given
    return found


def _given(
    option: Option,
    flag_value: Callable[[str], str | bool | None],
    ini_value: Callable[[str], str | list[str] | None],
) -> tuple[str, object] | None:
    """Return who gave the option (as the user wrote it) and its value, or None."""
    flagged = flag_value(option.flag) if option.flag else None
    if isinstance(flagged, str):
        return option.flag, option.read(flagged, option.flag)
    if flagged:
        return option.flag, True
    name = ini_name(option)
    written = ini_value(name) if name else None
    if not written:
        return None
    if isinstance(written, list):
        return name, tuple(line for line in map(str.strip, written) if line and not line.startswith("#"))
    return name, option.read(written, name)


NEED_A_SOAK = (
    "--soak-all",
    "--soak-fail-fast",
    "--soak-rate",
    "--soak-think-time",
    "--soak-min-iterations",
    "--soak-iteration-timeout",
)


def _checked(settings: Settings, given: tuple[str, ...]) -> Settings:
    if settings.max_memory_growth_percent < settings.memory_growth_threshold_percent:
        raise SettingsError(
            requirement(
                "resilience_max_memory_growth_percent",
                f"at least resilience_memory_growth_threshold_percent"
                f" ({settings.memory_growth_threshold_percent:g})",
                settings.max_memory_growth_percent,
            )
        )
    if settings.cleanup and settings.soaking:
        raise SettingsError("--resilience-cleanup runs no test. Leave out --soak-hours and --soak-duration.")
    if settings.report is not None and (settings.soaking or settings.plan_only):
        raise SettingsError("--soak-report runs nothing. Give it without --soak-hours and the like.")
    if settings.resume is not None and settings.plan_only:
        raise SettingsError("--soak-plan shows a new run, --soak-resume goes on with an old one. Give one.")
    if settings.resume == AUTO and settings.duration_seconds is None:
        raise SettingsError(
            "--soak-resume=auto may have to begin a run. Add --soak-hours=4 or --soak-duration=90s."
        )
    if settings.plan_only and not settings.soaking:
        raise SettingsError("--soak-plan needs a duration. Add --soak-hours=4 or --soak-duration=90s.")
    for flag in NEED_A_SOAK:
        if flag in given and not settings.soaking:
            raise SettingsError(f"{flag} needs a duration. Add --soak-hours=4 or --soak-duration=90s.")
    return settings


def defaults() -> Mapping[str, object]:
    """Return the default of each field."""
    return {field.name: field.default for field in fields(Settings)}
