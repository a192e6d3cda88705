"""A small disk, a full disk, and nothing left of either."""

import asyncio
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from chaos_host_cases import (
    GONE_SECONDS,
    HOLDER,
    all_gone,
    holder,
    kill_holder,
    own_children,
    refusal,
    soon,
    started,
)
from polling import until

from pytest_resilience.chaos.host.disk import DiskEffect, FullEffect
from pytest_resilience.chaos.host.specs import DiskSpec, FullSpec
from pytest_resilience.chaos.supervisor.effects import Effect
from pytest_resilience.units import MIB

IS_ROOT = os.geteuid() == 0
WITHOUT_MOUNT = ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin")
WITHOUT_ANYTHING = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
drops_rights = pytest.mark.skipif(
    not IS_ROOT or shutil.which("setpriv") is None, reason="only root has rights to drop, with setpriv"
)

REFUSED = """
import asyncio
from pytest_resilience.chaos.host.disk import DiskEffect
from pytest_resilience.chaos.host.specs import DiskSpec

async def main():
    effect = DiskEffect(DiskSpec(1 << 20))
    try:
        await effect.start()
    except Exception as refusal:
        print(type(refusal).__name__, refusal)
    await effect.stop()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a place of its own for disks, and leaves no mount, no folder and no process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = own_children()
    yield
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert list(tmp_path.iterdir()) == []
    assert own_children() == before


def write_error(path: Path, size: int) -> int | None:
    """Write a file of so many bytes; return the number of the error, None if there was none."""
    try:
        path.write_bytes(bytes(size))
    except OSError as failure:
        return failure.errno
    return None


@contextmanager
def hidden_disk() -> Iterator[tuple[psutil.Process, Path]]:
    """Start a disk of 1 MiB in a process that may not mount; yield that process and the disk's path."""
    program = HOLDER.format(
        module="disk", effect="DiskEffect", spec=f"DiskSpec({MIB})", spec_class="DiskSpec"
    )
    command = [*WITHOUT_MOUNT, sys.executable, "-c", program] if IS_ROOT else [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield psutil.Process(process.pid), Path(json.loads(process.stdout.readline())["path"])
    finally:
        process.kill()
        process.communicate()


def test_a_disk_has_its_size_and_vanishes() -> None:
    """More than its size meets ENOSPC; after the stop there is no such folder."""

    async def main() -> None:
        effect = DiskEffect(DiskSpec(MIB))
        async with started(effect) as info:
            path = Path(str(info["path"]))
            assert write_error(path / "fits", MIB // 2) is None
            assert write_error(path / "does not", MIB) == errno.ENOSPC
            assert await soon(lambda: effect.touched().fired >= 2)
        assert not path.exists()
        last = effect.touched()
        assert last.detail == f"1.0 MiB at {path}"
        await effect.stop()
        assert effect.touched() == last

    asyncio.run(main())


def test_a_full_disk_refuses_every_byte_until_it_is_freed() -> None:
    """Code gets a real ENOSPC; nothing of the ballast is to be seen; what it deletes is free for it."""

    async def main() -> None:
        disk = DiskEffect(DiskSpec(MIB))
        async with started(disk) as info:
            path = Path(str(info["path"]))
            (path / "old").write_bytes(bytes(100_000))
            full = FullEffect(FullSpec("disk"), lambda _: disk)
            async with started(full):
                assert write_error(path / "new", 1) == errno.ENOSPC
                assert sorted(each.name for each in path.iterdir()) == ["new", "old"]
                assert await soon(lambda: full.touched().fired >= 2)
                (path / "old").unlink()
                settled = full.touched()
                assert await soon(lambda: full.touched().reached >= settled.reached + 3)
                assert full.touched().fired == settled.fired, "there is room, so it is not full"
                assert write_error(path / "new", 80_000) is None
            assert write_error(path / "new", MIB // 2) is None
            assert full.touched().detail.endswith(" bytes of ballast")
            await full.stop()

    asyncio.run(main())


@pytest.mark.skipif(not IS_ROOT, reason="SQLite cannot follow the path of a disk without the right to mount")
def test_a_database_on_a_full_disk_says_so() -> None:
    """SQLite's own error comes out, and it goes on afterwards."""

    async def main() -> None:
        disk = DiskEffect(DiskSpec(MIB))
        async with started(disk) as info:
            with closing(sqlite3.connect(f"{info['path']}/data.db", isolation_level=None)) as database:
                database.execute("create table notes (text)")
                async with started(FullEffect(FullSpec("disk"), lambda _: disk)):
                    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
                        database.execute("insert into notes values (zeroblob(100000))")
                database.execute("insert into notes values (zeroblob(100000))")

    asyncio.run(main())


def test_a_disk_that_goes_first_is_no_error_for_what_fills_it() -> None:
    """The supervisor may stop them in any order."""

    async def main() -> None:
        disk = DiskEffect(DiskSpec(MIB))
        full = FullEffect(FullSpec("disk"), lambda _: disk)
        async with started(disk):
            await full.start()
        await full.stop()
        assert full.touched().fired

    asyncio.run(main())


def test_only_a_disk_that_is_there_can_be_filled() -> None:
    """Another effect's id, or a disk that is gone, is refused; the real disk is never filled."""
    expected = "ScenarioError: disk must be the id of a disk that is there, not 'x'."
    gone = DiskEffect(DiskSpec(MIB))

    def find(effect: Effect) -> FullEffect:
        return FullEffect(FullSpec("x"), lambda _: effect)

    assert refusal(find(find(gone))) == expected
    assert refusal(find(gone)) == expected


def test_a_disk_goes_with_a_holder_that_is_killed() -> None:
    """Its process sees the end of its parent, unmounts and ends."""
    with holder("disk", "DiskEffect", f"DiskSpec({MIB})") as (process, info):
        path = Path(str(info["path"]))
        assert path.is_dir()
        children = kill_holder(process)
        assert until(lambda: all_gone(children) and not path.exists(), GONE_SECONDS)


def test_a_disk_whose_process_was_killed_is_removed_all_the_same() -> None:
    """Checks stop firing only where the disk is gone with it; the stop leaves nothing."""

    async def main() -> None:
        effect = DiskEffect(DiskSpec(MIB))
        before = own_children()
        async with started(effect) as info:
            (child,) = (each for each in own_children() if each not in before)
            child.kill()
            path = Path(str(info["path"]))
        assert not path.exists()

    asyncio.run(main())


@drops_rights
def test_a_disk_left_by_two_kills_is_swept_by_the_next() -> None:
    """Holder and child killed at once leave a mount: whoever starts a disk next removes it."""
    with holder("disk", "DiskEffect", f"DiskSpec({MIB})") as (process, info):
        path = Path(str(info["path"]))
        child = process.children()[0]
        child.kill()
        process.kill()
        assert until(lambda: all_gone([child, process]))
        assert path.is_dir()

    async def main() -> None:
        async with started(DiskEffect(DiskSpec(MIB))):
            assert not path.exists()

    asyncio.run(main())


def test_cancelled_at_any_instant_nothing_is_left(tmp_path: Path) -> None:
    """Whatever was done when the start was cancelled, the stop undoes."""

    async def cancelled_after(seconds: float) -> None:
        effect = DiskEffect(DiskSpec(MIB))
        task = asyncio.ensure_future(effect.start())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await effect.stop()

    for step in range(10):
        asyncio.run(cancelled_after(step * 0.004))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(IS_ROOT and shutil.which("setpriv") is None, reason="root needs setpriv to drop rights")
def test_without_the_right_to_mount_the_disk_is_hidden_in_a_namespace() -> None:
    """Its path leads through /proc; who resolves the links lands nowhere, never on the real disk."""
    with hidden_disk() as (process, path):
        assert path.parts[1] == "proc"
        assert write_error(path / "fits", MIB // 2) is None
        assert write_error(path / "does not", MIB) == errno.ENOSPC
        assert (path / "fits").stat().st_uid == os.geteuid()
        assert not path.resolve().parent.exists() or not path.resolve().exists()
        descriptor = os.open(path, os.O_TMPFILE | os.O_WRONLY, 0o600)
        os.close(descriptor)
        children = kill_holder(process)
        assert until(lambda: all_gone(children) and not path.exists(), GONE_SECONDS)


@drops_rights
def test_where_neither_way_is_allowed_it_says_what_to_do() -> None:
    """The message names the reason and the fix."""
    done = subprocess.run(
        [*WITHOUT_ANYTHING, sys.executable, "-c", REFUSED], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ScenarioError A small disk cannot be mounted here. ")
    assert "Operation not permitted. Run as root with CAP_SYS_ADMIN, or allow user namespaces" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("size", [0, 4095, 1 << 60])
def test_a_size_without_sense_or_room_is_refused(size: int) -> None:
    """A disk in memory must fit into it, even when it is full."""
    said = refusal(DiskEffect(DiskSpec(size)))
    assert said.startswith("ScenarioError: size must be from 4096 to ")
    assert said.endswith(f" bytes, for which memory has room, not {size}.")
