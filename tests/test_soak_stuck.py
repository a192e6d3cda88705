"""When an iteration hangs: judged by what its test took before, and by the faults that may hold it up."""

from pytest_resilience.clock import ManualClock
from pytest_resilience.soak import messages
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.stuck import StuckWatch


class Suite:
    """Tests that take as long as they are told, and are watched while they do."""

    tests = ("one", "other")

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.seconds = 0.1
        self.watch = StuckWatch(self, clock)
        self.found: list[tuple[str, float] | None] = []

    def run(self, test: str, following: str) -> Outcome:
        self.clock.advance(self.seconds)
        self.found.append(self.watch.hang())
        return Outcome(Status.PASSED, self.seconds)

    def hang_after(self, seconds: float, test: str = "one") -> tuple[str, float] | None:
        """Run a test, and return what was seen after so many seconds of it."""
        self.seconds = seconds
        self.watch.run(test, test)
        return self.found[-1]


def suite() -> Suite:
    made = Suite(ManualClock())
    made.hang_after(0.1)
    return made


def test_a_hang_is_seen_after_nine_seconds() -> None:
    """Told within ten, with the heartbeat; a test that takes long is given ten times as long."""
    assert suite().hang_after(8.9) is None
    assert suite().hang_after(9.1) == ("one", 9.1)
    slow = suite()
    slow.hang_after(3.0)
    assert slow.hang_after(29.0) is None
    assert slow.hang_after(291.0) == ("one", 291.0)


def test_the_first_iteration_of_a_test_may_take_any_time() -> None:
    """Nothing is known of it yet; another test says nothing about it."""
    assert suite().hang_after(500.0, "other") is None


def test_nothing_hangs_while_a_fault_may_hold_it_up() -> None:
    """From its injection on; once it is removed, time starts anew."""
    for held in (messages.Inject("e", "provider_timeout", "odds", "calls"), messages.Overlap("e", "x")):
        one = suite()
        one.watch.heed(held)
        assert one.hang_after(100.0) is None
        one.watch.heed(messages.Remove("e"))
        assert one.hang_after(9.5) is not None


def test_faults_that_raise_at_once_excuse_no_hang() -> None:
    """Errors on calls hold nothing up; on an endpoint they may."""
    one = suite()
    one.watch.heed(messages.Inject("e", "intermittent_errors", "odds", "calls"))
    assert one.hang_after(9.1) is not None
    one.watch.heed(messages.Inject("f", "intermittent_errors", "odds", "endpoint"))
    assert one.hang_after(9.1) is None


def test_what_a_fault_stretched_is_no_measure() -> None:
    """An iteration under a fault does not make later hangs look normal."""
    one = suite()
    one.watch.heed(messages.Inject("e", "latency_spike", "odds", "calls"))
    one.hang_after(50.0)
    one.watch.heed(messages.Remove("e"))
    assert one.hang_after(9.1) is not None


def test_between_iterations_nothing_hangs() -> None:
    """Tasks and checkpoints take their time."""
    one = suite()
    one.clock.advance(1000.0)
    assert one.watch.hang() is None
