"""The pytest side: options, hooks, fixtures, markers and terminal; only here is pytest imported.

A run that does not use the plugin pays for this module alone: whatever is heavy is imported where it is used.
"""

import sys

import pytest

from pytest_resilience.plugin import hookspecs
from pytest_resilience.plugin.breaker_fixtures import breaker_tester, circuit_breaker
from pytest_resilience.plugin.fixtures import (
    chaos,
    memory_sampler,
    resilience_breakers,
    resilience_disk,
    resilience_processes,
    resilience_services,
    resilience_signals,
    service_address,
    sweep_engines,
)
from pytest_resilience.plugin.markers import MARKERS, obey_markers
from pytest_resilience.plugin.options import SETTINGS, add_options, read_settings, spell_out_bare_flags

__all__ = [
    "breaker_tester",
    "chaos",
    "circuit_breaker",
    "memory_sampler",
    "resilience_breakers",
    "resilience_disk",
    "resilience_processes",
    "resilience_services",
    "resilience_signals",
    "service_address",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> None:
    spell_out_bare_flags(early_config, parser, args)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    settings = read_settings(config)
    config.stash[SETTINGS] = settings
    if settings.soaking:
        from pytest_resilience.plugin.soak_plugin import activate

        activate(config, settings)
    elif settings.report is not None:
        from pytest_resilience.plugin.report_plugin import activate_report

        activate_report(config, settings)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Clean up in place of running tests, if that was asked for."""
    if not config.option.resilience_cleanup or config.option.help:
        return None
    from pytest_resilience.plugin.cleanup import clean_up

    return clean_up(config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    obey_markers(config, items)
    if "pyfakefs" in sys.modules:
        from pytest_resilience.plugin.real_files import keep_real_files

        keep_real_files(config, items)


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    """Tell what went wrong in the helper process, if one was started."""
    engine = sys.modules.get("pytest_resilience.plugin.engine")
    outside = config.stash.get(engine.OUTSIDE, None) if engine is not None else None
    for trouble in dict.fromkeys(outside.supervisor.troubles if outside is not None else ()):
        terminalreporter.write_line(f"resilience: {trouble}")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Whatever ended the session, no fault stays armed."""
    sweep_engines(session.config)
    ledger = sys.modules.get("pytest_resilience.chaos.ledger")
    if ledger is not None:
        ledger.LEDGER.sweep()
