"""Watched processes: found by whatever names them, read from outside, followed through a restart."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pytest_resilience.clock import ManualClock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.memory.detect import judge
from pytest_resilience.memory.processes import OutsideSignals, WatchedProcess, watched_processes
from pytest_resilience.memory.procfs import read_pss
from pytest_resilience.memory.readers import OutsideReader
from pytest_resilience.memory.records import Sample
from pytest_resilience.memory.sampler import Sampler
from pytest_resilience.units import MIB

WAITING = "print('ready', flush=True); input()"
HOLDING = f"kept = bytearray(b'x') * {20 * MIB}; {WAITING}"
WITH_CHILD = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
    f"{HOLDING!r}], stdin=-1, stdout=-1); child.stdout.readline(); {WAITING}"
    "; child.kill(); child.wait()"
)
OPENING = f"import os, threading; kept = [os.pipe() for _ in range(10)]; {WAITING}"


@contextmanager
def running(program: str) -> "Iterator[subprocess.Popen[str]]":
    """Run a Python program, from its `ready` on, while the block lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.communicate("\n", timeout=30)


def test_a_process_is_found_by_pid_process_function_and_name() -> None:
    """Each of them leads to the same pid; of a name the oldest process counts."""
    with running(WAITING) as process:
        targets = (process.pid, process, psutil.Process(process.pid), lambda: process, lambda: process.pid)
        assert {WatchedProcess("server", target).find() for target in targets} == {process.pid}
        name = psutil.Process(process.pid).name()
        oldest = WatchedProcess("server", name).find()
        assert oldest is not None
        assert psutil.Process(oldest).name() == name
    assert WatchedProcess("server", process.pid).find() is None
    assert WatchedProcess("server", "no-such-program-4711").find() is None
    assert WatchedProcess("server", lambda: None).find() is None


def test_what_can_be_seen_from_outside_is_right() -> None:
    """Sizes agree with psutil's; descriptors and threads are those of the process."""
    with running(HOLDING) as process:
        signals, peer = OutsideSignals(process.pid), psutil.Process(process.pid)
        sizes, whole = signals.sizes(), signals.whole()
        assert sizes is not None
        assert whole is not None
        assert sizes.rss == pytest.approx(peer.memory_info().rss, rel=0.02)
        assert 20 * MIB <= whole.uss <= sizes.rss
        assert signals.counts() == {"fds": peer.num_fds(), "threads": 1, "children": 0}
        assert signals.children_pss() == 0
    assert OutsideReaderOf(process.pid).sample() is None


def test_children_belong_to_it() -> None:
    """The memory, descriptors and threads of a worker process count for the server that started it."""
    with running(WITH_CHILD) as process:
        signals = OutsideSignals(process.pid)
        pss, counts = signals.children_pss(), signals.counts()
        assert pss is not None
        assert pss >= 20 * MIB
        assert counts["children"] == 1
        assert counts["threads"] == 2
        fds = counts["fds"]
        assert fds is not None
        assert fds > psutil.Process(process.pid).num_fds()


class OutsideReaderOf:
    """A reader of one target, at a time that goes on by a minute with each sample."""

    def __init__(self, target: int | Callable[[], int | None]) -> None:
        self.complaints: list[str] = []
        self.reader = OutsideReader(WatchedProcess("server", target), self.complaints.append)
        self._now = 0.0

    def sample(self) -> Mapping[str, int | None] | None:
        self._now += 60
        return self.reader.sample(self._now)


def test_a_restart_is_followed() -> None:
    """Under the same name another pid is read, and nothing while none runs."""
    current: list[int] = []
    reader = OutsideReaderOf(lambda: current[-1] if current else None)
    assert reader.sample() is None
    with running(WAITING) as first:
        current.append(first.pid)
        assert reader.sample() is not None
        assert reader.reader.pid == first.pid
    assert reader.sample() is None
    with running(WAITING) as second:
        current.append(second.pid)
        assert reader.sample() is not None
        assert reader.reader.pid == second.pid
    assert reader.complaints == []


def test_a_function_that_raises_is_told_once() -> None:
    """The sampler goes on without the process."""

    def broken() -> int:
        raise ConnectionError("no server")

    reader = OutsideReaderOf(broken)
    assert [reader.sample() for _ in range(3)] == [None] * 3
    assert reader.complaints == ["process 'server' cannot be found: ConnectionError: no server"]


FIX = "Give its pid, its Popen, its name, or a function that returns one of them."
WRONG = [
    (["x"], "resilience_processes must be a mapping from names, not ['x']. Return {\"server\": process}."),
    ({"": 1}, "Each name of resilience_processes must be a non-empty string, not ''."),
    ({"server": None}, f"resilience_processes['server'] must be a process, not None. {FIX}"),
    ({"server": -3}, f"resilience_processes['server'] must be a process, not -3. {FIX}"),
    ({"server": True}, f"resilience_processes['server'] must be a process, not True. {FIX}"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_a_wrong_declaration_says_what_is_wrong(given: object, message: str) -> None:
    """The value, the constraint and the fix are named."""
    with pytest.raises(ResilienceError) as caught:
        watched_processes(given)
    assert str(caught.value) == message


def test_the_sampler_reads_it_beside_its_own_process() -> None:
    """Samples carry the name and the pid; the worker's own have neither."""
    received: list[Sample] = []
    clock = ManualClock()
    with running(WAITING) as process:
        watched = OutsideReader(WatchedProcess("server", process), lambda text: None)
        sampler = Sampler(1.0, clock, 0.0, lambda: 3, lambda: "A", received.extend, processes=[watched])
        sampler.sample()
        sampler.stop()
    own, other = received
    assert (own.process, own.pid) == ("", 0)
    assert (other.process, other.pid, other.iteration) == ("server", process.pid, 3)
    assert other.blocks is None
    assert 0 < other.rss < 100 * MIB


def grown(pid: int, start: int, per_sample: int, count: int = 100) -> list[Sample]:
    """Return samples of a watched process that grows."""
    return [
        Sample(
            *((start + index) / 8, "M"),
            checkpoint=False,
            iteration=(start + index) * 10,
            rss=50 * MIB + per_sample * index,
            process="server",
            pid=pid,
        )
        for index in range(count)
    ]


def test_a_leak_in_it_is_attributed_to_it() -> None:
    """Resident memory is all that is seen of it, so it is what leaks; the advice says how to see more."""
    verdict = judge(grown(7, 0, 50_000))
    (leak,) = verdict.leaks
    assert (leak.process, leak.signal, leak.kind) == ("server", "rss", "memory")
    assert leak.per_iteration == pytest.approx(5_000)
    assert leak.floor_per_iteration is not None
    assert "From outside" in leak.recommendation


def test_a_restart_is_no_leak_and_what_came_before_does_not_count() -> None:
    """Only the process that runs last is judged; one that has just begun is not judged yet."""
    assert judge([*grown(7, 0, 50_000), *grown(8, 100, 0)]).verdict == "clean"
    assert judge([*grown(7, 0, 0), *grown(8, 100, 50_000)]).verdict == "leak"
    young = judge([*grown(7, 0, 0), *grown(8, 100, 50_000, count=10)])
    assert (young.verdict, young.samples) == ("inconclusive", 10)


def test_reading_a_process_is_cheap() -> None:
    """A hundred samples of a process cost less than a tenth of a second of processor time."""
    with running(WAITING) as process:
        reader = OutsideReader(WatchedProcess("server", process), lambda text: None)
        began = time.thread_time()
        for tick in range(100):
            reader.sample(tick / 8)
        assert time.thread_time() - began < 0.1


ROLLUP = b"""5581a1e4d000-7ffd1b5fe000 ---p 00000000 00:00 0                    [rollup]
Rss:                1880 kB
Pss:                 617 kB
"""


@pytest.mark.parametrize(
    ("rest", "expected"),
    [(b"Pss_Anon:  148 kB\nPss_File:  469 kB\nPss_Shmem:   4 kB\nVmFlags: rd ex\n", 152), (b"", 617)],
)
def test_the_share_of_files_pages_is_left_out_where_it_is_told(
    rest: bytes, expected: int, tmp_path: Path
) -> None:
    """It grows when another process ends, without anything that leaks."""
    (tmp_path / "smaps_rollup").write_bytes(ROLLUP + rest)
    assert read_pss(tmp_path) == expected * 1024
    assert read_pss(tmp_path / "gone") == 0
