"""What @pytest.mark.soak says beyond itself: how often a test is run, and which faults it must survive."""

from collections.abc import Mapping, Sequence
from inspect import signature

import pytest

from pytest_resilience.errors import ResilienceError, requirement

MOST_WEIGHT = 1000
EXAMPLE = '@pytest.mark.soak(weight=3, survives=["latency_spike"])'


def _soak_marker(*, weight: int = 1, survives: Sequence[str] = ()) -> None:
    """What the marker takes."""


def weight_of(item: pytest.Item) -> int:
    """Return how often a round runs the test; its marker must be right."""
    weight: int = _given(item).get("weight", 1)  # type: ignore[assignment]
    return weight


def survives_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the scenarios under which the test must pass; its marker must be right."""
    names: Sequence[str] = _given(item).get("survives", ())  # type: ignore[assignment]
    return tuple(names)


def soak_mistake(item: pytest.Item) -> str:
    """Say what is wrong with the markers of a test, or return an empty string."""
    for marker in item.iter_markers("soak"):
        try:
            signature(_soak_marker).bind(*marker.args, **marker.kwargs)
        except TypeError as wrong:
            written = ", ".join([*map(repr, marker.args), *(f"{k}={v!r}" for k, v in marker.kwargs.items())])
            return f"@pytest.mark.soak is wrong ({wrong}): soak({written}). Write {EXAMPLE}."
        wrong_value = _wrong_value(marker.kwargs)
        if wrong_value:
            return f"@pytest.mark.soak: {wrong_value}"
    return ""


def _given(item: pytest.Item) -> Mapping[str, object]:
    """Return the arguments of all markers of a test; the nearest one that gives an argument wins."""
    given: dict[str, object] = {}
    for marker in item.iter_markers("soak"):
        given = {**marker.kwargs, **given}
    return given


def _wrong_value(given: Mapping[str, object]) -> str:
    weight, names = given.get("weight", 1), given.get("survives", ())
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= MOST_WEIGHT:
        return requirement("weight", f"a whole number from 1 to {MOST_WEIGHT}", weight)
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(one, str) for one in names):
        fix = 'Write survives=["latency_spike"].'
        return requirement("survives", "a list of the names of scenarios", names, fix)
    return ""


class SurvivesCheck:
    """Fails a test that names a scenario which does not exist, when it is first set up."""

    NAME = "resilience-survives-check"

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._unchecked = {item.nodeid for item in items}
        self._mistakes: dict[str, str] = {}

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.nodeid in self._unchecked:
            self._unchecked.remove(item.nodeid)
            self._check(item)
        mistake = self._mistakes.get(item.nodeid)
        if mistake:
            pytest.fail(mistake, pytrace=False)

    def _check(self, item: pytest.Item) -> None:
        from pytest_resilience.chaos.scenarios import Catalogue
        from pytest_resilience.plugin.engine import given_scenarios

        try:
            catalogue = Catalogue(given_scenarios(item.ihook, item.config))
            for name in survives_of(item):
                catalogue.named(name)
        except ResilienceError as wrong:
            self._mistakes[item.nodeid] = f"@pytest.mark.soak: survives: {wrong}"
