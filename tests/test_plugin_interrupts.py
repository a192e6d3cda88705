"""SIGINT and SIGTERM at different instants: exit 2, faults removed, fixtures torn down, a partial report."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from plugin_soaks import AT_ONCE, CONFTEST, NO_MEMORY, Finished, Project, finish, run, running, wait_for

from pytest_resilience.plugin.signals import Interruptions
from pytest_resilience.store.run_data import RunData

BREAKERS = """
@pytest.fixture(scope="session")
def resilience_breakers():
    import pybreaker
    return {f"circuit_{number}": pybreaker.CircuitBreaker for number in range(50)}
"""
SLOW_TEARDOWN = CONFTEST.replace("    yield\n", "    yield\n    import time; time.sleep(0.5)\n")
SLOW_DECLARATION = CONFTEST.replace(
    "def resilience_services():\n",
    "def resilience_services(request, world):\n"
    "    import time; (request.config.rootpath / 'declaring').touch(); time.sleep(30)\n",
)
SWALLOWS = """
import time
import pytest

@pytest.mark.soak
def test_swallows():
    try:
        time.sleep(0.1)
    except BaseException:
        pass
"""
FAILS_UNDER_FAULTS = """
import pytest
import shop

@pytest.mark.soak
def test_fetch():
    assert shop.fetch("game-1") > 0
"""


def budgets(baseline: str, chaos: str, recovery: str = "0.1s") -> str:
    """Return the settings of a soak that is judged alike on a busy machine."""
    return (
        f"{NO_MEMORY}resilience_criteria =\n    injection_seconds < 9\n"
        f"soak_phases =\n    BASELINE_ESTABLISHMENT = {baseline}\n"
        f"    CHAOS_INJECTION = {chaos}\n    RECOVERY_VALIDATION = {recovery}\n"
    )


def running_phase(name: str) -> Callable[[RunData], bool]:
    return lambda data: any(phase.name == name and phase.status == "running" for phase in data.phases)


def fault_fired(data: RunData) -> bool:
    return any(event.fired and event.removed_at is None for event in data.events)


@dataclass(frozen=True)
class Case:
    """A soak and the instant of its interruption; `cut` is the phase that it ends in."""

    cut: str
    instant: Callable[[RunData], bool]
    ini: str
    files: Mapping[str, str] = field(default_factory=dict)
    signals: tuple[int, ...] = (signal.SIGINT,)
    duration: str = "20s"


IN_BASELINE = running_phase("BASELINE_ESTABLISHMENT")
CASES = {
    "baseline": Case("BASELINE_ESTABLISHMENT", IN_BASELINE, budgets("15s", "1s")),
    "active fault": Case("CHAOS_INJECTION", fault_fired, budgets("0.2s", "15s")),
    "active fault, SIGTERM": Case(
        "CHAOS_INJECTION", fault_fired, budgets("0.2s", "15s"), signals=(signal.SIGTERM,)
    ),
    "failures under a fault": Case(
        "CHAOS_INJECTION", fault_fired, budgets("0.2s", "15s"), {"test_shop.py": FAILS_UNDER_FAULTS}
    ),
    "breakers": Case(
        "CIRCUIT_BREAKER_TESTING",
        running_phase("CIRCUIT_BREAKER_TESTING"),
        budgets("0.2s", "0%"),
        {"conftest.py": CONFTEST + BREAKERS},
    ),
    "memory": Case("MEMORY_SOAK_TESTING", running_phase("MEMORY_SOAK_TESTING"), budgets("0.2s", "0%")),
    "recovery": Case(
        "RECOVERY_VALIDATION", running_phase("RECOVERY_VALIDATION"), budgets("0.1s", "0%", "19.6s")
    ),
    "swallowed": Case(
        "BASELINE_ESTABLISHMENT",
        IN_BASELINE,
        budgets("15s", "1s"),
        {"test_shop.py": SWALLOWS},
        signals=(signal.SIGTERM,),
    ),
    "impatient": Case(
        "BASELINE_ESTABLISHMENT", IN_BASELINE, budgets("15s", "1s"), signals=(signal.SIGINT, signal.SIGTERM)
    ),
    "clean-up": Case(
        "",
        running_phase("CLEANUP"),
        budgets("0.1s", "0%"),
        {"conftest.py": SLOW_TEARDOWN},
        duration="0.5s",
    ),
}


def interrupt(folder: Path, case: Case) -> Finished:
    project = Project((f"--soak-duration={case.duration}",), case.ini, case.files)
    with running(folder, project) as process:
        wait_for(folder, case.instant)
        for number in case.signals:
            process.send_signal(number)
            time.sleep(0.02)
        return finish(folder, process)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, "Future[Finished]"]]:
    """Every interrupted run, side by side."""
    root = tmp_path_factory.mktemp("interrupts")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(interrupt, root / name, case) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_soak_leaves_a_report_and_nothing_else(
    runs: Mapping[str, "Future[Finished]"], name: str
) -> None:
    """Exit 2; no patch is left when the fixtures are torn down; the report says where and why it ended."""
    ended, case = runs[name].result(), CASES[name]
    assert ended.code == 2, ended.output
    assert ended.torn_down == "untouched"
    assert "INTERNALERROR" not in ended.output
    assert "= resilience =" in ended.output
    assert ended.report["overall_result"] == "PARTIAL"
    cut = [phase["name"] for phase in ended.report["phases"] if phase["status"] == "cut"]
    assert cut == [case.cut] * bool(case.cut)
    if case.cut:
        assert ended.report["status"] == "interrupted"
        assert ended.report["reason"] == f"interrupted by {signal.Signals(case.signals[0]).name}"
        assert f"The run was {ended.report['reason']}." in ended.output


def test_an_event_that_was_cut_off_is_no_success(runs: Mapping[str, "Future[Finished]"]) -> None:
    """The fault was removed, but whether the suite recovers from it was not seen."""
    events = [event for event in runs["active fault"].result().report["events"] if event["fired"]]
    assert events
    assert all(event["removed_at"] is not None for event in events)
    assert {event["outcome"] for event in events} == {"undecided"}


def test_a_soak_that_has_failed_before_is_failed(tmp_path: Path) -> None:
    """What is unmet already does not become better by an interruption."""
    later = """
import time
import pytest

began = time.monotonic()

@pytest.mark.soak
def test_bad():
    assert time.monotonic() - began < 1
"""
    failed = Case(
        "MEMORY_SOAK_TESTING",
        lambda data: bool(data.failures),
        budgets("0.2s", "0%"),
        {"test_shop.py": later},
    )
    bad = interrupt(tmp_path / "shop", failed)
    assert bad.code == 2
    assert bad.report["overall_result"] == "FAILED"
    assert bad.verdicts["failures_outside_faults"] == "unmet"


@pytest.mark.parametrize(
    ("wish", "instant", "code"),
    [
        ("shouldstop", "fired on calls", 2),
        ("shouldfail", "fired on calls", 1),
        ("shouldstop", "no descriptor is free", 2),
    ],
)
def test_a_test_that_stops_the_session_stops_the_soak(
    tmp_path: Path, wish: str, instant: str, code: int
) -> None:
    """The session fixtures are torn down when no fault is left, of the calls or of the machine."""
    stops = f"""
import os
import pytest
import shop

def fired_on_calls():
    return shop.quote("game-1") == 1.0

def no_descriptor_is_free():
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True

@pytest.mark.soak
def test_stops(request):
    if {instant.replace(" ", "_")}():
        request.session.{wish} = "enough"
"""
    project = Project(("--soak-duration=55s",), budgets("0.2s", "50s"), {"test_shop.py": stops})
    stopped = run(tmp_path / "shop", project)
    assert stopped.code == code
    assert stopped.torn_down == "untouched"
    assert any(event["fired"] for event in stopped.report["events"])
    assert all(event["removed_at"] is not None for event in stopped.report["events"])
    assert stopped.report["reason"] == "stopped: enough"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_of_the_declarations_tears_down(tmp_path: Path, number: int) -> None:
    """Before the run begins there is no report, but what is set up is torn down."""
    folder = tmp_path / "shop"
    with running(folder, Project(files={"conftest.py": SLOW_DECLARATION})) as process:
        deadline = time.monotonic() + 30
        while not (folder / "declaring").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        ended = finish(folder, process)
    assert ended.code == 2
    assert ended.torn_down == "untouched"
    assert not ended.soaked


@pytest.fixture
def interruptions() -> Iterator[Interruptions]:
    """Signals that are handled while the test runs."""
    signals = Interruptions()
    signals.start()
    yield signals
    signals.stop()


def test_the_first_signal_raises_and_the_second_waits(interruptions: Interruptions) -> None:
    """One is enough to end a soak; the next one must not keep it from writing its report."""
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert interruptions.held == "SIGINT"
    with pytest.raises(KeyboardInterrupt, match="SIGINT"):
        signal.raise_signal(signal.SIGINT)


def test_signals_are_given_back() -> None:
    """What handled the signals before handles them again."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signals = Interruptions()
    signals.start()
    assert signal.getsignal(signal.SIGTERM) not in before
    signals.stop()
    signals.stop()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
