"""Every option in one table: its flag, its ini value, how it is read, and what help says of it."""

from collections.abc import Callable
from dataclasses import dataclass

from pytest_resilience.option_values import (
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
    Option(
        "known_leaks",
        "Leaks that are accepted, one per line: what the report names as held, or as its holder; * is any "
        "text. Default: none.",
        ini="resilience_known_leaks",
        lines=True,
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
