"""The chaos engine as the settings ask for it."""

from collections.abc import Iterable
from dataclasses import replace

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.scenarios import Shares, shares_at
from pytest_resilience.services import Service
from pytest_resilience.settings import Settings


def soak_chaos(services: Iterable[Service], settings: Settings) -> Chaos:
    """Return the engine of a soak: it hits the shares of calls that the intensity and the options ask for."""
    return _chaos(services, settings, _shares(settings))


def fixture_chaos(services: Iterable[Service], settings: Settings) -> Chaos:
    """Return the engine of an ordinary test: its faults hit every call, unless told otherwise."""
    return _chaos(services, settings, Shares(1, 1, 1))


def _chaos(services: Iterable[Service], settings: Settings, shares: Shares) -> Chaos:
    seed, most = settings.seed or 0, settings.max_concurrent_chaos
    return Chaos(services, seed=seed, shares=shares, max_concurrent=most)


def _shares(settings: Settings) -> Shares:
    given = {
        "provider_timeout": settings.timeout_probability,
        "valuation_exception": settings.valuation_exception_rate,
        "latency_spike": settings.latency_spike_probability,
    }
    chosen = {scenario: share for scenario, share in given.items() if share is not None}
    return replace(shares_at(settings.intensity), **chosen)
