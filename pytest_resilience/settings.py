"""Every option in one table, and the frozen settings that it gives."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from pytest_resilience.errors import SettingsError, requirement
from pytest_resilience.option_values import (
    AUTO,
    LATEST,
    read_count,
    read_directory,
    read_fan_out,
    read_flag,
    read_growth,
    read_intensity,
    read_percent,
    read_rate,
    read_retries,
    read_run_id,
    read_seed,
    read_share,
    read_strictness,
    read_think_time,
)
from pytest_resilience.units import duration_or_zero, parse_duration, parse_hours

DEFAULT_DIRECTORY = ".resilience"

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


@dataclass(frozen=True)
class Option:
    """One row: where a setting is given, how its text is read, and what it means.

    `read` is called with the text and the name that the user used for it. A flag that may stand without a
    value has the one of `bare` then.
    """

    field: str
    help: str
    read: Callable[[str, str], object] = lambda text, name: text
    flag: str = ""
    ini: str = ""
    metavar: str = "VALUE"
    switch: bool = False
    lines: bool = False
    bare: str = ""


OPTIONS = (
    Option(
        "duration_seconds",
        "Soak for this many hours (fractions allowed): loop the soak tests through all phases.",
        parse_hours,
        flag="--soak-hours",
        metavar="HOURS",
    ),
    Option(
        "duration_seconds",
        "Soak for this long: 90s, 15m, 4h or 1h30m.",
        parse_duration,
        flag="--soak-duration",
        metavar="DURATION",
    ),
    Option(
        "resume",
        "Go on with a run that was interrupted or killed: --soak-resume=TEST_ID, or the newest one. "
        "What is done stays done, and its settings stay as they were. --soak-resume=auto goes on with the "
        "newest run if it is unfinished and was begun like this, and begins one otherwise.",
        read_run_id,
        flag="--soak-resume",
        metavar="TEST_ID",
        bare=LATEST,
    ),
    Option(
        "report",
        "Show and write the report of a run again, from its record; runs nothing. "
        "TEST_ID is a run's id, or latest.",
        read_run_id,
        flag="--soak-report",
        metavar="TEST_ID",
    ),
    Option(
        "plan_only",
        "Print what the soak would do (tests, services, scenarios, phases, criteria) and run nothing else.",
        flag="--soak-plan",
        switch=True,
    ),
    Option(
        "soak_all",
        "Soak every selected test, not only those marked with @pytest.mark.soak.",
        flag="--soak-all",
        switch=True,
    ),
    Option(
        "cleanup",
        "Remove what killed runs have left outside of their processes (proxies, pressure, stopped processes, "
        "disks), and run no test. Runs that are alive are left alone.",
        flag="--resilience-cleanup",
        switch=True,
    ),
    Option(
        "fail_fast",
        "End the run with a report as soon as a criterion cannot be met any more. Default: false.",
        read_flag,
        flag="--soak-fail-fast",
        ini="soak_fail_fast",
        switch=True,
    ),
    Option(
        "rate",
        "Iterations to start per second: 50/s or 600/min, or stages such as `0s: 10/s, 10m: 100/s` (times "
        "since the start of the run, linear in between). Default: as many as the suite can.",
        read_rate,
        flag="--soak-rate",
        ini="soak_rate",
        metavar="RATE",
    ),
    Option(
        "think_time",
        "Rest between two iterations: 100ms, or 50ms..200ms to draw from. Default: none.",
        read_think_time,
        flag="--soak-think-time",
        ini="soak_think_time",
        metavar="DURATION",
    ),
    Option(
        "min_iterations",
        "Iterations that each soak test must have in the whole run. Default: 1.",
        read_count,
        flag="--soak-min-iterations",
        ini="soak_min_iterations",
        metavar="N",
    ),
    Option(
        "iteration_timeout",
        "An iteration that takes longer has hung: its stacks are shown, and it fails. 0 is no limit. "
        "Default: 5m.",
        duration_or_zero,
        flag="--soak-iteration-timeout",
        ini="soak_iteration_timeout",
        metavar="DURATION",
    ),
    Option(
        "seed",
        "Seed of the fault schedule and of the order of tests. "
        "Default: drawn and printed in a soak, 0 in ordinary tests.",
        read_seed,
        flag="--resilience-seed",
        ini="resilience_seed",
        metavar="N",
    ),
    Option(
        "intensity",
        "Share of calls that faults hit: low, medium, high or extreme. Default: medium.",
        read_intensity,
        flag="--resilience-intensity",
        ini="resilience_intensity",
        metavar="LEVEL",
    ),
    Option(
        "directory",
        f"Where runs are kept. Default: {DEFAULT_DIRECTORY}.",
        read_directory,
        flag="--resilience-dir",
        ini="resilience_dir",
        metavar="DIR",
    ),
    Option(
        "phase_lines",
        "Budgets of phases, one per line: CHAOS_INJECTION = 20% or MEMORY_SOAK_TESTING = 2h.",
        ini="soak_phases",
        lines=True,
    ),
    Option(
        "criteria_lines",
        "Exit criteria, one per line: memory_growth_percent < 10, optionally with `abort after 3m`, or with "
        "`abort` to end the run once it cannot be met any more.",
        ini="resilience_criteria",
        lines=True,
    ),
    Option(
        "memory_interval",
        "Time between two memory samples. Default: about 480 samples a run, from 50ms to 30s.",
        parse_duration,
        ini="resilience_memory_interval",
    ),
    Option("enable_chaos_testing", "Run the chaos phase. Default: true.", read_flag),
    Option("enable_circuit_breaker_testing", "Run the circuit breaker phase. Default: true.", read_flag),
    Option("enable_cascading_failure_testing", "Run the cascade phase. Default: true.", read_flag),
    Option(
        "cascade_fan_out",
        "How services call what they need in a cascade: parallel or in_turn. Default: parallel.",
        read_fan_out,
    ),
    Option("cascade_retries", "How often callers try again in a cascade. Default: 0.", read_retries),
    Option("max_services_down", "Services that a cascade may take down at once. Default: 5.", read_count),
    Option(
        "breaker_strictness",
        "What a circuit breaker must pass: scenarios (the seven), wrong (and the hazards where failing is "
        "wrong by any reading) or strict (all hazards). What does not count is reported all the same. "
        "Default: scenarios.",
        read_strictness,
        metavar="LEVEL",
    ),
    Option("enable_memory_monitoring", "Sample memory and judge it. Default: true.", read_flag),
    Option(
        "timeout_probability",
        "Share of calls that provider_timeout hits. Default: the intensity's.",
        read_share,
    ),
    Option(
        "valuation_exception_rate",
        "Share of calls that valuation_exception hits. Default: the intensity's.",
        read_share,
    ),
    Option(
        "latency_spike_probability",
        "Share of calls that latency_spike hits. Default: the intensity's.",
        read_share,
    ),
    Option(
        "scenario_lines",
        "Scenarios that a soak injects, one per line; or, with `not` before each, those that it leaves out. "
        "Default: all that have a target.",
        ini="resilience_scenarios",
        lines=True,
    ),
    Option("max_concurrent_chaos", "How many scenarios may be active at once. Default: 3.", read_count),
    Option(
        "auto_recovery",
        "Remove a fault after its duration (in a soak: its window). "
        "false: it stays to the end of the test or of the chaos phase. Default: true.",
        read_flag,
    ),
    Option(
        "allow_hosts",
        "Hosts beside this machine whose endpoints faults may hit, one per line. Default: none.",
        ini="resilience_allow_hosts",
        lines=True,
    ),
    Option(
        "critical_memory_threshold_percent",
        "Use of the machine's (or cgroup's) memory, in percent, above which memory_pressure lets go. "
        "Default: 90.",
        read_percent,
    ),
    Option(
        "memory_growth_threshold_percent",
        "Growth of memory, in percent, from which on it is a warning. Default: 10.",
        read_growth,
    ),
    Option(
        "max_memory_growth_percent",
        "Growth of memory, in percent, from which on the criterion is unmet. Default: 15.",
        read_growth,
    ),
    Option(
        "max_system_memory_percent",
        "Use of the machine's (or cgroup's) memory, in percent, that a run may see. Default: 90.",
        read_percent,
    ),
    Option(
        "min_recovery_success_rate", "Share of chaos events that must recover. Default: 0.8.", read_share
    ),
)  # fmt: skip


def ini_name(option: Option) -> str:
    """Return the ini name of `option`, or an empty string if it is a flag only."""
    return option.ini or ("" if option.flag else f"resilience_{option.field}")


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
