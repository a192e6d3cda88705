"""Wrong options and ini values: one line with the value, the constraint and the fix, exit 4, nothing done."""

import pytest

from pytest_resilience.rates import EXAMPLE

SOAK = "--soak-duration=5s"

HOURS = "Write for example 4 or 0.5."
DURATION = "a duration such as 90s, 15m, 4h or 1h30m"
UNIT = "Give a number and a unit."
WRONG_OPTIONS = [  # option, value, constraint, fix
    ("--soak-hours", "nan", "finite and above 0", HOURS),
    ("--soak-hours", "inf", "finite and above 0", HOURS),
    ("--soak-hours", "-1", "finite and above 0", HOURS),
    ("--soak-hours", "0", "finite and above 0", HOURS),
    ("--soak-hours", "abc", "a number of hours such as 4 or 0.5", "For other units use --soak-duration."),
    ("--soak-duration", "5", DURATION, UNIT),
    ("--soak-duration", "10x", DURATION, UNIT),
    ("--soak-duration", "-5s", DURATION, UNIT),
    ("--soak-duration", "0s", "finite and above 0", "Write for example 90s."),
    ("--resilience-intensity", "medum", "one of low, medium, high, extreme", "Did you mean 'medium'?"),
    ("--resilience-seed", "-1", "a whole number of at least 0", ""),
    ("--resilience-seed", "abc", "a whole number of at least 0", ""),
    ("--resilience-seed", str(2**64), f"at most {2**63 - 1}", ""),
    ("--resilience-dir", "", "the path of a directory", ""),
    ("--soak-rate", "fast", EXAMPLE, "Give a number, and /s, /min or /h."),
    ("--soak-think-time", "0s", "above 0", "Leave it out for no rest."),
    ("--soak-min-iterations", "0", "a whole number of at least 1", ""),
    (
        *("--soak-iteration-timeout", "5", "a duration such as 90s, 15m, 4h or 1h30m"),
        "Give a number and a unit.",
    ),
]
WRONG_COMBINATIONS = [
    (("--soak-hours=1", SOAK), "--soak-hours and --soak-duration both set the duration. Give one."),
    (("--soak-plan",), "--soak-plan needs a duration. Add --soak-hours=4 or --soak-duration=90s."),
    *(
        ((flag,), f"{flag.partition('=')[0]} needs a duration. Add --soak-hours=4 or --soak-duration=90s.")
        for flag in (
            *("--soak-all", "--soak-fail-fast", "--soak-rate=5/s", "--soak-think-time=1s"),
            *("--soak-min-iterations=5", "--soak-iteration-timeout=0"),
        )
    ),
]
WRONG_INI = [  # ini name, value, constraint, fix
    ("resilience_memory_interval", "0s", "finite and above 0", "Write for example 90s."),
    ("resilience_timeout_probability", "2", "a number above 0 and at most 1", ""),
    ("resilience_valuation_exception_rate", "nan", "a number above 0 and at most 1", ""),
    ("resilience_enable_chaos_testing", "maybe", "true or false", ""),
    ("resilience_max_concurrent_chaos", "0", "a whole number of at least 1", ""),
    ("resilience_max_concurrent_chaos", "many", "a whole number of at least 1", ""),
    ("resilience_intensity", "hgh", "one of low, medium, high, extreme", "Did you mean 'high'?"),
    ("resilience_max_system_memory_percent", "-1", "a number above 0 and at most 100", ""),
]
WRITTEN = "Write for example memory_growth_percent < 10"
WRONG_LINES = [  # ini name, line, what the message names, value, constraint, fix
    (
        *("resilience_criteria", "memory_groth_percent < 10"),
        *("Each name in resilience_criteria", "memory_groth_percent", "a criterion"),
        "Did you mean 'memory_growth_percent'?",
    ),
    (
        *("resilience_criteria", "memory_growth_percent =< 10"),
        *("resilience_criteria: memory_growth_percent comparison", "=<", "one of < <= == >= >"),
        f"{WRITTEN}.",
    ),
    (
        *("resilience_criteria", "memory_growth_percent < nan"),
        *("resilience_criteria: memory_growth_percent", "nan", "a finite number without a unit"),
        "",
    ),
    (
        *("resilience_criteria", "memory_growth_percent"),
        *("Each line of resilience_criteria", "memory_growth_percent", "CRITERION COMPARISON VALUE"),
        f"{WRITTEN}, or memory_growth_percent < 10 abort after 3m.",
    ),
    (
        *("soak_phases", "CHAOS_INJECTON = 20%"),
        *("Each name in soak_phases", "CHAOS_INJECTON", "a phase that has a budget"),
        "Did you mean 'CHAOS_INJECTION'?",
    ),
    (
        *("soak_phases", "CHAOS_INJECTION 20%"),
        *("Each line of soak_phases", "CHAOS_INJECTION 20%", "PHASE = BUDGET"),
        "Write for example CHAOS_INJECTION = 20%.",
    ),
    (
        *("soak_phases", "CHAOS_INJECTION = nan%"),
        *("soak_phases: CHAOS_INJECTION", "nan%", "a percentage from 0 to 100, or a duration"),
        "",
    ),
    (
        *("soak_phases", "CHAOS_INJECTION = 30s"),
        *("The sum of soak_phases", "30.0s", "at most the run's 5.0s"),
        "",
    ),
]


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a test that leaves a trace when it is run, and load no other plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import pathlib
        import pytest

        @pytest.mark.soak
        def test_quote():
            pathlib.Path("run").touch()
        """
    )


def assert_refused(pytester: pytest.Pytester, message: str, *arguments: str) -> None:
    """Run pytest: it must end with this line and exit 4, before it runs or writes anything."""
    result = pytester.runpytest("-p", "pytest_resilience.plugin", *arguments)
    assert [line for line in result.errlines if line] == [f"ERROR: {message}"]
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.outlines == []
    assert not (pytester.path / ".resilience").exists()
    assert not (pytester.path / "run").exists()


def sentence(name: str, value: str, constraint: str, fix: str) -> str:
    """Write the form that every message about a value has."""
    return f"{name} must be {constraint}, not {value!r}. {fix}".strip()


@pytest.mark.parametrize(("option", "value", "constraint", "fix"), WRONG_OPTIONS)
def test_a_wrong_option_is_one_line_and_exit_4(
    pytester: pytest.Pytester, option: str, value: str, constraint: str, fix: str
) -> None:
    """A wrong option stops pytest, in a soak or not."""
    assert_refused(pytester, sentence(option, value, constraint, fix), f"{option}={value}")


@pytest.mark.parametrize(("arguments", "message"), WRONG_COMBINATIONS)
def test_options_that_do_not_go_together_are_one_line_and_exit_4(
    pytester: pytest.Pytester, arguments: tuple[str, ...], message: str
) -> None:
    """Options that contradict each other, or lack another one, stop pytest."""
    assert_refused(pytester, message, *arguments)


@pytest.mark.parametrize(("name", "value", "constraint", "fix"), WRONG_INI)
def test_a_wrong_ini_value_is_one_line_and_exit_4(
    pytester: pytest.Pytester, name: str, value: str, constraint: str, fix: str
) -> None:
    """A wrong ini value stops pytest, in a soak or not."""
    pytester.makeini(f"[pytest]\n{name} = {value}")
    assert_refused(pytester, sentence(name, value, constraint, fix))


@pytest.mark.parametrize(("name", "line", "label", "value", "constraint", "fix"), WRONG_LINES)
def test_a_wrong_line_of_an_ini_value_is_one_line_and_exit_4(
    pytester: pytest.Pytester, name: str, line: str, label: str, value: str, constraint: str, fix: str
) -> None:
    """A wrong criterion or budget stops a soak before it begins."""
    pytester.makeini(f"[pytest]\n{name} =\n    {line}")
    assert_refused(pytester, sentence(label, value, constraint, fix), SOAK)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("resilience_enable_chaos_testin", "Did you mean 'resilience_enable_chaos_testing'?"),
        ("soak_phase", "Did you mean 'soak_phases'?"),
        ("soak_hours", "Give it as the option --soak-hours."),
    ],
)
def test_a_misspelled_ini_name_is_one_line_and_exit_4(pytester: pytest.Pytester, name: str, fix: str) -> None:
    """In the file and by -o alike; its value would be ignored."""
    assert_refused(pytester, f"There is no ini value {name!r}. {fix}", "-o", f"{name}=1")
    pytester.makeini(f"[pytest]\n{name} = 1")
    assert_refused(pytester, f"There is no ini value {name!r}. {fix}")


def test_ini_names_of_others_are_theirs(pytester: pytest.Pytester) -> None:
    """A conftest may declare a name that looks like ours, and what looks like none of ours is not judged."""
    pytester.makeconftest('def pytest_addoption(parser): parser.addini("soak_room", "theirs")')
    pytester.makeini("[pytest]\nsoak_room = 1\nother = 2")
    result = pytester.runpytest("-p", "pytest_resilience.plugin", "-o", "soak_room=2")
    result.assert_outcomes(passed=1, warnings=1)


def test_an_option_wins_over_the_ini_value(pytester: pytest.Pytester) -> None:
    """What is written on the command line is what counts."""
    pytester.makeini("[pytest]\nresilience_seed = 5\nresilience_intensity = high")
    arguments = ("-p", "pytest_resilience.plugin", SOAK, "--collect-only")
    assert "resilience: soak of 5.0s, seed 5, intensity high" in pytester.runpytest(*arguments).outlines
    options = ("--resilience-seed=7", "--resilience-intensity=low")
    assert (
        "resilience: soak of 5.0s, seed 7, intensity low" in pytester.runpytest(*arguments, *options).outlines
    )


def test_help_names_every_option(pytester: pytest.Pytester) -> None:
    """`pytest --help` shows the options and the ini values, `--markers` the marker."""
    shown = pytester.runpytest("-p", "pytest_resilience.plugin", "--help").stdout.str()
    for name in ("--soak-hours=HOURS", "--soak-duration", "--soak-plan", "--soak-all", "soak_phases"):
        assert name in shown
    markers = pytester.runpytest("-p", "pytest_resilience.plugin", "--markers").stdout.str()
    assert "@pytest.mark.soak(weight=1, survives=[]): loop this test in a soak" in markers
