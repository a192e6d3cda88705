"""The marker `soak`; a wrong one fails its own test."""

from collections.abc import Sequence

import pytest

SOAK_MARKER = (
    "soak: loop this test in a soak (pytest --soak-hours=4); without one it runs once like any test."
)


class WrongMarkers:
    """Fails the tests whose marker is wrong; registered only where there are some."""

    def __init__(self, mistakes: dict[str, str]) -> None:
        self._mistakes = mistakes

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        mistake = self._mistakes.get(item.nodeid)
        if mistake:
            pytest.fail(mistake, pytrace=False)


def refuse_wrong_markers(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Let each of the items whose marker has arguments fail when it is run."""
    mistakes = {item.nodeid: mistake for item in items if (mistake := _mistake(item))}
    if mistakes:
        config.pluginmanager.register(WrongMarkers(mistakes), "resilience-wrong-markers")


def _mistake(item: pytest.Item) -> str:
    marker = item.get_closest_marker("soak")
    if marker is None or not (marker.args or marker.kwargs):
        return ""
    keywords = (f"{key}={value!r}" for key, value in marker.kwargs.items())
    given = ", ".join([*map(repr, marker.args), *keywords])
    return f"@pytest.mark.soak must be without arguments, not soak({given})."
