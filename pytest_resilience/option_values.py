"""How the text of an option becomes its value; a wrong one raises SettingsError."""

import math
from pathlib import Path

from pytest_resilience.errors import SettingsError, did_you_mean, requirement

INTENSITIES = ("low", "medium", "high", "extreme")
LATEST, AUTO = "latest", "auto"
RUN_WORDS = {"--soak-resume": f"{LATEST} or {AUTO}", "--soak-report": LATEST}
"""What stands for a run instead of its id, by option."""

FAN_OUTS = ("in_turn", "parallel")
MOST_RETRIES = 10
STRICTNESSES = ("scenarios", "wrong", "strict")
LARGEST_SEED = 2**63 - 1  # the largest integer of the run's file

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def _whole(text: str, name: str, lowest: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = lowest - 1
    if number < lowest:
        raise SettingsError(requirement(name, f"a whole number of at least {lowest}", text))
    return number


def read_count(text: str, name: str) -> int:
    return _whole(text, name, 1)


def read_retries(text: str, name: str) -> int:
    number = _whole(text, name, 0)
    if number > MOST_RETRIES:
        raise SettingsError(requirement(name, f"at most {MOST_RETRIES}", text))
    return number


def read_fan_out(text: str, name: str) -> str:
    if text in FAN_OUTS:
        return text
    raise SettingsError(requirement(name, "in_turn or parallel", text, did_you_mean(text, FAN_OUTS)))


def read_seed(text: str, name: str) -> int:
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


def read_share(text: str, name: str) -> float:
    return _number(text, name, 0, 1)


def read_percent(text: str, name: str) -> float:
    return _number(text, name, 0, 100)


def read_growth(text: str, name: str) -> float:
    return _number(text, name, 0, 10_000)


def read_flag(text: str, name: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise SettingsError(requirement(name, "true or false", text))


def read_rate(text: str, name: str) -> str:
    from pytest_resilience.rates import parse_rate  # only who gives one needs it

    parse_rate(text, name)
    return text


def read_think_time(text: str, name: str) -> str:
    from pytest_resilience.rates import parse_think_time

    parse_think_time(text, name)
    return text


def read_intensity(text: str, name: str) -> str:
    return _one_of(INTENSITIES, text, name)


def read_strictness(text: str, name: str) -> str:
    return _one_of(STRICTNESSES, text, name)


def _one_of(known: tuple[str, ...], text: str, name: str) -> str:
    if text in known:
        return text
    constraint = f"one of {', '.join(known)}"
    raise SettingsError(requirement(name, constraint, text, did_you_mean(text, known)))


def read_directory(text: str, name: str) -> Path:
    if not text.strip():
        raise SettingsError(requirement(name, "the path of a directory", text))
    return Path(text)


def read_run_id(text: str, name: str) -> str:
    if not text.strip() or Path(text).name != text:
        fix = "The folders in .resilience/runs are named by them."
        raise SettingsError(requirement(name, f"the id of a run, or {RUN_WORDS[name]}", text, fix))
    return text
