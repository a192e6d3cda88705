"""The settings of a run that is in the store: the same again, for whoever resumes or reports it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_resilience.errors import SettingsError, requirement
from pytest_resilience.option_table import OPTIONS, ini_name
from pytest_resilience.settings import Given, Settings, defaults

OF_THE_PROCESS = ("directory", "resume")
"""Fields that may differ from those that a run was begun with."""

NAMES = {option.field: option.flag or ini_name(option) for option in OPTIONS}
"""What a user calls each field."""


def stored_settings(text: str) -> Settings:
    """Return the settings that `Settings.to_json` wrote; raise SettingsError if another version did."""
    given, known = json.loads(text), defaults()
    if unknown := sorted(given.keys() - known.keys()):
        raise SettingsError(
            f"The run was begun with settings that this version does not know: {', '.join(unknown)}. "
            "Use the version of pytest-resilience that began it."
        )
    return Settings(**{name: _typed(value, known[name]) for name, value in given.items()})


def _typed(value: Any, default: object) -> Any:
    """Return a value of a JSON object as the field with this default has it."""
    if isinstance(default, tuple):
        return tuple(value)
    return Path(value) if isinstance(default, Path) else value


def difference(stored: Settings, asked: Settings) -> str:
    """Name an option that differs from the run's, with both values (durations in seconds), or return nothing.

    A seed differs only if one is asked for.
    """
    free = {*OF_THE_PROCESS, *(["seed"] if asked.seed is None else [])}
    for field, default in defaults().items():
        was, now = getattr(stored, field), getattr(asked, field)
        if field not in free and was != now:
            return f"{NAMES.get(field, field)} {_written(was, default)}, not {_written(now, default)}"
    return ""


def resumed_settings(stored: Settings, given: Given, test_id: str) -> Settings:
    """Return the settings of a run that is resumed: those that it was begun with, wherever it lies now.

    Raise SettingsError if something was given that contradicts them.
    """
    for field, (name, value) in given.items():
        was = getattr(stored, field)
        if field not in OF_THE_PROCESS and value != was:
            fix = "Leave it out to resume that run, or begin a new one."
            raise SettingsError(
                requirement(name, f"{_written(was, None)}, as {test_id} was begun", value, fix)
            )
    values: dict[str, Any] = {field: value for field, (_, value) in given.items() if field in OF_THE_PROCESS}
    return replace(stored, **values)


def _written(value: object, left_out: object) -> str:
    return "left out" if value == left_out else repr(value)
