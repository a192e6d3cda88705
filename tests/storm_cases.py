"""Soaks over every seam that are struck by storms of signals, and what must be left of them: a report."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from interrupt_cases import Stage
from leftovers import listens, state, words
from plugin_soaks import NO_MEMORY, Finished, Project, running

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GAPS = (0.005, 0.1, 0.6)
"""Seconds up to which two signals of a storm are apart; one of them is drawn for each storm."""

GONE_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
DURATION = 5.0
ENDS_ITSELF = (0, 1)
INTERRUPTED = 2
INSISTED = (*(-number for number in SIGNALS), 128 + signal.SIGINT)
"""A signal that comes when the report is written, to pytest's own end or Python's, ends these as ever."""

CONFTEST = """
import os
import resource
import pytest
from pytest_resilience import Service

LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)

@pytest.fixture(scope="session")
def resilience_services():
    return [
        Service("odds_provider", calls=["shop:fetch"], errors=[ConnectionError], timeout=0.02),
        Service("database", endpoint=("127.0.0.1", int(os.environ["STORM_PORT"]))),
        Service("worker", process=int(os.environ["STORM_PID"])),
    ]

@pytest.fixture(scope="session", autouse=True)
def world(request):
    (request.config.rootpath / "began").touch()
    yield
    import shop
    patched = shop.fetch.__code__ is not shop.UNTOUCHED
    limited = resource.getrlimit(resource.RLIMIT_NOFILE) != LIMIT
    state = "patched" if patched else "limited" if limited else "untouched"
    (request.config.rootpath / "torn_down").write_text(state)
"""
TEST = """
import socket
import pathlib
import pytest
import shop

@pytest.fixture(scope="session")
def address(service_address, resilience_disk):
    (resilience_disk / "file").write_bytes(b"x")
    address = service_address("database")
    pathlib.Path("port").write_text(str(address.port))
    return address

@pytest.mark.soak
def test_quote():
    assert shop.quote("game-1") > 0

@pytest.mark.soak
def test_database(address):
    try:
        with socket.create_connection((address.host, address.port), 0.1) as client:
            client.sendall(b"hello")
            client.recv(5)
    except OSError:
        pass
"""
INI = (
    f"{NO_MEMORY}resilience_intensity = extreme\nresilience_criteria =\n    injection_seconds < 9\n"
    "resilience_scenarios =\n    valuation_exception\n    latency_spike\n    provider_timeout\n"
    "    network_partition\n    cpu_saturation\n    resource_exhaustion\n"
    "soak_phases =\n    BASELINE_ESTABLISHMENT = 0.2s\n    CHAOS_INJECTION = 90%\n"
)
SOAK = Project(
    (f"--soak-duration={DURATION}s", "--junitxml=junit.xml", "-p", "no:cacheprovider"),
    INI,
    {"conftest.py": CONFTEST, "test_shop.py": TEST},
)


@dataclass(frozen=True)
class Storm:
    """When the first signal comes, in seconds after the fixtures' set-up, and then which, how far apart."""

    first: float
    signals: tuple[tuple[signal.Signals, float], ...]


def storms(count: int, seed: int) -> Iterator[Storm]:
    """Draw storms of one to eight signals, at any instant of a run and of its end."""
    rng = random.Random(seed)
    for _ in range(count):
        gap = rng.choice(GAPS)
        number = rng.randint(1, 8)
        signals = tuple((rng.choice(SIGNALS), rng.uniform(0, gap)) for _ in range(number))
        yield Storm(rng.uniform(0, DURATION * 1.1), signals)


@dataclass
class Struck:
    """What became of a run: how often it was struck, what acted then, and what was wrong or left."""

    finished: Finished
    sent: int
    acting: list[str]
    seconds: float
    wrong: list[str] = field(default_factory=list)

    @property
    def how(self) -> str:
        if self.finished.code in ENDS_ITSELF:
            return "had ended by itself"
        return "exit 2" if self.finished.code == INTERRUPTED else "insisted on"


def strike(stage: Stage, folder: Path, storm: Storm) -> Struck:
    """Run a soak, let a storm come over it, and look at what is left."""
    os.environ.update(STORM_PORT=str(stage.port), STORM_PID=str(stage.victim.pid))
    with running(folder, SOAK) as process:
        _wait_for(folder / "began", process)
        time.sleep(storm.first)
        acting = list(_left(stage, folder))
        began, sent = time.monotonic(), 0
        for number, pause in storm.signals:
            sent += process.poll() is None
            process.send_signal(number)
            time.sleep(pause)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        seconds = time.monotonic() - began
    struck = Struck(Finished(folder, process.returncode, output), sent, acting, seconds)
    struck.wrong += [*_wrong(struck), *_left_soon(stage, folder)]
    return struck


def _wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _wrong(struck: Struck) -> Iterator[str]:
    """Say what is not as it must be of the exit code, the fixtures and the reports."""
    ended = struck.finished
    insisted = ended.code in INSISTED
    if insisted and "\nReport: " not in ended.output:
        yield f"exit code {ended.code} before the report: {ended.output[-2000:]}"
    if ended.code not in (*ENDS_ITSELF, INTERRUPTED, *INSISTED):
        yield f"exit code {ended.code}: {ended.output[-2000:]}"
    if ended.torn_down != "untouched" and not insisted:
        yield f"fixtures were torn down: {ended.torn_down}: {ended.output[-2000:]}"
    for word in ("INTERNALERROR", "Traceback"):
        if word in ended.output and not insisted:
            yield f"{word}: {ended.output[-3000:]}"
    if not ended.soaked or not (ended.folder / ".resilience" / "latest").exists():
        return  # it was struck while it was being declared
    if not ended.run.report_json.exists():
        yield f"no report.json: {ended.output[-2000:]}"
    elif ended.report["status"] not in ("interrupted", "complete"):
        yield f"status {ended.report['status']}"
    if not insisted and "overall_result" not in (ended.folder / "junit.xml").read_text():
        yield "no result in junit.xml"


def _left_soon(stage: Stage, folder: Path) -> list[str]:
    deadline = time.monotonic() + GONE_SECONDS
    while (left := [f"left: {one}" for one in _left(stage, folder)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _left(stage: Stage, folder: Path) -> Iterator[str]:
    """Say what of the run acts outside of it."""
    if state(stage.victim.pid) == "T":
        yield "stopped process"
    mounts = Path("/proc/mounts").read_text()
    if str(stage.folder) in mounts:
        yield "mount"
    yield from (f"file {path.name}" for path in stage.folder.iterdir())
    yield from (f"notes {path.name}" for path in (folder / ".resilience" / "outside").glob("*"))
    port = folder / "port"
    if port.exists() and (text := port.read_text()) and listens(int(text)):
        yield "proxy"
    yield from _processes(stage)


def _processes(stage: Stage) -> Iterator[str]:
    """Yield the helpers that inherited the folder for temporary files, wherever they hang now."""
    mark = f"TMPDIR={stage.folder}".encode()
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        if pid not in stage.own and mark in _environment(pid) and "pytest" not in words(pid):
            yield f"process {' '.join(words(pid)[3:6])}"


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
