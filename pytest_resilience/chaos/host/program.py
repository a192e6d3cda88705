"""The program of the child processes: `python -I -S program.py PARENT ROLE ARGUMENTS`.

It needs only the standard library, so that it starts in milliseconds. A child that is ready says so on
standard output; anything else that it says is why it failed. It ends when its standard input does, which is
when the parent closes it or dies. All but the roles that must outlive the parent to undo something are also
killed by the kernel when the parent dies.
"""

import ctypes
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep, thread_time

READY = "ready"
DISK = "pytest-resilience-disk-"
FOLDER = "pytest-resilience-"

_PERIOD = 0.02
_PAGE = mmap.PAGESIZE
_OWN_MEMORY = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_NOSUID_NODEV = 2 | 4
_MS_REC_PRIVATE = 0x4000 | 1 << 18
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8


def burn(load: str) -> None:
    """Use the processor for the share `load` of each period."""
    _end_with_parent()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    _say_ready()
    busy = float(load) * _PERIOD
    while True:
        ends, used = monotonic() + _PERIOD, thread_time()
        while thread_time() - used < busy and monotonic() < ends:
            sum(range(500))
        if (rest := ends - monotonic()) > 0 and busy < _PERIOD:
            sleep(rest)


def hold() -> None:
    """Hold as many bytes as each line of standard input says."""
    _end_with_parent()
    _be_killed_first()
    blocks: list[mmap.mmap] = []
    _say_ready()
    for line in sys.stdin:
        _hold(int(line), blocks)


def wake(pid: str) -> None:
    """Let a stopped process go on when the parent is gone; never another one that got its number."""
    if sys.platform == "linux":
        process = os.pidfd_open(int(pid))
        _say_ready()
        sys.stdin.read()
        signal.pidfd_send_signal(process, signal.SIGCONT)
    else:
        _say_ready()
        sys.stdin.read()
        os.kill(int(pid), signal.SIGCONT)


def disk(size: str, parent_folder: str) -> None:
    """Mount a disk of `size` bytes in memory until the parent is gone, and say its path.

    Who may mount gives it a plain path. Else it is mounted where only this process sees it, in a user
    namespace, and vanishes with it; the path then leads through /proc.
    """
    os.umask(0)
    sweep(parent_folder)
    folder, libc = Path(parent_folder, f"{DISK}{os.getpid()}"), ctypes.CDLL(None, use_errno=True)
    try:
        folder.mkdir()
        seen = folder if _mounted(libc, folder, size) else _mount_hidden(libc, folder, size)
        _say_ready(str(seen))
        sys.stdin.read()
    finally:
        _remove_disk(folder)


def sweep(parent_folder: str) -> None:
    """Remove the disks whose process was killed."""
    for folder in Path(parent_folder).glob(f"{DISK}*"):
        if not _lives(folder.name.removeprefix(DISK)):
            _remove_disk(folder)


def folder(parent_folder: str) -> None:
    """Make a folder for this user only, say its path, and remove it and its files when the parent is gone."""
    made = Path(parent_folder, f"{FOLDER}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        made.mkdir(0o700)
        _say_ready(str(made))
        sys.stdin.read()
    finally:
        remove_folder(made)


def run(*command: str) -> None:
    """Become another program, which still ends with the parent."""
    _end_with_parent()
    try:
        os.execvp(command[0], command)  # noqa: S606 (the user's own command)
    except OSError as failure:
        sys.exit(f"{failure.strerror}: {command[0]}")


ROLES: dict[str, Callable[..., None]] = {
    each.__name__: each for each in (burn, hold, wake, disk, sweep, folder, run)
}


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        os._exit(1)


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def _be_killed_first() -> None:
    """When the machine has no memory left, this process is the one that the kernel ends."""
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000")


def _say_ready(more: str = "") -> None:
    sys.stdout.write(f"{READY} {more}\n")
    sys.stdout.flush()


def _hold(size: int, blocks: list[mmap.mmap]) -> None:
    while (held := sum(map(len, blocks))) > size:
        blocks.pop().close()
    if held < size:
        block = mmap.mmap(-1, size - held, flags=_OWN_MEMORY)
        block[::_PAGE] = b"\1" * len(range(0, len(block), _PAGE))
        blocks.append(block)


def _mounted(libc: ctypes.CDLL, folder: Path, size: str) -> bool:
    """Mount a disk at a folder, if that is permitted."""
    options = f"size={size},mode=1777".encode()
    flags = ctypes.c_ulong(_MS_NOSUID_NODEV)
    return bool(libc.mount(b"tmpfs", bytes(folder), b"tmpfs", flags, options) == 0)


def _mount_hidden(libc: ctypes.CDLL, folder: Path, size: str) -> Path:
    """Mount a disk over the parent of a folder, in a namespace of our own, and make the folder in it.

    Outside of it there is no such folder: who resolves the links of its path fails, and writes nowhere else.
    """
    folder.rmdir()
    user, group = os.getuid(), os.getgid()
    _end_with_parent()
    _require(libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER) == 0)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _require(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None) == 0)
    _require(_mounted(libc, folder.parent, size))
    folder.mkdir()
    return Path(f"/proc/{os.getpid()}/root{folder}")


def _lives(pid: str) -> bool:
    """Tell whether there is such a process, and it is not a zombie."""
    try:
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def remove_folder(made: Path) -> None:
    """Remove a folder and the files in it, as far as they are there."""
    with suppress(FileNotFoundError):
        for each in made.iterdir():
            each.unlink(missing_ok=True)
        made.rmdir()


def remove_made(made: Path) -> None:
    """Remove what `disk` or `folder` has made and could not remove itself."""
    if made.name.startswith(DISK):
        _remove_disk(made)
    else:
        remove_folder(made)


def _remove_disk(folder: Path) -> None:
    """Unmount what is mounted there; files that are still open keep their memory until they are closed."""
    ctypes.CDLL(None).umount2(bytes(folder), _MNT_DETACH | _UMOUNT_NOFOLLOW)
    with suppress(OSError):  # it is gone, or not empty and so none of ours
        folder.rmdir()


def _require(done: bool) -> None:
    if not done:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Take the role that the command line names."""
    try:
        ROLES[sys.argv[2]](*sys.argv[3:])
    except OSError as failure:
        sys.exit(failure.strerror)


if __name__ == "__main__":
    main()
