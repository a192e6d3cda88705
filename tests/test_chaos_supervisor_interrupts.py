"""An interrupt at any instant of starting or stopping an effect leaves none, once its id is stopped."""

import _thread
import gc
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from supervisor_subjects import LAUNCHER, NoteSpec

from pytest_resilience.chaos.supervisor.client import Supervisor

CYCLE_INTERRUPTS = 300
LONGEST_CYCLE = 0.0015
LAUNCH_INTERRUPTS = 20
LONGEST_LAUNCH = 0.12
GIVE_UP = 0.5

pytestmark = pytest.mark.timeout(method="thread")


@contextmanager
def interrupts() -> Iterator[None]:
    """Let a timer's signal raise a KeyboardInterrupt, and others' gc callbacks not swallow it."""
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, previous)


def struck(work: Callable[[], None], delay: float) -> KeyboardInterrupt | None:
    """Repeat some work until it is interrupted after `delay` seconds; return the interrupt."""
    deadline = time.monotonic() + GIVE_UP
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        while time.monotonic() < deadline:
            work()
    except KeyboardInterrupt as interrupt:
        return interrupt
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


class Cycles:
    """Starts and stops effects, two at a time, and knows all ids that it used."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self._supervisor = supervisor
        self._name = name
        self.ids: list[str] = []

    def run(self) -> None:
        one, other = self._start(), self._start()
        self._supervisor.stop(one)
        self._supervisor.stop(other)

    def _start(self) -> str:
        effect_id = f"{self._name}-{len(self.ids)}"
        self.ids.append(effect_id)
        self._supervisor.start(effect_id, NoteSpec(""))
        return effect_id


def test_interrupts_of_starts_and_stops_leave_no_effect() -> None:
    """Real KeyboardInterrupts from a timer, at random instants, their tracebacks kept alive."""
    rng = random.Random(7)
    supervisor = Supervisor(launcher=LAUNCHER)
    supervisor.start("first", NoteSpec(""))
    supervisor.stop("first")
    kept: list[KeyboardInterrupt] = []
    left_before_stop = 0
    with interrupts():
        for number in range(CYCLE_INTERRUPTS):
            cycles = Cycles(supervisor, f"round-{number}")
            interrupt = struck(cycles.run, rng.uniform(0.000_001, LONGEST_CYCLE))
            kept += [interrupt] if interrupt is not None else []
            left_before_stop += len(supervisor.held())
            for effect_id in cycles.ids:
                supervisor.stop(effect_id)
            assert supervisor.held() == ()
    supervisor.close()
    assert len(kept) > CYCLE_INTERRUPTS * 0.9
    assert left_before_stop > CYCLE_INTERRUPTS * 0.1


def test_interrupts_of_the_first_start_leave_no_process() -> None:
    """While the supervisor itself is being started; and what was started by halves can be used."""
    rng = random.Random(8)
    others, fds, threads = psutil.Process().children(), psutil.Process().num_fds(), _thread._count()
    kept: list[KeyboardInterrupt] = []
    with interrupts():
        for number in range(LAUNCH_INTERRUPTS):
            supervisor = Supervisor(launcher=LAUNCHER)
            cycles = Cycles(supervisor, "launch")
            interrupt = struck(cycles.run, rng.uniform(0.000_001, LONGEST_LAUNCH))
            kept += [interrupt] if interrupt is not None else []
            if number % 2:
                supervisor.start("again", NoteSpec(""))
            for effect_id in [*cycles.ids, "again"]:
                supervisor.stop(effect_id)
            assert supervisor.held() == ()
            supervisor.close()
    assert len(kept) > LAUNCH_INTERRUPTS * 0.9
    deadline = time.monotonic() + 5
    while (
        any(one not in others for one in psutil.Process().children())
        or psutil.Process().num_fds() > fds
        or _thread._count() > threads
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_interrupted_close_can_be_done_again() -> None:
    """By the sweep at exit, for one."""
    rng = random.Random(9)
    with interrupts():
        for _ in range(LAUNCH_INTERRUPTS):
            supervisor = Supervisor(launcher=LAUNCHER)
            supervisor.start("a", NoteSpec(""))
            pid = supervisor.pid
            assert pid is not None
            struck(supervisor.close, rng.uniform(0.000_001, 0.004))
            supervisor.close()
            assert not psutil.pid_exists(pid)
