"""The pytest side: options, hooks, fixtures, markers and terminal; only here is pytest imported.

A run that does not use the plugin pays for this module alone: whatever is heavy is imported where it is used.
"""

import sys

import pytest

from pytest_resilience.plugin.fixtures import chaos, resilience_breakers, resilience_services
from pytest_resilience.plugin.markers import SOAK_MARKER, refuse_wrong_markers
from pytest_resilience.plugin.options import SETTINGS, add_options, read_settings

__all__ = ["chaos", "resilience_breakers", "resilience_services"]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", SOAK_MARKER)
    settings = read_settings(config)
    config.stash[SETTINGS] = settings
    if settings.soaking:
        from pytest_resilience.plugin.soak_plugin import activate

        activate(config, settings)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    refuse_wrong_markers(config, items)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Whatever ended the session, no fault stays armed."""
    ledger = sys.modules.get("pytest_resilience.chaos.ledger")
    if ledger is not None:
        ledger.LEDGER.sweep()
