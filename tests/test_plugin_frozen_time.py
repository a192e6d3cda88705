"""Suites that freeze the time of their tests (freezegun) are soaked by a clock that goes on."""

import time
from collections.abc import Mapping

import freezegun
import pytest
from plugin_soaks import CONFTEST, MOSTLY_CHAOS, NO_HOST, Finished, Project, run_together

from pytest_resilience.clock import SystemClock

FROZEN = """
import time
import pytest
import shop
from freezegun import freeze_time

@pytest.mark.soak
@freeze_time("2012-01-14")
def test_quote():
    assert shop.quote("game-1") > 0
    assert time.time() == time.monotonic() == 1326499200

@pytest.mark.soak
def test_within_a_test():
    with freeze_time("2040-01-01") as frozen:
        frozen.tick(3600)
        assert shop.quote("game-1") > 0
"""
ALL_FROZEN = f"""{CONFTEST}
@pytest.fixture(scope="session", autouse=True)
def frozen(world):
    from freezegun import freeze_time
    with freeze_time("2012-01-14"):
        yield
"""
SECONDS = 8
OPTIONS = (f"--soak-duration={SECONDS}s",)
INI = NO_HOST + MOSTLY_CHAOS
RUNS = {
    "each test": Project(OPTIONS, INI, {"test_shop.py": FROZEN}),
    "the session": Project(OPTIONS, INI, {"conftest.py": ALL_FROZEN}),
    "two workers": Project((*OPTIONS, "-n2"), INI, {"test_shop.py": FROZEN}, ("xdist.plugin",)),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Run them all."""
    return run_together(tmp_path_factory.mktemp("frozen"), RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_soak_of_frozen_tests_takes_its_time(runs: Mapping[str, Finished], name: str) -> None:
    """All phases run, faults fire and recover, and memory is sampled."""
    run = runs[name]
    assert run.report["status"] == "complete", run.output
    assert SECONDS - 1 <= run.report["seconds"] < 10 * SECONDS, run.output
    assert run.report["failures"] == [], run.output
    fired = [event for event in run.report["events"] if event["fired"]]
    assert fired, run.output
    times = [event["recovery_seconds"] for event in fired if event["outcome"] == "recovered"]
    assert times, run.output
    assert 0 <= min(times) <= max(times) < 10 * SECONDS
    assert "INTERNALERROR" not in run.output


def test_the_clock_goes_on_while_the_time_of_modules_is_frozen() -> None:
    """It is the machine's, and not what freezegun puts in its place."""
    with freezegun.freeze_time("2012-01-14"):
        frozen = time.monotonic()
        first = SystemClock().now()
        assert time.monotonic() == frozen
        while SystemClock().now() == first:
            pass
    assert 0 < SystemClock().now() - first < 60
