"""Hooks for extensions: scenarios of your own, and news of each fault."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_resilience.chaos.records import ChaosEvent
    from pytest_resilience.chaos.scenario import CustomScenario


@pytest.hookspec
def pytest_resilience_scenarios(config: pytest.Config) -> "Sequence[CustomScenario]":
    """Return a list of scenarios of your own: they can be injected by name, and a soak injects them too.

    In a conftest of a subfolder it is for the tests there, and for a soak of any of them.
    """
    raise NotImplementedError


@pytest.hookspec
def pytest_resilience_event(event: "ChaosEvent", change: str) -> None:
    """Learn that a fault was "armed", has "fired", was "removed", or that the suite "recovered" or "gave up".

    In a test, "fired" is told with the removal, there is no recovery, and the event's times are in seconds
    since it was armed; in a soak they are in seconds since the run began. Called on the tests' thread, in a
    soak between two iterations, in a test at once; a removal after a `duration` is told with the next change
    or at the end of the test.

    What a hook raises keeps no fault from being removed. A test fails with the first error in its teardown; a
    soak tells it at once, goes on, and fails at its end. pytest.exit() ends the session.
    """
    raise NotImplementedError
