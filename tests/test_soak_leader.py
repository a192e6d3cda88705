"""The thread that leads a soak: whatever ends it, the fault is removed and Stop is sent."""

import threading
import time
from collections.abc import Callable

import pytest
from polling import until

from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import StoreError
from pytest_resilience.soak import messages
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.leader import Leader
from pytest_resilience.soak.link import Loopback
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.phases import PhaseName, divide
from pytest_resilience.store.records import Phase, Record

DEADLINE = 20.0
DECLARED = messages.Declared(("test_a",), (), (), 0, ())


class Led:
    """A leader in real time whose runner is a list of commands."""

    def __init__(self, duration: float, abort_reason: Callable[[], str] = lambda: "") -> None:
        self.commands: list[Message] = []
        self.phases: dict[str, Phase] = {}
        self.failure: Exception | None = None
        runner_end, conductor_end = Loopback.pair()
        runner_end.attach(self.commands.append)
        clock = SystemClock()
        conductor = Conductor(
            conductor_end,
            clock=clock,
            origin=clock.now(),
            duration=duration,
            budgets=divide(duration, {}),
            disabled={},
            seed=7,
            store=self._store,
            say=lambda text: None,
        )
        self.leader = Leader(conductor, clock, abort_reason)
        conductor_end.attach(self.leader.take)

    def _store(self, record: Record) -> None:
        if self.failure is not None and isinstance(record, Phase) and record.name == PhaseName.BASELINE:
            raise self.failure
        if isinstance(record, Phase):
            self.phases[record.name] = record

    def declare(self) -> None:
        """Let the first round be over."""
        self.leader.take(DECLARED)

    def entered(self, name: PhaseName) -> bool:
        return self.phases[name].started is not None

    def ended(self) -> bool:
        return messages.Stop() in self.commands and bool(self.leader.cpu_seconds)


def assert_stopped_once(led: Led) -> None:
    """Stop is the last command, and no thread is left."""
    assert led.commands.count(messages.Stop()) == 1
    assert led.commands[-1] == messages.Stop()
    led.leader.cancel()
    assert not [one for one in threading.enumerate() if one.name == "resilience-conductor"]


def test_a_run_ends_by_itself_at_its_time() -> None:
    """Every phase that loops was entered, in order."""
    led = Led(0.4)
    began = time.monotonic()
    led.leader.start()
    led.declare()
    assert until(led.ended)
    assert time.monotonic() - began >= 0.4
    assert (led.leader.reason, led.leader.error) == ("", None)
    entered = [one.phase for one in led.commands if isinstance(one, messages.EnterPhase)]
    assert entered == [
        "INITIALIZATION",
        "BASELINE_ESTABLISHMENT",
        "MEMORY_SOAK_TESTING",
        "RECOVERY_VALIDATION",
    ]
    assert_stopped_once(led)


def test_news_of_the_runner_wake_the_script_at_once() -> None:
    """It does not wait for the next poll to see that the first round is over."""
    led = Led(60.0)
    led.leader.start()
    assert until(lambda: led.entered(PhaseName.INITIALIZATION))
    time.sleep(0.02)
    began = time.monotonic()
    led.declare()
    assert until(lambda: led.entered(PhaseName.BASELINE))
    assert time.monotonic() - began < 0.2
    led.leader.cancel()


def test_a_cancelled_run_cleans_up_before_cancel_returns() -> None:
    """The seams are no longer watched, the phase is cut, nothing is a reason or an error."""
    led = Led(60.0)
    led.leader.start()
    led.declare()
    assert until(lambda: messages.WatchSeams(active=True) in led.commands)
    led.leader.cancel()
    assert messages.WatchSeams(active=False) in led.commands
    baseline = led.phases[PhaseName.BASELINE]
    assert (baseline.status, baseline.reason) == ("cut", "interrupted")
    assert (led.leader.reason, led.leader.error) == ("", None)
    assert_stopped_once(led)


def test_cancelling_before_the_start_and_twice_is_harmless() -> None:
    """An interrupt may come at any time."""
    led = Led(60.0)
    led.leader.cancel()
    led.leader.start()
    led.leader.cancel()
    led.leader.cancel()
    assert_stopped_once(led)


def test_an_abort_cuts_the_phase_with_its_reason() -> None:
    """As when memory runs out."""
    full = threading.Event()
    led = Led(60.0, lambda: "97.0 % of the machine's memory is in use" if full.is_set() else "")
    led.leader.start()
    led.declare()
    assert until(lambda: led.entered(PhaseName.BASELINE))
    full.set()
    assert until(led.ended)
    assert led.leader.reason == "97.0 % of the machine's memory is in use"
    baseline = led.phases[PhaseName.BASELINE]
    assert (baseline.status, baseline.reason) == ("cut", led.leader.reason)
    assert led.leader.error is None
    assert_stopped_once(led)


def test_a_suite_that_is_broken_is_a_reason() -> None:
    """The script's own abort."""
    led = Led(60.0)
    led.leader.start()
    led.leader.take(messages.Broken("test_a", "fails at once"))
    assert until(led.ended)
    assert led.leader.reason.startswith("test_a fails at once: nothing can be said")
    assert_stopped_once(led)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(StoreError("the disk is full"), "the disk is full"), (ZeroDivisionError("a defect of ours"), "")],
)
def test_a_failing_store_is_a_reason_and_a_defect_is_kept(failure: Exception, reason: str) -> None:
    """Neither leaves the runner looping for ever."""
    led = Led(60.0)
    led.failure = failure
    led.leader.start()
    led.declare()
    assert until(led.ended)
    assert led.leader.reason == reason
    assert led.leader.error is (None if reason else failure)
    assert_stopped_once(led)


def test_leading_costs_next_to_nothing() -> None:
    """The thread sleeps: its CPU time is what monitoring_overhead_percent counts."""
    led = Led(0.5)
    led.leader.start()
    led.declare()
    assert until(led.ended)
    assert 0 < led.leader.cpu_seconds < 0.1
    led.leader.cancel()
