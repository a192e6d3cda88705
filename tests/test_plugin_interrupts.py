"""Signals at different instants: exit 2, faults removed, fixtures torn down, a partial report."""

import fcntl
import json
import math
import os
import pty
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, strategies
from interrupt_cases import Stage
from plugin_soaks import AT_ONCE, CONFTEST, NO_MEMORY, Finished, Project, finish, run, running, wait_for
from storm_cases import Storm, storms, strike

from pytest_resilience.clock import ManualClock
from pytest_resilience.plugin.signals import PATIENCE_SECONDS, Interruptions
from pytest_resilience.store.run_data import RunData

BREAKERS = """
@pytest.fixture(scope="session")
def resilience_breakers():
    import pybreaker
    return {f"circuit_{number}": pybreaker.CircuitBreaker for number in range(8)}
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


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Iterator[None]:
    """A shell's background job ignores it, and this test run may be one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
    "active fault, SIGHUP": Case(
        "CHAOS_INJECTION", fault_fired, budgets("0.2s", "15s"), signals=(signal.SIGHUP,)
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
    "very impatient": Case(
        "CHAOS_INJECTION",
        fault_fired,
        budgets("0.2s", "15s"),
        signals=(signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGINT),
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
def clock() -> ManualClock:
    """Time stands still unless it is moved."""
    return ManualClock()


@pytest.fixture
def interruptions(clock: ManualClock) -> Iterator[Interruptions]:
    """Signals that are handled while the test runs."""
    signals = Interruptions(clock)
    signals.start()
    yield signals
    signals.stop()


def test_the_first_signal_raises_and_the_others_wait(
    interruptions: Interruptions, clock: ManualClock
) -> None:
    """One is enough to end a soak; no other one may keep it from writing its report."""
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGHUP)
    clock.advance(60)
    signal.raise_signal(signal.SIGINT)
    assert (interruptions.raised, interruptions.held) == ("SIGTERM", "SIGHUP")


def test_impatience_ends_what_may_hang(interruptions: Interruptions, clock: ManualClock) -> None:
    """While the user's fixtures are torn down, one that comes late raises; several at once do not."""
    interruptions.hold()
    interruptions.free()
    signal.raise_signal(signal.SIGINT)
    clock.advance(PATIENCE_SECONDS * 0.9)
    signal.raise_signal(signal.SIGINT)
    clock.advance(PATIENCE_SECONDS * 0.1)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        signal.raise_signal(signal.SIGTERM)
    interruptions.free(ValueError)
    with pytest.raises(ValueError, match="SIGINT"):
        signal.raise_signal(signal.SIGINT)
    interruptions.hold()
    signal.raise_signal(signal.SIGINT)


def test_a_signal_that_waited_raises_when_signals_are_listened_to(interruptions: Interruptions) -> None:
    """It came while the run was being made; the one after it is the second one, and waits."""
    interruptions.hold()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        interruptions.listen()
    signal.raise_signal(signal.SIGINT)
    assert (interruptions.raised, interruptions.held) == ("SIGTERM", "SIGINT")


@given(
    steps=strategies.lists(
        strategies.sampled_from(["hold", "free", "later", "SIGINT", "SIGTERM", "SIGHUP"]), max_size=12
    )
)
def test_no_signal_raises_while_signals_are_held(steps: Sequence[str]) -> None:
    """In whatever order things come: at most one before `hold`, then only after `free`, and late."""
    clock = ManualClock()
    signals = Interruptions(clock)
    signals.start()
    free, holding, waits_since = False, False, math.inf
    try:
        for step in steps:
            if step == "hold":
                signals.hold()
                free, holding = False, True
            elif step == "free":
                signals.free()
                free = True
            elif step == "later":
                clock.advance(PATIENCE_SECONDS)
            else:
                raises = not holding or (free and clock.now() > waits_since)
                if holding:
                    waits_since = min(waits_since, clock.now())
                holding = True
                with pytest.raises(KeyboardInterrupt) if raises else nullcontext():
                    signal.raise_signal(getattr(signal, step))
    finally:
        signals.stop()


def test_an_ignored_signal_stays_ignored() -> None:
    """nohup asks for that, and shells for SIGINT of what runs in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = Interruptions()
    try:
        signals.start()
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signals.stop()
        signal.signal(signal.SIGHUP, before)
    assert (signals.raised, signals.held) == ("", "")


def test_a_run_that_is_struck_while_it_is_made_has_a_report(tmp_path: Path) -> None:
    """It has a folder already, so whoever looks there finds what became of it."""
    struck = (
        CONFTEST
        + """
import os, signal
from pytest_resilience.soak.run import SoakRun
make = SoakRun.__init__

def strike_while_made(self, *args, **kwargs):
    os.kill(os.getpid(), signal.SIGTERM)
    make(self, *args, **kwargs)

SoakRun.__init__ = strike_while_made
"""
    )
    ended = run(tmp_path / "shop", Project(files={"conftest.py": struck}))
    assert ended.code == 2, ended.output
    assert ended.report["reason"] == "interrupted by SIGTERM"
    assert ended.report["overall_result"] == "PARTIAL"
    assert ended.torn_down == "untouched"
    assert "INTERNALERROR" not in ended.output


def test_a_teardown_that_hangs_is_ended_by_impatience(tmp_path: Path) -> None:
    """Ctrl-C once more, a second later: the other fixtures are torn down, and the report is written."""
    hangs = (
        CONFTEST
        + """
@pytest.fixture(scope="session", autouse=True)
def hangs(request, world):
    yield
    (request.config.rootpath / "hangs").touch()
    import time; time.sleep(90)
"""
    )
    folder = tmp_path / "shop"
    project = Project(("--soak-duration=20s",), budgets("15s", "1s"), {"conftest.py": hangs})
    with running(folder, project) as process:
        wait_for(folder, IN_BASELINE)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + 30
            while not (folder / "hangs").exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
        early = json.loads(Finished(folder, 0, "").run.report_json.read_text())
        time.sleep(1.5 * PATIENCE_SECONDS)
        process.send_signal(signal.SIGINT)
        ended = finish(folder, process)
    assert ended.code == 2, ended.output
    assert early["overall_result"] == "PARTIAL"
    assert ended.torn_down == "untouched"
    assert "TeardownCutShort: SIGINT" in ended.output
    assert ended.phases["CLEANUP"]["status"] == "done"


@pytest.mark.parametrize("storm", list(storms(3, seed=5)), ids=["one", "two", "three"])
def test_a_storm_of_signals_leaves_a_report_and_nothing_else(tmp_path: Path, storm: Storm) -> None:
    """At a random instant, with faults on calls, an endpoint, a process and the host."""
    with Stage() as stage:
        assert strike(stage, tmp_path / "shop", storm).wrong == []


def test_a_soak_under_nohup_outlives_a_hang_up(tmp_path: Path) -> None:
    """SIGHUP does nothing; the run goes on to its end, which Ctrl-C is here."""
    folder, project = tmp_path / "shop", Project(("--soak-duration=20s",), budgets("15s", "1s"))
    with running(folder, project, "nohup") as process:
        wait_for(folder, IN_BASELINE)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        ended = finish(folder, process)
    assert ended.code == 2, ended.output
    assert ended.report["reason"] == "interrupted by SIGINT"


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_terminal_that_is_gone_keeps_no_report(tmp_path: Path, hangs_up: bool) -> None:
    """Nobody can be told any more; without the signal, the soak goes on all the same."""
    folder = tmp_path / "shop"
    duration, baseline = ("20s", "15s") if hangs_up else ("4s", "1s")
    project = Project((f"--soak-duration={duration}", "--junitxml=junit.xml"), budgets(baseline, "1s"))
    with running_on_a_terminal(folder, project, hangs_up=hangs_up) as (process, terminal):
        wait_for(folder, IN_BASELINE)
        os.close(terminal)
        assert process.wait(60) in ((2,) if hangs_up else (0, 1))
    ended = Finished(folder, process.returncode, "")
    assert ended.torn_down == "untouched"
    assert ended.report["status"] == ("interrupted" if hangs_up else "complete")
    assert ended.report["reason"] == ("interrupted by SIGHUP" if hangs_up else "")
    assert "overall_result" in (folder / "junit.xml").read_text()


@contextmanager
def running_on_a_terminal(
    folder: Path, project: Project, *, hangs_up: bool
) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """Run a soak whose terminal this process holds; only the leader of its session is sent SIGHUP."""
    folder.mkdir()
    project.write(folder)
    ours, its = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        project.command,
        cwd=folder,
        env=project.environment,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=take_terminal if hangs_up else None,
    ) as process:
        os.close(its)
        try:
            yield process, ours
        finally:
            process.kill()


def test_signals_are_given_back() -> None:
    """What handled the signals before handles them again."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signals = Interruptions()
    signals.start()
    assert signal.getsignal(signal.SIGTERM) not in before
    signals.stop()
    signals.stop()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
