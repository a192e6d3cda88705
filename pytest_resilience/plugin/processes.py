"""The processes of workers, seen from the controller: what ended one, and how to end one that is stuck."""

import os
import signal
import time
from contextlib import suppress

from pytest_resilience.plugin.stack_dump import ask_for_stacks
from pytest_resilience.soak.member import Member
from pytest_resilience.soak.worker_pulse import GAVE_UP
from pytest_resilience.workers import is_here

EXIT_SECONDS = 1.0
POLL_SECONDS = 0.02


def kill_local(member: Member) -> bool:
    """Kill a worker on this machine, after asking it where it is; tell whether it is on this machine."""
    joined = member.joined
    if joined is None or not is_here(joined.machine):
        return False
    if not member.stacks:
        member.stacks = ask_for_stacks(joined.pid)
    with suppress(ProcessLookupError):
        os.kill(joined.pid, signal.SIGKILL)
    return True


def cause_of(member: Member) -> str:
    """Say how a worker's process ended, as far as this process may know."""
    joined = member.joined
    if joined is None:
        return "its connection ended before it had collected its tests"
    ended = _exit(joined.pid) if is_here(joined.machine) else None
    if ended is None:
        return "its connection ended"
    if ended.si_code == os.CLD_EXITED:
        gave_up = ", as an iteration could not be interrupted" if ended.si_status == GAVE_UP else ""
        return f"its process exited with code {ended.si_status}{gave_up}"
    return f"its process was ended by {_signal_name(ended.si_status)}"


def _exit(pid: int) -> "os.waitid_result | None":
    """Return how a child ended, and leave it to who waits for it; None if it is no child, or does not end."""
    until = time.monotonic() + EXIT_SECONDS
    while time.monotonic() < until:
        try:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except (OSError, AttributeError):
            return None
        if ended is not None:
            return ended
        time.sleep(POLL_SECONDS)
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
