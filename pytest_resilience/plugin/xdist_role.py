"""Which part a process plays under pytest-xdist: none, controller or worker."""

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_resilience.settings import Settings

CHANNEL, SETTINGS_OF_THE_RUN = "resilience_channel", "resilience_settings"
"""What the controller puts into `workerinput`."""


def workerinput(config: pytest.Config) -> Mapping[str, Any]:
    """Return what the controller gave this worker; empty in a process that is none."""
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    return given


def asked_workers(config: pytest.Config) -> int:
    """Return how many workers pytest-xdist was asked for."""
    if getattr(config.option, "dist", "no") == "no":
        return 0
    return len(getattr(config.option, "tx", None) or ())


def is_distributed(config: pytest.Config, settings: Settings) -> bool:
    """Tell whether pytest-xdist will start workers; where no test is to be run, keep it from doing so."""
    option = config.option
    if not asked_workers(config):
        return False
    if settings.plan_only or getattr(option, "setuponly", False):
        option.dist, option.tx, option.numprocesses = "no", [], 0
    return option.dist != "no" and not option.collectonly
