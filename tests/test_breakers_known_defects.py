"""What docs/breakers.md says of the libraries, by hand: a few calls each, without the project's checks."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiobreaker
import circuitbreaker
import purgatory
import purgatory.domain.model
import pybreaker
import pytest
from checked_breakers import checked

from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.breakers.subject import subject_of

OPEN_SECONDS = 30


class Down(Exception):
    """What the dependency raises when it is ill."""


class Hand:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds

    monotonic = time = __call__

    def now(self, zone: object = None) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def outlast_open(self) -> None:
        self.seconds += OPEN_SECONDS + 1


@pytest.fixture
def hand() -> Hand:
    """The time that the breakers of a test see."""
    return Hand()


def test_purgatory_keeps_each_rejection(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises the same exception each time, whose traceback grows with every rejection."""
    monkeypatch.setattr(purgatory.domain.model, "time", hand)
    breaker = purgatory.SyncCircuitBreakerFactory(1, OPEN_SECONDS).get_breaker("it")
    with suppress(Down), breaker:
        raise Down

    def frames() -> int:
        try:
            with breaker:
                pass
        except Exception as rejection:
            length, trace = 0, rejection.__traceback__
            while trace is not None:
                length, trace = length + 1, trace.tb_next
            return length
        return 0

    lengths = [frames() for _ in range(5)]
    assert lengths == sorted(set(lengths))


def test_falsy_settings() -> None:
    """A setting of 0 is taken for none."""
    assert circuitbreaker.CircuitBreaker(recovery_timeout=0)._recovery_timeout == 30
    assert circuitbreaker.CircuitBreaker(failure_threshold=0)._failure_threshold == 5
    assert aiobreaker.CircuitBreaker(timeout_duration=timedelta(0)).timeout_duration == timedelta(seconds=60)
    factory = purgatory.SyncCircuitBreakerFactory(5, 30)
    assert factory.get_breaker("it", threshold=0, ttl=0).context.ttl == 30


def test_circuitbreaker_rejects_only_through_its_decorator() -> None:
    """Its call() lets every call in, also while it is open."""
    breaker = circuitbreaker.CircuitBreaker(1, OPEN_SECONDS)
    with suppress(Down):
        breaker.call(_raise_down)
    assert breaker.opened
    assert breaker.call(lambda: "in") == "in"


def test_circuitbreaker_takes_an_interrupted_probe_for_a_success(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in a probe closes it, and so does a generator that is closed early."""
    monkeypatch.setattr(circuitbreaker, "monotonic", hand)

    def interrupted() -> None:
        raise KeyboardInterrupt

    def items() -> Iterator[str]:
        yield "item"
        raise Down

    def half_open() -> circuitbreaker.CircuitBreaker:
        breaker = circuitbreaker.CircuitBreaker(1, OPEN_SECONDS)
        with suppress(Down):
            breaker(_raise_down)()
        hand.outlast_open()
        assert breaker.state == "half_open"
        return breaker

    breaker = half_open()
    with suppress(KeyboardInterrupt):
        breaker(interrupted)()
    assert breaker.state == "closed"

    breaker = half_open()
    stream = breaker(items)()
    next(stream)
    stream.close()
    assert breaker.state == "closed"


def test_purgatory_never_trips_on_a_coroutine_function() -> None:
    """The decorator of its sync factory is through with the call before anything has failed."""
    factory = purgatory.SyncCircuitBreakerFactory(1, OPEN_SECONDS)
    guarded = factory("it")(_raise_down_async)

    async def script() -> None:
        for _ in range(10):
            with suppress(Down):
                await guarded()

    asyncio.run(script())
    assert factory.get_breaker("it").context.state == "closed"


def test_pybreaker_keeps_all_callers_waiting_while_a_probe_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock is held during a call: the others neither get in nor are rejected."""
    breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0)
    breaker.half_open()
    entered, release, waited = threading.Event(), threading.Event(), threading.Event()

    def hangs() -> None:
        entered.set()
        release.wait(10)

    def other() -> None:
        breaker.call(lambda: None)
        waited.set()

    probe, caller = threading.Thread(target=breaker.call, args=(hangs,)), threading.Thread(target=other)
    probe.start()
    assert entered.wait(10)
    caller.start()
    assert not waited.wait(0.1)
    release.set()
    assert waited.wait(10)
    probe.join()
    caller.join()


def test_pybreaker_replaces_a_keyboard_interrupt() -> None:
    """Ctrl-C on the call that trips it becomes a CircuitBreakerError."""
    breaker = pybreaker.CircuitBreaker(fail_max=1)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(pybreaker.CircuitBreakerError):
        breaker.call(interrupted)


def test_pybreaker_never_trips_on_a_coroutine_function() -> None:
    """The call returns a coroutine, which is a success, before anything has failed."""
    breaker = pybreaker.CircuitBreaker(fail_max=1)

    async def script() -> None:
        for _ in range(10):
            with suppress(Down):
                await breaker.call(_raise_down_async)

    asyncio.run(script())
    assert breaker.current_state == "closed"
    assert breaker.fail_counter == 0


def test_pybreaker_replaces_the_error_that_trips_it() -> None:
    """Its caller gets a CircuitBreakerError instead."""
    with pytest.raises(pybreaker.CircuitBreakerError):
        pybreaker.CircuitBreaker(fail_max=1).call(_raise_down)


def test_pybreaker_takes_a_stream_that_is_closed_early_for_a_failure() -> None:
    """A consumer that has seen enough opens it."""
    breaker = pybreaker.CircuitBreaker(fail_max=1)
    stream = breaker.call(lambda: (item for item in "items"))
    next(stream)
    with pytest.raises(pybreaker.CircuitBreakerError):
        stream.close()
    assert breaker.current_state == "open"


def test_pybreaker_takes_an_excluded_error_for_a_success() -> None:
    """An error of the caller closes it in half-open: its manual says that it is ignored."""
    breaker = pybreaker.CircuitBreaker(exclude=[Down])
    breaker.half_open()
    with suppress(Down):
        breaker.call(_raise_down)
    assert breaker.current_state == "closed"


@pytest.mark.parametrize("step", [-3600, 3600])
def test_pybreaker_goes_by_the_wall_clock(step: float, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set back an hour it stays open an hour longer, set forward it lets calls in at once."""
    monkeypatch.setattr(pybreaker, "datetime", hand)
    breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=OPEN_SECONDS)
    breaker.open()
    hand.seconds += step
    if step < 0:
        hand.outlast_open()
    entered = []
    with suppress(pybreaker.CircuitBreakerError):
        breaker.call(lambda: entered.append("in"))
    assert bool(entered) is (step > 0)


class _RaisesInPybreaker(pybreaker.CircuitBreakerListener):
    def failure(self, cb: pybreaker.CircuitBreaker, exc: BaseException) -> None:
        raise LookupError("the metrics are down")


class _RaisesInAiobreaker(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]
    def failure(self, breaker: object, exception: Exception) -> None:
        raise LookupError("the metrics are down")


def test_a_raising_listener_keeps_pybreaker_and_aiobreaker_closed() -> None:
    """It is told before the state is changed, and what it raises ends that."""
    one = pybreaker.CircuitBreaker(fail_max=1, listeners=[_RaisesInPybreaker()])
    other = aiobreaker.CircuitBreaker(1, listeners=[_RaisesInAiobreaker()])
    for _ in range(5):
        with pytest.raises(LookupError):
            one.call(_raise_down)
        with pytest.raises(LookupError):
            other.call(_raise_down)
    assert one.current_state == "closed"
    assert other.current_state is aiobreaker.CircuitBreakerState.CLOSED


class Rejected(Exception):
    """What an open breaker raises."""


def test_no_garbage_of_others_hides_what_rejections_keep() -> None:
    """The collector rests while they are counted, and goes on afterwards."""
    seen: list[bool] = []

    class Rejecting:
        def __init__(self, clock: Callable[[], float]) -> None:
            self.clock, self.open_until = clock, clock()

        def call(self, function: Callable[[], object]) -> object:
            if self.clock() < self.open_until:
                seen.append(gc.isenabled())
                raise Rejected
            try:
                return function()
            except Exception:
                self.open_until = self.clock() + 10
                raise

    source = BreakerAdapter(Rejecting, threshold=1, open_seconds=10, call=Rejecting.call)
    Checker(subject_of("mine", source)).hazard(HAZARDS["memory_kept_by_rejections"])
    assert seen.count(False) >= 300
    assert gc.isenabled()


BY_HAND = {
    "pybreaker": {
        "interrupt_replaced",
        "tripping_error_replaced",
        "ignored_probe_closes",
        "waits_for_hung_probe",
        "wedged_by_hung_probe",
        "lock_held_during_calls",
        "kept_closed_by_raising_listener",
        "closed_streams_open",
        "coroutine_function_missed",
        "clock_set_forward",
        "clock_set_back",
    },
    "purgatory": {"coroutine_function_missed", "falsy_open_time", "memory_kept_by_rejections"},
    "circuitbreaker": {"falsy_open_time"},
    "aiobreaker": {"falsy_open_time", "kept_closed_by_raising_listener"},
    "pyresilience": set[str](),
    "interlock-cb": set[str](),
    "nopanic": set[str](),
}
"""What is shown by hand in this file; what calls that overlap show is in test_breakers_truth.py."""


@pytest.mark.parametrize("library", BY_HAND)
def test_the_checks_find_this_and_no_more(library: str) -> None:
    """Each hazard that is played here is found in the libraries that fall for it, and in no other."""
    verdicts = next(one.verdicts for one in checked() if one.sample == library)
    failed = {name for name, (verdict, _) in verdicts.items() if verdict == "failed"}
    others = set().union(*(BY_HAND[other] for other in BY_HAND if other != "pybreaker"))
    assert (failed if library == "pybreaker" else failed & others) == BY_HAND[library]


def _raise_down() -> None:
    raise Down


async def _raise_down_async() -> None:
    raise Down
