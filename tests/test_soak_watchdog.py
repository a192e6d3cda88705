"""The watchdog: what hangs is told, ended and counted; what a fault lets hang is not, while it lasts."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from pytest_resilience.clock import ManualClock
from pytest_resilience.soak.limits import Limit
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.stacks import all_stacks
from pytest_resilience.soak.watchdog import (
    ENDED_BY_ITSELF,
    INTERRUPTED,
    LONGEST_GRACE_SECONDS,
    NOT_INTERRUPTED,
    STALLED_SECONDS,
    STILL_HANGING,
    Iteration,
    Watchdog,
)
from pytest_resilience.store.records import Hang

TIMEOUT = 60.0
PASSED = Outcome(Status.PASSED, 0.1)
TEST = "test_shop.py::test_quote"


@dataclass
class Kennel:
    """A watchdog on a manual clock that looks every second; what it does is written down."""

    timeout: float = TIMEOUT
    calm_since: float = 0.0
    last_resort: str = "it is left"
    watchdog: "Watchdog | None" = None
    kept: list[Hang] = field(default_factory=list)
    interrupts: int = 0
    debugged: bool = False
    unreadable: bool = False
    given_up: list[Hang] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.dog = Watchdog(
            Limit(self.timeout),
            clock=self.clock,
            origin=1000.0,
            calm_since=lambda: self.calm_since,
            owner=lambda test, started, ended: "latency_spike-1" if self.calm_since else "",
            rescue=self,
            keep=self.kept.append,
        )

    def is_debugged(self) -> bool:
        return self.debugged

    def stacks(self) -> str:
        if self.unreadable:
            raise RuntimeError("no frames")
        return "MainThread:"

    def interrupt(self) -> None:
        self.interrupts += 1

    def give_up(self, hang: Hang) -> None:
        self.given_up.append(hang)

    def begin(self) -> None:
        """Begin an iteration."""
        self.dog.current = Iteration(TEST, "MEMORY_SOAK_TESTING", self.clock.now() - 1000.0)

    def after(self, seconds: float) -> None:
        """Let time pass; it looks once a second until it gives up."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)
            if not self.given_up:
                self.dog.look()

    @property
    def endings(self) -> list[str]:
        return [hang.ending for hang in self.kept]


def test_iterations_that_end_in_time_are_left_alone() -> None:
    """However many."""
    kennel = Kennel()
    for _ in range(20):
        kennel.begin()
        kennel.after(TIMEOUT)
        assert kennel.dog.end(PASSED) is PASSED
        kennel.after(3)
    assert (kennel.kept, kennel.interrupts) == ([], 0)


def test_a_hang_is_recorded_with_its_stacks_and_interrupted() -> None:
    """Once it took longer than the limit, and it is a failure, whatever became of it."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(TIMEOUT)
    assert kennel.kept == []
    kennel.after(1)
    assert kennel.kept == [
        Hang(TEST, 0.0, "MEMORY_SOAK_TESTING", TIMEOUT + 1, "", STILL_HANGING, "MainThread:")
    ]
    assert kennel.interrupts == 1
    assert kennel.dog.wants_interrupt()
    outcome = kennel.dog.end(PASSED)
    assert (outcome.status, outcome.crash) == (Status.FAILED, "hung")
    assert outcome.text() == "the iteration hung: it took longer than soak_iteration_timeout (1m00s)"
    assert kennel.endings == [STILL_HANGING, INTERRUPTED]
    kennel.begin()
    kennel.after(TIMEOUT)
    assert kennel.dog.end(PASSED) is PASSED, "the next one begins anew"


def test_a_failure_of_its_own_is_kept() -> None:
    """The traceback of where it hung says more than that it hung."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(TIMEOUT + 1)
    failed = Outcome(Status.FAILED, 61.0, "call", "shop.py:12: IterationTimedOut")
    assert kennel.dog.end(failed) is failed


def test_it_is_interrupted_once_only() -> None:
    """Its clean-up must not be interrupted too."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(TIMEOUT + 1)
    assert kennel.dog.wants_interrupt()
    assert not kennel.dog.wants_interrupt()
    kennel.after(5)
    assert kennel.interrupts == 1


def test_it_is_asked_again_as_long_as_it_does_not_listen() -> None:
    """A signal may come while it cannot be heard."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(TIMEOUT + 4)
    assert kennel.interrupts == 4
    assert kennel.dog.end(PASSED).status is Status.FAILED
    assert kennel.endings == [STILL_HANGING, ENDED_BY_ITSELF]


@pytest.mark.parametrize("heard", [True, False])
def test_what_cannot_be_interrupted_ends_the_run(heard: bool) -> None:
    """After a grace, whether it swallowed the interrupt or never heard it."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(TIMEOUT + 1)
    assert not heard or kennel.dog.wants_interrupt()
    kennel.after(LONGEST_GRACE_SECONDS)
    assert kennel.given_up == []
    kennel.after(1)
    left = NOT_INTERRUPTED.format("it is left")
    assert [hang.ending for hang in kennel.given_up] == [left]
    assert kennel.endings == [STILL_HANGING, left]


def test_a_short_limit_has_a_short_grace() -> None:
    """As long as the limit, from one second to thirty."""
    for limit, grace in ((0.1, 1), (5.0, 5), (300.0, 30)):
        kennel = Kennel(limit)
        kennel.begin()
        kennel.after(limit + 1 + grace)
        assert not kennel.given_up
        kennel.after(1)
        assert kennel.given_up


def test_a_time_of_its_own_counts_under_faults_too() -> None:
    """As the user gave it to the test; without it, the limit holds again."""
    kennel = Kennel(calm_since=float("inf"))
    kennel.begin()
    kennel.after(3)
    kennel.dog.set_timer(5)
    kennel.after(5)
    assert kennel.kept == []
    kennel.after(1)
    assert kennel.endings == [STILL_HANGING]
    assert kennel.dog.wants_interrupt()
    assert kennel.dog.cancel_timer()
    expected = "the iteration hung: it took longer than its own timeout (5.0s)"
    assert kennel.dog.verdict == expected
    assert kennel.dog.end(PASSED).text() == expected
    kennel.begin()
    kennel.after(10 * TIMEOUT)
    assert len(kennel.kept) == 2
    assert not kennel.dog.cancel_timer()


def test_time_under_a_fault_does_not_count() -> None:
    """A call that a fault lets hang for minutes, and that ends with the fault, is no hang."""
    kennel = Kennel()
    kennel.begin()
    kennel.calm_since = float("inf")
    kennel.after(10 * TIMEOUT)
    assert kennel.kept == []
    kennel.calm_since = 10 * TIMEOUT
    kennel.after(TIMEOUT)
    assert kennel.dog.end(PASSED) is PASSED


def test_what_hangs_on_after_the_fault_is_gone_is_a_hang_of_the_code() -> None:
    """It belongs to the fault, as the record says."""
    kennel = Kennel()
    kennel.begin()
    kennel.calm_since = float("inf")
    kennel.after(100)
    kennel.calm_since = 100.0
    kennel.after(TIMEOUT + 1)
    (hang,) = kennel.kept
    assert (hang.seconds, hang.event_id) == (161.0, "latency_spike-1")


def test_a_process_that_was_stopped_did_not_hang() -> None:
    """After SIGSTOP and SIGCONT, or a machine that slept, the limit begins anew."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(10)
    kennel.clock.advance(3600.0 + STALLED_SECONDS)
    kennel.dog.look()
    kennel.after(TIMEOUT)
    assert kennel.kept == []
    kennel.after(1)
    assert len(kennel.kept) == 1


def test_who_debugs_a_test_takes_the_time_that_it_takes() -> None:
    """Nothing is interrupted under a debugger, and the run is not ended."""
    kennel = Kennel(debugged=True)
    kennel.begin()
    kennel.after(10 * TIMEOUT)
    assert (kennel.kept, kennel.interrupts) == ([], 0)


def test_stacks_that_cannot_be_read_keep_nobody_from_interrupting() -> None:
    """The record says so."""
    kennel = Kennel(unreadable=True)
    kennel.begin()
    kennel.after(TIMEOUT + 1)
    assert kennel.interrupts == 1
    assert kennel.kept[0].stacks == "The stacks could not be read: RuntimeError('no frames')."


def test_who_returns_while_the_run_is_being_ended_is_held_back() -> None:
    """The report is written on the watchdog's thread: nobody else may go on with the run."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(TIMEOUT + 1 + LONGEST_GRACE_SECONDS + 1)
    assert kennel.given_up
    late = threading.Thread(target=kennel.dog.end, args=(PASSED,), daemon=True)
    late.start()
    late.join(0.1)
    assert late.is_alive()


def test_who_returns_in_the_last_instant_is_not() -> None:
    """Its iteration is over, so the run goes on."""
    kennel = Kennel()
    kennel.begin()
    kennel.after(TIMEOUT + 1)
    hung = kennel.dog._hung
    assert hung is not None
    kennel.clock.advance(LONGEST_GRACE_SECONDS + 1)
    kennel.dog.end(PASSED)
    kennel.dog._insist(hung, kennel.clock.now() - 1000.0)
    assert kennel.given_up == []
    kennel.begin()
    assert kennel.dog.end(PASSED) is PASSED


def test_the_thread_looks_by_itself_and_ends() -> None:
    """In real time; nothing is left behind."""
    from pytest_resilience.clock import SystemClock

    clock = SystemClock()
    told = threading.Event()
    kennel = Kennel()
    dog = Watchdog(
        Limit(0.05),
        clock=clock,
        origin=clock.now(),
        calm_since=lambda: 0.0,
        owner=lambda *call: "",
        rescue=kennel,
        keep=lambda hang: told.set(),
    )
    dog.current = Iteration(TEST, "x", 0.0)
    dog.start()
    assert told.wait(10)
    dog.stop()
    assert not [one for one in threading.enumerate() if one.name == "resilience-watchdog"]


# Stacks


@contextmanager
def blocked(name: str) -> Iterator[None]:
    """Let a thread wait in `sleeper` while the block lasts."""
    ready, release = threading.Event(), threading.Event()

    def sleeper() -> None:
        ready.set()
        release.wait()

    thread = threading.Thread(target=sleeper, name=name)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()


def stacks_seen_from_outside() -> str:
    """Return the stacks as a thread of its own sees them."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(all_stacks(("_pytest", "pluggy"))))
    thread.start()
    thread.join()
    return found[0]


def test_stacks_of_all_threads_are_shown_the_main_one_first() -> None:
    """Each with its name, its files and its lines, without what pytest itself adds."""
    with blocked("the-sleeper"):
        shown = stacks_seen_from_outside()
    assert shown.startswith("MainThread:\n")
    assert "in test_stacks_of_all_threads_are_shown_the_main_one_first: " in shown
    assert "the-sleeper:\n" in shown
    assert "sleeper: release.wait()" in shown
    assert "_pytest/python.py" not in shown
    assert "_bootstrap" not in shown


def test_tasks_of_a_running_loop_are_shown_down_to_what_they_wait_for() -> None:
    """Also those that are not running, which no thread's stack has."""

    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    async def main() -> str:
        task = asyncio.create_task(outer(), name="the-waiter")
        await asyncio.sleep(0)
        shown = stacks_seen_from_outside()
        task.cancel()
        return shown

    shown = asyncio.run(main())
    place = shown.index("task the-waiter:")
    assert "outer: await inner()" in shown[place:]
    assert "inner: await asyncio.Event().wait()" in shown[place:]
