"""The pytest side: options, hooks, fixtures, markers and terminal; only here is pytest imported.

A run that does not use the plugin pays for this module alone: whatever is heavy is imported where it is used.
"""

import sys
from collections.abc import Generator

import pytest

from pytest_resilience.plugin.fixtures import (
    chaos,
    fail_unless_fired,
    resilience_breakers,
    resilience_services,
)
from pytest_resilience.plugin.options import SETTINGS, add_options, read_settings

__all__ = ["chaos", "resilience_breakers", "resilience_services"]

SOAK_MARKER = (
    "soak: loop this test in a soak (pytest --soak-hours=4); without one it runs once like any test."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", SOAK_MARKER)
    settings = read_settings(config)
    config.stash[SETTINGS] = settings
    if settings.soaking:
        from pytest_resilience.plugin.soak_plugin import activate

        activate(config, settings)


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("soak")
    if marker is not None and (marker.args or marker.kwargs):
        given = ", ".join(
            [*map(repr, marker.args), *(f"{key}={value!r}" for key, value in marker.kwargs.items())]
        )
        pytest.fail(f"@pytest.mark.soak must be without arguments, not soak({given}).", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test whose fault never fired has shown nothing, so it fails itself."""
    result = yield
    fail_unless_fired(item)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Whatever ended the session, no fault stays armed."""
    ledger = sys.modules.get("pytest_resilience.chaos.ledger")
    if ledger is not None:
        ledger.LEDGER.sweep()
