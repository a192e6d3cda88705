"""Every option in one table, and the frozen settings that it gives."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from pytest_resilience.errors import SettingsError, did_you_mean, requirement
from pytest_resilience.units import parse_duration, parse_hours

INTENSITIES = ("low", "medium", "high", "extreme")
DEFAULT_DIRECTORY = ".resilience"
LATEST = "latest"
LARGEST_SEED = 2**63 - 1  # the largest integer of the run's file

Given: TypeAlias = Mapping[str, tuple[str, object]]
"""What the user gave, by field: the name of the option or ini value, and the value."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True)
class Settings:
    """What a run was asked for; durations in seconds, probabilities and rates as shares from 0 to 1.

    `seed` is None until one is drawn; a probability of None is the intensity's own. `resume` and `report`
    name a run by its id, or are "latest".
    """

    duration_seconds: float | None = None
    resume: str | None = None
    report: str | None = None
    plan_only: bool = False
    soak_all: bool = False
    seed: int | None = None
    intensity: str = "medium"
    directory: Path = Path(DEFAULT_DIRECTORY)
    phase_lines: tuple[str, ...] = ()
    criteria_lines: tuple[str, ...] = ()
    memory_interval: float | None = None
    enable_chaos_testing: bool = True
    enable_circuit_breaker_testing: bool = True
    enable_cascading_failure_testing: bool = True
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


def _whole(text: str, name: str, lowest: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = lowest - 1
    if number < lowest:
        raise SettingsError(requirement(name, f"a whole number of at least {lowest}", text))
    return number


def _count(text: str, name: str) -> int:
    return _whole(text, name, 1)


def _seed(text: str, name: str) -> int:
    number = _whole(text, name, 0)
    if number > LARGEST_SEED:
        raise SettingsError(requirement(name, f"at most {LARGEST_SEED}", text))
    return number


def _number(text: str, name: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low < number <= high:
        raise SettingsError(requirement(name, f"a number above {low:g} and at most {high:g}", text))
    return number


def _share(text: str, name: str) -> float:
    return _number(text, name, 0, 1)


def _percent(text: str, name: str) -> float:
    return _number(text, name, 0, 100)


def _growth(text: str, name: str) -> float:
    return _number(text, name, 0, 10_000)


def _flag(text: str, name: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise SettingsError(requirement(name, "true or false", text))


def _intensity(text: str, name: str) -> str:
    if text in INTENSITIES:
        return text
    constraint = f"one of {', '.join(INTENSITIES)}"
    raise SettingsError(requirement(name, constraint, text, did_you_mean(text, INTENSITIES)))


def _directory(text: str, name: str) -> Path:
    if not text.strip():
        raise SettingsError(requirement(name, "the path of a directory", text))
    return Path(text)


def _run_id(text: str, name: str) -> str:
    if not text.strip() or Path(text).name != text:
        fix = "The folders in .resilience/runs are named by them."
        raise SettingsError(requirement(name, f"the id of a run, or {LATEST}", text, fix))
    return text


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
        "What is done stays done, and its settings stay as they were.",
        _run_id,
        flag="--soak-resume",
        metavar="TEST_ID",
        bare=LATEST,
    ),
    Option(
        "report",
        "Show and write the report of a run again, from its record; runs nothing. "
        "TEST_ID is a run's id, or latest.",
        _run_id,
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
        "seed",
        "Seed of the fault schedule and of the order of tests. "
        "Default: drawn and printed in a soak, 0 in ordinary tests.",
        _seed,
        flag="--resilience-seed",
        ini="resilience_seed",
        metavar="N",
    ),
    Option(
        "intensity",
        "Share of calls that faults hit: low, medium, high or extreme. Default: medium.",
        _intensity,
        flag="--resilience-intensity",
        ini="resilience_intensity",
        metavar="LEVEL",
    ),
    Option(
        "directory",
        f"Where runs are kept. Default: {DEFAULT_DIRECTORY}.",
        _directory,
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
        "Exit criteria, one per line: memory_growth_percent < 10 (optionally: abort after 3m).",
        ini="resilience_criteria",
        lines=True,
    ),
    Option(
        "memory_interval",
        "Time between two memory samples. Default: about 480 samples a run, from 50ms to 30s.",
        parse_duration,
        ini="resilience_memory_interval",
    ),
    Option("enable_chaos_testing", "Run the chaos phase. Default: true.", _flag),
    Option("enable_circuit_breaker_testing", "Run the circuit breaker phase. Default: true.", _flag),
    Option("enable_cascading_failure_testing", "Run the cascade phase. Default: true.", _flag),
    Option("enable_memory_monitoring", "Sample memory and judge it. Default: true.", _flag),
    Option(
        "timeout_probability",
        "Share of calls that provider_timeout hits. Default: the intensity's.",
        _share,
    ),
    Option(
        "valuation_exception_rate",
        "Share of calls that valuation_exception hits. Default: the intensity's.",
        _share,
    ),
    Option(
        "latency_spike_probability",
        "Share of calls that latency_spike hits. Default: the intensity's.",
        _share,
    ),
    Option(
        "scenario_lines",
        "Scenarios that a soak injects, one per line; or, with `not` before each, those that it leaves out. "
        "Default: all that have a target.",
        ini="resilience_scenarios",
        lines=True,
    ),
    Option("max_concurrent_chaos", "How many scenarios may be active at once. Default: 3.", _count),
    Option(
        "auto_recovery",
        "Remove a fault after its duration (in a soak: its window). "
        "false: it stays to the end of the test or of the chaos phase. Default: true.",
        _flag,
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
        _percent,
    ),
    Option(
        "memory_growth_threshold_percent",
        "Growth of memory, in percent, from which on it is a warning. Default: 10.",
        _growth,
    ),
    Option(
        "max_memory_growth_percent",
        "Growth of memory, in percent, from which on the criterion is unmet. Default: 15.",
        _growth,
    ),
    Option(
        "max_system_memory_percent",
        "Use of the machine's (or cgroup's) memory, in percent, that a run may see. Default: 90.",
        _percent,
    ),
    Option(
        "min_recovery_success_rate", "Share of chaos events that must recover. Default: 0.8.", _share
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
    return _checked(Settings(**values))


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


def _checked(settings: Settings) -> Settings:
    if settings.max_memory_growth_percent < settings.memory_growth_threshold_percent:
        raise SettingsError(
            requirement(
                "resilience_max_memory_growth_percent",
                f"at least resilience_memory_growth_threshold_percent"
                f" ({settings.memory_growth_threshold_percent:g})",
                settings.max_memory_growth_percent,
            )
        )
    if settings.report is not None and (settings.soaking or settings.plan_only):
        raise SettingsError("--soak-report runs nothing. Give it without --soak-hours and the like.")
    if settings.resume is not None and settings.plan_only:
        raise SettingsError("--soak-plan shows a new run, --soak-resume goes on with an old one. Give one.")
    if settings.plan_only and not settings.soaking:
        raise SettingsError("--soak-plan needs a duration. Add --soak-hours=4 or --soak-duration=90s.")
    if settings.soak_all and not settings.soaking:
        raise SettingsError("--soak-all needs a duration. Add --soak-hours=4 or --soak-duration=90s.")
    return settings


def defaults() -> Mapping[str, object]:
    """Return the default of each field."""
    return {field.name: field.default for field in fields(Settings)}
