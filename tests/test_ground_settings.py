"""The options table: each row's default, its flag over its ini, and what is said about a wrong value."""

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from pytest_resilience.chaos.shares import INTENSITIES as SHARES
from pytest_resilience.errors import ServiceError, SettingsError
from pytest_resilience.option_table import OPTIONS, Option, ini_name
from pytest_resilience.option_values import INTENSITIES, LARGEST_SEED
from pytest_resilience.rates import EXAMPLE
from pytest_resilience.services import Service, check_hosts
from pytest_resilience.settings import Settings, defaults, load_settings

DURATION = {"--soak-duration": "90s"}

VALID: Mapping[str, tuple[str, object, str, object]] = {
    # field: a text and what it is read as, twice
    "seed": ("7", 7, str(LARGEST_SEED), 2**63 - 1),
    "intensity": ("low", "low", "extreme", "extreme"),
    "breaker_strictness": ("wrong", "wrong", "strict", "strict"),
    "cascade_fan_out": ("in_turn", "in_turn", "parallel", "parallel"),
    "cascade_retries": ("2", 2, "10", 10),
    "max_services_down": ("1", 1, "12", 12),
    "fail_fast": ("yes", True, "false", False),
    "rate": ("0s: 1/s, 10m: 100/s", "0s: 1/s, 10m: 100/s", "600/min", "600/min"),
    "think_time": ("100ms", "100ms", "50ms..200ms", "50ms..200ms"),
    "min_iterations": ("100", 100, "1", 1),
    "iteration_timeout": ("10s", 10.0, "0", 0.0),
    "directory": ("runs", Path("runs"), "/tmp/runs", Path("/tmp/runs")),
    "memory_interval": ("50ms", 0.05, "30s", 30.0),
    "enable_chaos_testing": ("no", False, "ON", True),
    "enable_circuit_breaker_testing": ("0", False, "1", True),
    "enable_cascading_failure_testing": ("false", False, "true", True),
    "enable_memory_monitoring": ("off", False, "yes", True),
    "timeout_probability": ("0.25", 0.25, "1", 1.0),
    "valuation_exception_rate": ("0.01", 0.01, "1.0", 1.0),
    "latency_spike_probability": ("1e-3", 0.001, "0.5", 0.5),
    "max_concurrent_chaos": ("1", 1, "7", 7),
    "auto_recovery": ("off", False, "true", True),
    "critical_memory_threshold_percent": ("85.5", 85.5, "100", 100.0),
    "memory_growth_threshold_percent": ("5", 5.0, "12.5", 12.5),
    "max_memory_growth_percent": ("20", 20.0, "10000", 10_000.0),
    "max_system_memory_percent": ("80", 80.0, "100", 100.0),
    "min_recovery_success_rate": ("0.9", 0.9, "1", 1.0),
}
PLAN = {
    # what the plan's request bodies call it: (our field, the plan's default)
    "enable_chaos_testing": ("enable_chaos_testing", True),
    "enable_circuit_breaker_testing": ("enable_circuit_breaker_testing", True),
    "enable_cascading_failure_testing": ("enable_cascading_failure_testing", True),
    "enable_memory_monitoring": ("enable_memory_monitoring", True),
    "chaos_intensity": ("intensity", "medium"),
    "timeout_probability": ("timeout_probability", None),  # the intensity's: see the next test
    "valuation_exception_rate": ("valuation_exception_rate", None),
    "latency_spike_probability": ("latency_spike_probability", None),
    "max_concurrent_chaos": ("max_concurrent_chaos", 3),
    "auto_recovery": ("auto_recovery", True),
    "critical_memory_threshold_percent": ("critical_memory_threshold_percent", 90.0),
    "memory_sampling_interval_seconds": ("memory_interval", None),  # adapts to the run, at most 30 s
    "memory_growth_threshold_percent": ("memory_growth_threshold_percent", 10.0),
    "max_memory_growth_percent": ("max_memory_growth_percent", 15.0),
    "max_system_memory_percent": ("max_system_memory_percent", 90.0),
    "min_recovery_success_rate": ("min_recovery_success_rate", 0.8),
}
SHARE = "a number above 0 and at most 1"
FLAG = "true or false"
WRONG = (
    *(("seed", text, "a whole number of at least 0") for text in ("-1", "1.5", "seven", "nan", "")),
    ("seed", str(2**63), f"at most {2**63 - 1}"),
    ("fail_fast", "maybe", FLAG),
    ("rate", "fast", EXAMPLE),
    ("think_time", "0s", "above 0"),
    ("min_iterations", "0", "a whole number of at least 1"),
    ("iteration_timeout", "5", "a duration such as 90s, 15m, 4h or 1h30m"),
    ("intensity", "hihg", "one of low, medium, high, extreme"),
    ("intensity", "Low", "one of low, medium, high, extreme"),
    ("breaker_strictness", "rong", "one of scenarios, wrong, strict"),
    ("cascade_fan_out", "sideways", "in_turn or parallel"),
    ("cascade_retries", "11", "at most 10"),
    ("max_services_down", "0", "a whole number of at least 1"),
    ("directory", "  ", "the path of a directory"),
    ("memory_interval", "30", "a duration such as 90s, 15m, 4h or 1h30m"),
    ("memory_interval", "0s", "finite and above 0"),
    ("enable_chaos_testing", "maybe", FLAG),
    ("enable_circuit_breaker_testing", "2", FLAG),
    ("enable_cascading_failure_testing", "none", FLAG),
    ("enable_memory_monitoring", "-", FLAG),
    *(("timeout_probability", text, SHARE) for text in ("0", "1.01", "-0.1", "nan", "inf", "half")),
    ("valuation_exception_rate", "50%", SHARE),
    ("latency_spike_probability", "2", SHARE),
    *(("max_concurrent_chaos", text, "a whole number of at least 1") for text in ("0", "-3", "2.0")),
    ("auto_recovery", "later", FLAG),
    *(
        ("critical_memory_threshold_percent", text, "a number above 0 and at most 100")
        for text in ("0", "100.1", "nan", "90%")
    ),
    ("memory_growth_threshold_percent", "-1", "a number above 0 and at most 10000"),
    ("max_memory_growth_percent", "inf", "a number above 0 and at most 10000"),
    ("max_system_memory_percent", "101", "a number above 0 and at most 100"),
    ("min_recovery_success_rate", "80", SHARE),
)


def load(
    flags: Mapping[str, str | bool] | None = None, ini: Mapping[str, str | list[str]] | None = None
) -> Settings:
    """Read settings from flags and ini values, as pytest would give them."""
    return load_settings((flags or {}).get, (ini or {}).get)


def wrong(
    flags: Mapping[str, str | bool] | None = None, ini: Mapping[str, str | list[str]] | None = None
) -> str:
    """Return what is said about wrong options; always one line."""
    with pytest.raises(SettingsError) as error:
        load(flags, ini)
    assert "\n" not in str(error.value)
    return str(error.value)


def rows(field: str) -> list[Option]:
    """Return the rows that give a field."""
    return [option for option in OPTIONS if option.field == field]


def test_without_any_option_every_setting_is_the_default() -> None:
    """And nothing is on: no soak."""
    settings = load()
    assert settings == Settings()
    assert {field.name: getattr(settings, field.name) for field in fields(settings)} == defaults()
    assert not settings.soaking


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    """The table is the only place where options are declared."""
    assert {option.field for option in OPTIONS} == set(defaults())


def test_names_belong_to_us() -> None:
    """No flag or ini name can clash with another plugin's, none is used twice, and each row has a help."""
    flags = [option.flag for option in OPTIONS if option.flag]
    names = [name for option in OPTIONS if (name := ini_name(option))]
    assert all(flag.startswith(("--soak-", "--resilience-")) for flag in flags)
    assert all(name.startswith(("soak_", "resilience_")) for name in names)
    assert len({*flags, *names}) == len(flags) + len(names)
    assert all(option.help.endswith(".") for option in OPTIONS)
    assert all(option.flag or ini_name(option) for option in OPTIONS)


def test_every_row_with_a_value_is_tried_here() -> None:
    """A new row without a test shows up."""
    lines = {"phase_lines", "criteria_lines", "scenario_lines", "allow_hosts", "known_leaks"}
    assert {option.field for option in OPTIONS if option.lines} == lines
    others = {"duration_seconds", "resume", "report", "plan_only", "soak_all", "cleanup"}
    assert set(VALID) | lines | others == set(defaults())
    assert {field for field, *_ in WRONG} == set(VALID)


@pytest.mark.parametrize("field", VALID)
def test_the_ini_wins_over_the_default(field: str) -> None:
    """Each value is read as its type, and differs from what it replaces."""
    text, value, *_ = VALID[field]
    (option,) = rows(field)
    assert load(ini={ini_name(option): text}) == replace(Settings(), **{field: value})  # type: ignore[arg-type]
    assert value != defaults()[field]


@pytest.mark.parametrize("field", [field for field in VALID if rows(field)[0].flag])
def test_a_flag_wins_over_the_ini(field: str) -> None:
    """The command line has the last word."""
    in_ini, _, in_flag, value = VALID[field]
    (option,) = rows(field)
    settings = load({option.flag: in_flag, **DURATION}, {ini_name(option): in_ini})
    assert getattr(settings, field) == value


def test_the_seed_in_a_file_is_a_flag_too() -> None:
    """What repeats a run, and how fast and how long it may loop, is on the command line too."""
    flags = {field for field in VALID if rows(field)[0].flag}
    pace = {"rate", "think_time", "min_iterations", "iteration_timeout", "fail_fast"}
    assert flags == {"seed", "intensity", "directory"} | pace


@pytest.mark.parametrize(("field", "text", "constraint"), [one for one in WRONG if one[1]])
def test_a_wrong_value_is_said_with_its_name_value_and_constraint(
    field: str, text: str, constraint: str
) -> None:
    """The name is the one that the user wrote: ini name or flag."""
    (option,) = rows(field)
    name = ini_name(option)
    assert wrong(ini={name: text}).startswith(f"{name} must be {constraint}, not {text!r}.")
    if option.flag:
        said = wrong({option.flag: text})
        assert said.startswith(f"{option.flag} must be {constraint}, not {text!r}.")


def test_an_empty_flag_is_wrong_and_an_empty_ini_value_is_none() -> None:
    """`--resilience-seed=` is a mistake; an ini line without a value says nothing."""
    assert wrong({"--resilience-seed": ""}).startswith("--resilience-seed must be a whole number")
    assert wrong({"--resilience-dir": ""}) == "--resilience-dir must be the path of a directory, not ''."
    assert load(ini={"resilience_seed": ""}).seed is None


def test_a_near_intensity_is_suggested() -> None:
    """One letter off is a typo."""
    assert wrong({"--resilience-intensity": "hihg"}).endswith("not 'hihg'. Did you mean 'high'?")


@pytest.mark.parametrize(
    ("flag", "text", "seconds"), [("--soak-hours", "0.5", 1800.0), ("--soak-duration", "1h30m", 5400.0)]
)
def test_a_duration_asks_for_a_soak(flag: str, text: str, seconds: float) -> None:
    """Both forms give seconds."""
    settings = load({flag: text})
    assert settings.soaking
    assert settings.duration_seconds == seconds


def test_two_durations_at_once_are_one_too_many() -> None:
    """Nobody has to guess which one counts."""
    said = wrong({"--soak-hours": "1", "--soak-duration": "1h"})
    assert said == "--soak-hours and --soak-duration both set the duration. Give one."


@pytest.mark.parametrize(("flag", "field"), [("--soak-plan", "plan_only"), ("--soak-all", "soak_all")])
def test_a_switch_of_the_soak_needs_a_duration(flag: str, field: str) -> None:
    """Alone it would do nothing, so it is refused with what to add."""
    assert getattr(load({**DURATION, flag: True}), field) is True
    said = wrong({flag: True})
    assert said.startswith(f"{flag} needs a duration")
    assert said.endswith("Add --soak-hours=4 or --soak-duration=90s.")


def test_the_clean_up_takes_no_soak() -> None:
    """It runs no test, whatever else is asked for."""
    assert load({"--resilience-cleanup": True}).cleanup
    said = wrong({**DURATION, "--resilience-cleanup": True})
    assert said == "--resilience-cleanup runs no test. Leave out --soak-hours and --soak-duration."


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("phase_lines", "soak_phases"),
        ("criteria_lines", "resilience_criteria"),
        ("scenario_lines", "resilience_scenarios"),
        ("allow_hosts", "resilience_allow_hosts"),
        ("known_leaks", "resilience_known_leaks"),
    ],
)
def test_lines_are_kept_without_blanks_and_comments(field: str, name: str) -> None:
    """They are read later, by those who know phases, criteria, scenarios and endpoints."""
    settings = load(ini={name: ["", "  one = 1 ", "# a comment", "two < 2"]})
    assert getattr(settings, field) == ("one = 1", "two < 2")


def test_no_host_but_this_machine_is_allowed_unless_it_is_named() -> None:
    """The default lets faults hit no other machine, and what is given is what services are checked with."""
    database = Service("database", endpoint="db.staging:5432")
    with pytest.raises(ServiceError):
        check_hosts([database], load().allow_hosts)
    check_hosts([database], load(ini={"resilience_allow_hosts": ["db.staging", "cache.staging"]}).allow_hosts)


def test_the_limits_of_growth_are_in_order() -> None:
    """Unmet cannot begin below the warning."""
    said = wrong(ini={"resilience_max_memory_growth_percent": "5"})
    assert said == (
        "resilience_max_memory_growth_percent must be at least "
        "resilience_memory_growth_threshold_percent (10), not 5.0."
    )
    both = {
        "resilience_max_memory_growth_percent": "5",
        "resilience_memory_growth_threshold_percent": "5",
    }
    assert load(ini=both).max_memory_growth_percent == 5.0


@pytest.mark.parametrize(("field", "default"), PLAN.values(), ids=list(PLAN))
def test_each_parameter_of_the_plan_is_an_option_with_its_default(field: str, default: object) -> None:
    """What the plan's request bodies name can be set from an ini file."""
    assert rows(field)
    assert defaults()[field] == default


def test_the_plans_probabilities_are_those_of_the_medium_intensity() -> None:
    """Where the plan gives numbers, they are the default."""
    medium = SHARES[Settings.intensity]
    shares = medium.provider_timeout, medium.valuation_exception, medium.latency_spike
    assert shares == (0.1, 0.5, 0.05)


def test_both_tables_know_the_same_intensities() -> None:
    """The ground may not import the chaos room, so the names stand twice; they must not drift apart."""
    assert tuple(SHARES) == INTENSITIES


def test_settings_are_frozen_and_plain_enough_to_store() -> None:
    """A run keeps its settings as JSON."""
    settings = load({**DURATION, "--resilience-seed": "7", "--resilience-dir": "runs"})
    stored = json.loads(settings.to_json())
    assert (stored["duration_seconds"], stored["seed"], stored["directory"]) == (90.0, 7, "runs")
    assert set(stored) == set(defaults())
    with pytest.raises(FrozenInstanceError):
        settings.seed = 8  # type: ignore[misc]
