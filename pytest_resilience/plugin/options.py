"""The options table as pytest's options and ini values."""

from collections.abc import Iterable
from copy import copy
from functools import partial
from typing import Literal

import pytest

from pytest_resilience.errors import SettingsError, did_you_mean
from pytest_resilience.option_table import OPTIONS, ini_name
from pytest_resilience.plugin import pytest_private as private
from pytest_resilience.settings import Given, Settings, given_settings, load_settings

_LINES: Literal["linelist"] = "linelist"
OUR_PREFIXES = ("resilience_", "soak_")
_TEXT: Literal["string"] = "string"

SETTINGS = pytest.StashKey[Settings]()


def add_options(parser: pytest.Parser) -> None:
    """Declare every row of the table."""
    group = parser.getgroup("resilience", "proof of resilience (pytest-resilience)")
    for option in OPTIONS:
        if option.flag and option.switch:
            group.addoption(option.flag, action="store_true", default=None, help=option.help)
        elif option.flag and option.bare:
            group.addoption(
                option.flag,
                nargs="?",
                const=option.bare,
                default=None,
                metavar=option.metavar,
                help=option.help,
            )
        elif option.flag:
            group.addoption(option.flag, default=None, metavar=option.metavar, help=option.help)
        if name := ini_name(option):
            parser.addini(name, option.help, type=_LINES if option.lines else _TEXT, default=None)


def read_settings(config: pytest.Config) -> Settings:
    """Return the settings of this run; raise UsageError (exit code 4) for a wrong name or value."""
    try:
        _reject_misspelled(private.unknown_ini_names(config))
        return load_settings(config.getoption, partial(_ini, config))
    except SettingsError as wrong:
        raise pytest.UsageError(str(wrong)) from None


def given(config: pytest.Config) -> Given:
    """Return the settings that the user gave, once `read_settings` has found them to be right."""
    return given_settings(config.getoption, partial(_ini, config))


def _ini(config: pytest.Config, name: str) -> str | list[str] | None:
    try:
        value = config.getini(name)
    except (TypeError, ValueError) as wrong:
        raise SettingsError(str(wrong)) from None
    return value if isinstance(value, list) else str(value or "")


def spell_out_bare_flags(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Give a flag without a value its own, so that it does not take the argument behind it."""
    bare = {option.flag: f"{option.flag}={option.bare}" for option in OPTIONS if option.bare}
    if bare.keys().isdisjoint(args):
        return
    args[:] = [bare.get(argument, argument) for argument in args]
    early_config.known_args_namespace = parser.parse_known_args(args, namespace=copy(early_config.option))


def _reject_misspelled(unknown: Iterable[str]) -> None:
    """Raise SettingsError for a name that looks like ours: its value would be ignored in silence."""
    known = [name for option in OPTIONS if (name := ini_name(option))]
    flags = {option.flag.lstrip("-").replace("-", "_"): option.flag for option in OPTIONS}
    for name in sorted(unknown):
        if name in flags:
            raise SettingsError(f"There is no ini value {name!r}. Give it as the option {flags[name]}.")
        if name.startswith(OUR_PREFIXES):
            raise SettingsError(f"There is no ini value {name!r}. {did_you_mean(name, known)}")
