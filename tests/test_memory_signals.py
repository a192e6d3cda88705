"""Readers of this process's signals, on the real process."""

import gc
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.host_memory import SystemMemory, find_groups
from pytest_resilience.memory.paced import Paced
from pytest_resilience.memory.signals import LinuxSignals, Signals, open_signals
from pytest_resilience.units import MIB

KINDS = [Signals, *([LinuxSignals] if sys.platform == "linux" else [])]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def signals(request: pytest.FixtureRequest) -> Iterator[Signals]:
    """Readers, portable and of this platform."""
    kind: type[Signals] = request.param
    opened = kind()
    yield opened
    opened.close()
    opened.close()


def test_rss_is_what_psutil_says(signals: Signals) -> None:
    """The cheap reading agrees with psutil's."""
    assert signals.rss() == pytest.approx(psutil.Process().memory_info().rss, rel=0.02)


def test_malloc_counts_a_large_buffer(signals: Signals) -> None:
    """A buffer of 8 MiB shows in malloc while it lives, and not after."""
    before = signals.malloc_used()
    if before is None:
        pytest.skip("malloc cannot be asked here")
    buffer = bytearray(8 * MIB)
    during = signals.malloc_used()
    assert during is not None
    assert during - before >= len(buffer)
    del buffer
    after = signals.malloc_used()
    assert after is not None
    assert after - before < MIB


def test_blocks_and_containers_count_new_lists(signals: Signals) -> None:
    """A thousand kept lists are a thousand containers and at least as many blocks."""
    gc.collect()
    blocks, containers = signals.blocks(), signals.gc_objects()
    kept: list[list[int]] = [[] for _ in range(1000)]
    assert signals.blocks() - blocks >= len(kept)
    assert signals.gc_objects() - containers == pytest.approx(len(kept), abs=50)


def test_descriptors_count_open_files(signals: Signals) -> None:
    """Ten open pipes are twenty descriptors."""
    before = signals.fds()
    pipes = [os.pipe() for _ in range(10)]
    during = signals.fds()
    for pair in pipes:
        for descriptor in pair:
            os.close(descriptor)
    assert before is not None
    assert during == before + 20
    assert signals.fds() == before


def test_threads_and_children_are_counted(signals: Signals) -> None:
    """One more thread and one more child process are seen, and gone when they end."""
    before = signals.threads(), signals.children()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        during = signals.threads(), signals.children()
        child.communicate(b"\n")
    release.set()
    thread.join()
    assert during == tuple(1 + count for count in before if count is not None)
    assert signals.children() == before[1]


def test_running_out_of_descriptors_is_survived() -> None:
    """With no descriptor left, sizes are still read and the rest is None or right."""
    signals = open_signals()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = len(list(Path("/dev/fd").iterdir())) + 20
    taken: list[int] = []

    def take_all() -> None:
        while True:
            taken.append(os.dup(0))

    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            take_all()
        readings = signals.fds(), signals.threads(), signals.children(), signals.system_percent()
        assert signals.rss() > 0
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        signals.close()
    assert all(reading is None or reading >= 0 for reading in readings)


@given(st.lists(st.floats(1e-6, 0.01), min_size=1, max_size=40), st.floats(0.001, 0.1))
@settings(max_examples=50, deadline=None)
def test_a_paced_reader_keeps_its_share(costs: list[float], share: float) -> None:
    """Whatever readings cost, all but the last one fit into the share of the time that has passed."""
    spent = 0.0
    pending = iter(costs)

    def read() -> int | None:
        nonlocal spent
        spent += next(pending, 0.0)
        return 1

    paced = Paced(read, share, cpu=lambda: spent)
    now = before_last = 0.0
    for _ in range(200):
        before = spent
        if paced.read(now) is not None:
            before_last = before
        assert before_last <= share * now + 1e-9
        now += 0.125


def test_a_cheap_reader_is_read_each_time() -> None:
    """A reading that costs nothing is always due, also when it cannot be read."""
    paced = Paced[int](lambda: None, 0.01, cpu=lambda: 0.0)
    assert [paced.read(now) for now in (0.0, 0.0, 1.0)] == [None] * 3
    values = iter(range(3))
    cheap = Paced(lambda: next(values), 0.01, cpu=lambda: 0.0)
    assert [cheap.read(now) for now in (0.0, 0.0, 1.0)] == [0, 1, 2]


def group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        folder.joinpath(name).write_text(text)


def test_the_limit_of_a_cgroup_v2_counts(tmp_path: Path) -> None:
    """The tightest group above the process wins; cache that can be dropped is not counted."""
    membership = tmp_path / "membership"
    membership.write_text("0::/pod/test\n")
    group(tmp_path / "pod/test", {"memory.max": "max\n", "memory.current": "1\n", "memory.stat": "anon 1\n"})
    stat = "anon 5\ninactive_file 10\n"
    group(tmp_path / "pod", {"memory.max": "1000\n", "memory.current": "1005\n", "memory.stat": stat})
    groups = find_groups(tmp_path, membership)
    assert [(found.folder, found.limit) for found in groups] == [(tmp_path / "pod", 1000)]
    assert SystemMemory(groups).percent() == pytest.approx(99.5)


def test_the_limit_of_a_cgroup_v1_counts(tmp_path: Path) -> None:
    """Version 1 has its own folder and names; a huge limit is none."""
    membership = tmp_path / "membership"
    membership.write_text("4:cpu:/\n3:memory:/job\n0::/\n")
    files = {"memory.usage_in_bytes": "998", "memory.stat": "total_inactive_file 0\n"}
    group(tmp_path / "memory/job", {"memory.limit_in_bytes": "1000", **files})
    group(tmp_path / "memory", {"memory.limit_in_bytes": "9223372036854771712", **files})
    assert SystemMemory(find_groups(tmp_path, membership)).percent() == pytest.approx(99.8)


def test_a_container_sees_its_limit_at_the_root(tmp_path: Path) -> None:
    """A path that belongs to the host's namespace falls back to the base folder."""
    membership = tmp_path / "membership"
    membership.write_text("0::/../../host/path\n")
    group(tmp_path, {"memory.max": "1000", "memory.current": "10", "memory.stat": ""})
    assert [found.folder for found in find_groups(tmp_path, membership)] == [tmp_path]


def test_without_groups_the_machine_counts(tmp_path: Path) -> None:
    """No membership file, no limit, or a group that has vanished leave the machine's own percentage."""
    assert find_groups(tmp_path, tmp_path / "nothing") == ()
    membership = tmp_path / "membership"
    membership.write_text("0::/\n")
    group(tmp_path, {"memory.max": "1000"})
    memory = SystemMemory(find_groups(tmp_path, membership))
    assert memory.percent() == pytest.approx(psutil.virtual_memory().percent, abs=5)
