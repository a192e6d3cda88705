"""How fast and how often tests are run, what they must survive, and how a run ends early; in real runs."""

from collections.abc import Mapping
from itertools import accumulate

import pytest
from plugin_soaks import (
    CONFTEST,
    MOSTLY_CHAOS,
    NO_CHAOS,
    NO_MEMORY,
    SHOP,
    Finished,
    Project,
    run_together,
)

BOTH = """
import pytest
import shop

@pytest.mark.soak(weight=3)
def test_quote():
    assert shop.quote("game-1") > 0

@pytest.mark.soak
def test_bet():
    pass
"""
FAILS_LATE = """
import time
import pytest
import shop

began = time.monotonic()

@pytest.mark.soak
def test_quote():
    assert shop.quote("game-1") > 0

@pytest.mark.soak
def test_late():
    assert time.monotonic() < began + 3
"""
SURVIVES = """
import pytest
import shop

@pytest.mark.soak(survives=["valuation_exception"])
class TestShop:
    def test_fetch(self):
        assert shop.fetch("game-1") > 0

    @pytest.mark.soak(weight=2)
    def test_quote(self):
        assert shop.quote("game-1") > 0

@pytest.mark.soak
def test_fetch_as_well():
    assert shop.fetch("game-1") > 0
"""
ONE_SCENARIO = "resilience_scenarios =\n    {}\n"
EXCEPTIONS = ONE_SCENARIO.format("valuation_exception")
STEADY = {"test_shop.py": BOTH}
RAMP = "soak_rate = 0s: 0/s, 4s: 100/s\n"
SHORT_BASELINE = "soak_phases =\n    BASELINE_ESTABLISHMENT = 1s\n"
ABORT = "resilience_criteria =\n    failures_outside_faults == 0 abort\n"

PROJECTS = {
    "rate": Project(("--soak-duration=4s", "--soak-rate=50/s"), files=STEADY),
    "ramp": Project(
        ("--soak-duration=4s",), f"{NO_MEMORY}{NO_CHAOS}soak_rate = 0s: 0/s, 4s: 100/s\n", STEADY
    ),
    "too fast": Project(
        ("--soak-duration=2s", "--soak-rate=500/s"),
        files={"shop.py": SHOP.replace("0.001", "0.02"), "test_shop.py": BOTH},
    ),
    "think time": Project(("--soak-duration=3s", "--soak-think-time=20ms..60ms"), files=STEADY),
    "impossible": Project(
        ("--soak-duration=2s", "--soak-rate=40/s", "--soak-min-iterations=1000"), files=STEADY
    ),
    "plan": Project(
        ("--soak-duration=2s", "--soak-rate=40/s", "--soak-min-iterations=100", "--soak-plan"),
        NO_MEMORY,
        {"test_shop.py": SURVIVES},
    ),
    "fail fast": Project(
        ("--soak-duration=60s", "--soak-fail-fast", "--junitxml=soak.xml"),
        NO_MEMORY + EXCEPTIONS,
        {"test_shop.py": SURVIVES},
    ),
    "fail fast in a file": Project(
        ("--soak-duration=60s",),
        f"{NO_MEMORY}{NO_CHAOS}{SHORT_BASELINE}soak_fail_fast = true\n",
        {"test_shop.py": FAILS_LATE},
    ),
    "abort": Project(
        ("--soak-duration=60s",), NO_MEMORY + NO_CHAOS + SHORT_BASELINE + ABORT, {"test_shop.py": FAILS_LATE}
    ),
    "survives": Project(
        ("--soak-duration=8s",), NO_MEMORY + EXCEPTIONS + MOSTLY_CHAOS, {"test_shop.py": SURVIVES}
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Run all suites."""
    return run_together(tmp_path_factory.mktemp("budget"), PROJECTS)


def test_a_rate_is_kept_and_reported(runs: Mapping[str, Finished]) -> None:
    """In every phase; what a stall leaves undone in one is done in the next, and nothing too early."""
    run = runs["rate"]
    assert run.report["status"] == "complete", run.output
    assert run.report["iterations"] == pytest.approx(200, abs=25), "less what falls due in the start-up"
    rate = run.report["rate"]
    assert rate["profile"] == "50/s"
    assert rate["share"] == pytest.approx(1.0, abs=0.1)
    asked = list(accumulate(phase["asked"] for phase in rate["phases"]))
    reached = list(accumulate(phase["reached"] for phase in rate["phases"]))
    assert reached == [pytest.approx(sum_so_far, abs=15) for sum_so_far in asked]
    assert all(done <= wanted + 2 for done, wanted in zip(reached, asked, strict=True))
    assert "Rate 50/s: " in run.output


def test_a_ramp_is_followed(runs: Mapping[str, Finished]) -> None:
    """A quarter of the iterations in the first half; the report repeats the stages."""
    run = runs["ramp"]
    assert run.report["status"] == "complete", run.output
    assert run.report["iterations"] == pytest.approx(200, abs=10)
    assert run.phases["BASELINE_ESTABLISHMENT"]["iterations"] <= 5
    assert run.phases["RECOVERY_VALIDATION"]["iterations"] == pytest.approx(38, abs=8)
    assert run.report["settings"]["rate"] == "0s: 0/s, 4s: 100/s"


def test_a_suite_that_is_too_slow_says_how_much_it_reached(runs: Mapping[str, Finished]) -> None:
    """It runs as fast as it can, and that is no failure."""
    run = runs["too fast"]
    assert run.report["status"] == "complete", run.output
    assert run.report["rate"]["share"] < 0.3
    said = " ".join(run.output.split())
    assert "Rate 500/s: " in said
    assert "the suite was slower than that, most of all with " in said


def test_think_time_lies_between_iterations(runs: Mapping[str, Finished]) -> None:
    """40 ms on average, and some for the tests."""
    run = runs["think time"]
    assert run.report["status"] == "complete", run.output
    assert 40 <= run.report["iterations"] <= 80


def test_a_weight_is_how_often_a_round_runs_a_test(runs: Mapping[str, Finished]) -> None:
    """Three to one, and the report says so."""
    tests = runs["rate"].tests
    assert tests["test_quote"]["weight"] == 3
    assert tests["test_quote"]["iterations"] == pytest.approx(3 * tests["test_bet"]["iterations"], abs=5)


def test_iterations_that_will_not_be_reached_are_said_after_the_baseline(
    runs: Mapping[str, Finished],
) -> None:
    """After the baseline; and the run fails with the number of each test's iterations."""
    run = runs["impossible"]
    assert run.code == 1
    assert "fewest_iterations looks impossible: it needs 1,000 rounds, the run has room for" in run.output
    assert run.verdicts["fewest_iterations"] == "unmet"
    assert "fewest_iterations >= 1000 is unmet: " in run.output


def test_the_plan_shows_rate_weights_and_what_is_survived(runs: Mapping[str, Finished]) -> None:
    """And what cannot be reached, before anything runs."""
    run = runs["plan"]
    assert run.code == 0, run.output
    lines = [line.rstrip() for line in run.output.splitlines()]
    assert (
        "  test_shop.py::TestShop::test_quote: 2 times a round, must pass under valuation_exception" in lines
    )
    assert "  test_shop.py::test_fetch_as_well" in lines
    assert "rate: 40/s" in lines
    assert "an iteration that takes longer than 5m00s has hung" in lines
    assert any(line.startswith("fewest_iterations looks impossible: it needs 100 rounds") for line in lines)
    assert not run.soaked


LOST = {
    "fail fast": ("survives", "TestShop::test_fetch"),
    "fail fast in a file": ("failures_outside_faults", "test_late"),
    "abort": ("failures_outside_faults", "test_late"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_run_ends_once_a_criterion_is_lost(runs: Mapping[str, Finished], name: str) -> None:
    """Long before its time, with a report, exit 1, and no fault left behind."""
    run = runs[name]
    assert run.code == 1, run.output
    assert run.report["seconds"] < 30
    assert (run.report["status"], run.report["overall_result"]) == ("aborted", "FAILED")
    criterion, test = LOST[name]
    assert run.report["reason"].startswith(f"{criterion} == 0 cannot be met any more: ")
    assert f"test_shop.py::{test}" in run.report["reason"]
    assert run.verdicts[criterion] == "unmet"
    assert run.torn_down == "untouched"
    assert "INTERNALERROR" not in run.output


def test_a_run_that_fails_fast_is_in_the_junit_file_too(runs: Mapping[str, Finished]) -> None:
    """CI shows it as any other failure."""
    assert "cannot be met any more" in (runs["fail fast"].folder / "soak.xml").read_text("utf-8")


def test_failures_under_a_survived_fault_fail_the_run(runs: Mapping[str, Finished]) -> None:
    """Those of the tests that declare it, and of no other; the marker of a class is that of its tests."""
    run = runs["survives"]
    assert run.code == 1, run.output
    assert run.verdicts["survives"] == "unmet"
    assert run.verdicts["failures_outside_faults"] == "met"
    fetch = run.tests["TestShop::test_fetch"]
    assert fetch["failures_to_survive"] == fetch["failures"] > 0
    assert run.tests["TestShop::test_quote"]["weight"] == 2
    assert run.tests["TestShop::test_quote"]["survives"] == ["valuation_exception"]
    assert run.tests["test_fetch_as_well"]["failures"] > 0
    assert run.tests["test_fetch_as_well"]["failures_to_survive"] == 0
    assert "failed under faults that it must survive, first under valuation_exception-" in run.output
    failed = [line for line in run.output.splitlines() if line.startswith("FAILED test_shop.py")]
    assert [line.partition(" - ")[0] for line in failed] == ["FAILED test_shop.py::TestShop::test_fetch"]


# Wrong markers

CUSTOM = """
from pytest_resilience import CustomScenario, faults

def pytest_resilience_scenarios(config):
    return [CustomScenario("slow_and_lossy", fault=faults.Delay(0.2))]
"""
MARKED = """
import pytest
"""
EXAMPLE = '@pytest.mark.soak(weight=3, survives=["latency_spike"])'
WEIGHT = "@pytest.mark.soak: weight must be a whole number from 1 to 1000, not {}."
NAMES = "@pytest.mark.soak: survives must be a list of the names of scenarios, not {}. "
WRONG = {
    "weight=0": WEIGHT.format("0"),
    "weight=1001": WEIGHT.format("1001"),
    "weight=True": WEIGHT.format("True"),
    "weight='3'": WEIGHT.format("'3'"),
    "weight=None": WEIGHT.format("None"),
    "survives='latency_spike'": f'{NAMES.format(repr("latency_spike"))}Write survives=["latency_spike"].',
    "survives=[3]": f'{NAMES.format("[3]")}Write survives=["latency_spike"].',
    "survives=['latency_spyke']": (
        "@pytest.mark.soak: survives: There is no scenario 'latency_spyke'. Did you mean 'latency_spike'?"
    ),
    "weigth=3": (
        "@pytest.mark.soak is wrong (got an unexpected keyword argument 'weigth'): soak(weigth=3). "
        f"Write {EXAMPLE}."
    ),
    "3": f"@pytest.mark.soak is wrong (too many positional arguments): soak(3). Write {EXAMPLE}.",
}
RIGHT = ("", "weight=1000", "survives=[]", "survives=('latency_spike',)", "survives=['slow_and_lossy']")


def marked(*arguments: str) -> str:
    """Return a module with a test for each marker."""
    tests = [
        f"@pytest.mark.soak({one})\ndef test_{place}():\n    pass\n" for place, one in enumerate(arguments)
    ]
    return MARKED + "\n".join(tests)


MARKERS = {
    "ordinary": Project((), NO_MEMORY, {"conftest.py": CUSTOM, "test_shop.py": marked(*WRONG, *RIGHT)}),
    "broken hook": Project(
        (),
        NO_MEMORY,
        {
            "conftest.py": "def pytest_resilience_scenarios(config):\n    return [1 / 0]\n",
            "test_shop.py": marked("survives=['latency_spike']"),
        },
    ),
    "workers": Project(
        ("-n", "2"),
        NO_MEMORY,
        {"conftest.py": CUSTOM, "test_shop.py": marked(*WRONG, *RIGHT)},
        ("xdist.plugin",),
    ),
    "soak": Project(
        ("--soak-duration=20s",),
        NO_MEMORY,
        {"conftest.py": CONFTEST, "test_shop.py": marked("survives=['latency_spyke']", "")},
    ),
}


@pytest.fixture(scope="module")
def marker_runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Run all suites with wrong markers."""
    return run_together(tmp_path_factory.mktemp("markers"), MARKERS)


@pytest.mark.parametrize("name", ["ordinary", "workers"])
def test_each_wrong_marker_fails_its_own_test_in_setup(
    marker_runs: Mapping[str, Finished], name: str
) -> None:
    """With one line that says what is wrong; right ones pass, and collection never fails."""
    run = marker_runs[name]
    assert run.code == 1, run.output
    assert "INTERNALERROR" not in run.output
    assert f"{len(RIGHT)} passed, {len(WRONG)} errors" in run.output
    lines = run.output.splitlines()
    for text in WRONG.values():
        assert text in lines


def test_a_broken_hook_is_told_by_the_test_that_needs_it(marker_runs: Mapping[str, Finished]) -> None:
    """In one line too."""
    run = marker_runs["broken hook"]
    assert (
        "@pytest.mark.soak: survives: A hook pytest_resilience_scenarios raised ZeroDivisionError"
        in run.output
    )
    assert "INTERNALERROR" not in run.output


def test_a_wrong_marker_ends_a_soak_in_its_first_round(marker_runs: Mapping[str, Finished]) -> None:
    """Nothing can be said about a suite with a broken test."""
    run = marker_runs["soak"]
    assert run.code == 1, run.output
    assert run.report["reason"].startswith("test_shop.py::test_0 fails at once")
    assert "There is no scenario 'latency_spyke'. Did you mean 'latency_spike'?" in run.output
