"""The chaos engine as the settings and the user's hooks ask for it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from pluggy import HookRelay

from pytest_resilience.chaos.engine import Chaos, Injection
from pytest_resilience.chaos.outside import Outside
from pytest_resilience.chaos.scenario import CustomScenario
from pytest_resilience.chaos.shares import EVERY_CALL, Shares, shares_at
from pytest_resilience.chaos.supervisor.notebook import OUTSIDE as NOTES
from pytest_resilience.errors import ResilienceError, ScenarioError, requirement
from pytest_resilience.plugin.mistakes import raised_text
from pytest_resilience.plugin.options import SETTINGS
from pytest_resilience.services import Service
from pytest_resilience.settings import Settings

OUTSIDE = pytest.StashKey[Outside]()

SCENARIOS_HOOK = "pytest_resilience_scenarios"


def soak_chaos(services: Iterable[Service], config: pytest.Config) -> Chaos:
    """Return the engine of a soak: as strong as the intensity and the options ask for."""
    settings = config.stash[SETTINGS]
    return _chaos(services, config, config.hook, _shares(settings), chosen=settings.scenario_lines)


def fixture_chaos(
    services: Iterable[Service], node: pytest.Item, changed: Callable[[Injection, str], None]
) -> Chaos:
    """Return the engine of an ordinary test: its faults hit every call, unless told otherwise.

    Only the hooks of the test's own folders are asked for scenarios.
    """
    return _chaos(services, node.config, node.ihook, EVERY_CALL, changed=changed)


def outside_of(config: pytest.Config) -> Outside:
    """Return what this session has outside of its process; it ends with the session."""
    if OUTSIDE not in config.stash:
        notes = config.rootpath / config.stash[SETTINGS].directory / NOTES
        config.stash[OUTSIDE] = outside = Outside(notes)
        config.add_cleanup(outside.close)
    return config.stash[OUTSIDE]


def _chaos(
    services: Iterable[Service],
    config: pytest.Config,
    hooks: HookRelay,
    shares: Shares,
    *,
    chosen: Sequence[str] = (),
    changed: Callable[[Injection, str], None] = lambda injection, change: None,
) -> Chaos:
    settings = config.stash[SETTINGS]
    return Chaos(
        services,
        seed=settings.seed or 0,
        shares=shares,
        max_concurrent=settings.max_concurrent_chaos,
        auto_recovery=settings.auto_recovery,
        allow_hosts=settings.allow_hosts,
        critical_percent=settings.critical_memory_threshold_percent,
        scenarios=given_scenarios(hooks, config),
        chosen=chosen,
        outside=outside_of(config),
        changed=changed,
    )


def given_scenarios(hooks: HookRelay, config: pytest.Config) -> list[CustomScenario]:
    """Return the scenarios of the user's hooks; raise ScenarioError if a hook raises or gives no list."""
    try:
        answers = hooks.pytest_resilience_scenarios(config=config)
    except (ResilienceError, pytest.exit.Exception):
        raise
    except Exception as error:
        raise ScenarioError(f"A hook {raised_text(SCENARIOS_HOOK, error)}.") from error
    for answer in answers:
        if isinstance(answer, str) or not isinstance(answer, Sequence):
            fix = 'Return [CustomScenario("slow_and_lossy", …)].'
            raise ScenarioError(requirement(SCENARIOS_HOOK, "a list of CustomScenario", answer, fix))
    return [scenario for answer in answers for scenario in answer]


def _shares(settings: Settings) -> Shares:
    shares = shares_at(settings.intensity)
    return replace(
        shares,
        provider_timeout=settings.timeout_probability or shares.provider_timeout,
        valuation_exception=settings.valuation_exception_rate or shares.valuation_exception,
        latency_spike=settings.latency_spike_probability or shares.latency_spike,
    )
