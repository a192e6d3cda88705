"""The markers `soak`, `chaos` and `leak_limit`; a wrong one fails its own test."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from inspect import signature

import pytest

from pytest_resilience.plugin.fixtures import CHAOS
from pytest_resilience.plugin.options import SETTINGS
from pytest_resilience.plugin.soak_marks import SurvivesCheck, soak_mistake, survives_of

MARKERS = (
    (
        "soak(weight=1, survives=[]): loop this test in a soak (pytest --soak-hours=4); without one it runs "
        "once like any test. A round of the soak runs it `weight` times; under the scenarios that it "
        "`survives` it must pass."
    ),
    (
        "chaos(scenario, target=None, **parameters): inject a fault while the body of the test runs, such as "
        'chaos("provider_timeout", target="odds_provider", probability=0.2). It takes what chaos.inject() '
        "takes (seam, duration, must_fire …). A fault that never fired fails the test (must_fire=False: not)."
    ),
    (
        'leak_limit(memory="1 KiB per iteration", iterations=200, fds=None, threads=None, children=None): '
        "loop this test, and fail it if each of 3 rounds leaves more memory, descriptors, threads or child "
        "processes than that. In a soak it is not looped: the soak loops it."
    ),
)
CHAOS_FIXTURE = "chaos"
EXAMPLE = '@pytest.mark.chaos("provider_timeout", target="odds_provider")'
NO_ENGINE = (
    "@pytest.mark.chaos has no effect here: the marker was added after the collection, or a fixture of yours "
    "is named 'chaos', too. Add it at the collection, or give the fixture another name."
)


def _chaos_marker(scenario: str, target: str | None = None, **parameters: object) -> None:
    """What the marker takes."""


class WrongMarkers:
    """Fails the tests whose marker is wrong; registered only where there are some."""

    def __init__(self, mistakes: dict[str, str]) -> None:
        self._mistakes = mistakes

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        mistake = self._mistakes.get(item.nodeid)
        if mistake:
            pytest.fail(mistake, pytrace=False)


class MarkedChaos:
    """Injects what a test's markers ask for, around the test itself; registered where there are some.

    Markers are as nested `with` blocks: the module's outermost, then the class's, then the test's from top to
    bottom; a call meets the innermost first. Fixtures do not meet the faults; but setUp and tearDown of a
    TestCase are a part of the test itself for pytest.
    """

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        markers = list(item.iter_markers("chaos"))
        if not markers:
            return (yield)
        engine = item.stash.get(CHAOS, None)
        if engine is None:
            pytest.fail(NO_ENGINE, pytrace=False)
        from pytest_resilience.errors import ResilienceError

        with ExitStack() as removals:
            try:
                for marker in reversed(markers):
                    removals.enter_context(engine.inject(*marker.args, **marker.kwargs))
            except ResilienceError as wrong:
                mistake = str(wrong)
            else:
                return (yield)
        pytest.fail(mistake, pytrace=False)


def obey_markers(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Let each item whose marker is wrong fail when it is run, and prepare those that ask for a fault."""
    mistakes = {item.nodeid: mistake for item in items if (mistake := _mistake(item))}
    if mistakes:
        config.pluginmanager.register(WrongMarkers(mistakes), "resilience-wrong-markers")
    surviving = [item for item in items if item.nodeid not in mistakes and survives_of(item)]
    if surviving:
        config.pluginmanager.register(SurvivesCheck(surviving), SurvivesCheck.NAME)
    _loop_limited([item for item in items if item.nodeid not in mistakes], config)
    marked = [item for item in items if item.get_closest_marker("chaos") and item.nodeid not in mistakes]
    for item in marked:
        _ask_for_chaos(item)
    if marked:
        config.pluginmanager.register(MarkedChaos(), "resilience-marked-chaos")


def _loop_limited(items: Sequence[pytest.Item], config: pytest.Config) -> None:
    """Have the items with a limit looped, unless a soak does that."""
    limited = [item for item in items if item.get_closest_marker("leak_limit")]
    if limited and not config.stash[SETTINGS].soaking:
        from pytest_resilience.plugin.leak_marks import LeakLoops

        config.pluginmanager.register(LeakLoops(limited), LeakLoops.PLUGIN)


def _ask_for_chaos(item: pytest.Item) -> None:
    """Let the fixture be set up for this test; the list of names may be shared with other tests."""
    names = getattr(item, "fixturenames", [])
    if CHAOS_FIXTURE not in names:
        item.fixturenames = [*names, CHAOS_FIXTURE]  # type: ignore[attr-defined]


def _mistake(item: pytest.Item) -> str:
    if wrong := soak_mistake(item) or _wrong_limit(item):
        return wrong
    for marker in item.iter_markers("chaos"):
        if wrong := _mistake_in(marker):
            return f"@pytest.mark.chaos is wrong ({wrong}): {_written(marker)}. Write {EXAMPLE}."
        if not hasattr(item, "fixturenames"):
            kind = type(item).__name__
            return f"@pytest.mark.chaos must be on a test function, not on {kind} {item.name!r}."
    return ""


def _wrong_limit(item: pytest.Item) -> str:
    if item.get_closest_marker("leak_limit") is None:
        return ""
    from pytest_resilience.plugin.leak_marks import leak_mistake

    return leak_mistake(item)


def _mistake_in(marker: pytest.Mark) -> str:
    """Say what is wrong with how the marker is called; what it names is checked when it is injected."""
    try:
        given = signature(_chaos_marker).bind(*marker.args, **marker.kwargs).arguments
    except TypeError as wrong:
        return str(wrong)
    target = given.get("target")
    if not (target is None or isinstance(target, str)):
        return "the target is no name of a service"
    return "" if _is_scenario(given["scenario"]) else "the scenario is no name"


def _is_scenario(given: object) -> bool:
    if isinstance(given, str):
        return True
    from pytest_resilience.chaos.scenario import CustomScenario

    return isinstance(given, CustomScenario)


def _written(marker: pytest.Mark) -> str:
    keywords = (f"{key}={value!r}" for key, value in marker.kwargs.items())
    return f"{marker.name}({', '.join([*map(repr, marker.args), *keywords])})"
