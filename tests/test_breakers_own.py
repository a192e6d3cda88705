"""A breaker of the user's own: about fifteen lines describe it, and what is wrong with them is told."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from pytest_resilience.breakers.adapter import CapabilityError
from pytest_resilience.breakers.bench import Bench, ways_of
from pytest_resilience.breakers.cascade import run_cascades
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands, VacuousClockError
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.breakers.verify import verify
from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import ResilienceError


class Rejected(Exception):
    """What an open breaker raises."""


class OwnBreaker:
    """Opens for `timeout` seconds after 3 failures in a row, and takes the next call as a probe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, timeout: float = 10.0) -> None:
        self.clock, self.timeout = clock, timeout
        self.failures, self.opened = 0, -timeout

    def before(self) -> None:
        if self.failures >= 3 and self.clock() < self.opened + self.timeout:
            raise Rejected

    def after(self, *, failed: bool) -> None:
        self.failures = self.failures + 1 if failed else 0
        self.opened = self.clock()

    @contextmanager
    def guarding(self) -> Iterator[None]:
        self.before()
        try:
            yield
        except Exception:
            self.after(failed=True)
            raise
        self.after(failed=False)

    def call(self, function: Callable[[], object]) -> object:
        with self.guarding():
            return function()

    async def call_async(self, function: Callable[[], Awaitable[object]]) -> object:
        with self.guarding():
            return await function()

    def stream(self, function: Callable[[], Iterator[object]]) -> Iterator[object]:
        with self.guarding():
            yield from function()

    async def stream_async(self, function: Callable[[], AsyncIterator[object]]) -> AsyncIterator[object]:
        with self.guarding():
            async for item in function():
                yield item


described = partial(BreakerAdapter, threshold=3, open_seconds=10.0)
injected = partial(described, lambda clock: OwnBreaker(clock))


def whole() -> BreakerAdapter:
    return injected(
        call=OwnBreaker.call,
        call_async=OwnBreaker.call_async,
        generate=OwnBreaker.stream,
        generate_async=OwnBreaker.stream_async,
        force_closed=lambda breaker: breaker.after(failed=False),
        set_open_seconds=lambda breaker, seconds: setattr(breaker, "timeout", seconds),
    )


def patched() -> BreakerAdapter:
    return described(OwnBreaker, clock=__name__, call=OwnBreaker.call, call_async=OwnBreaker.call_async)


@contextmanager
def bench_of(source: object, way: Way) -> Iterator[Bench]:
    hands = Hands()
    with subject_of("mine", source).borrowed(hands) as lend, Bench(lend(), hands, way) as bench:
        yield bench


def trip(bench: Bench) -> None:
    for _ in range(3):
        assert bench.call("failure").entered
    assert not bench.call().entered


@pytest.mark.parametrize("way", ["sync", "async"])
def test_it_is_called_both_ways_on_the_clock_that_it_takes(way: Way) -> None:
    """A make with an argument is given the time of the check."""
    with bench_of(whole(), way) as bench:
        trip(bench)
        bench.hands.advance(9.9)
        assert not bench.call().entered
        bench.hands.advance(0.2)
        assert bench.call("ok", "generator").entered
        bench.adapter.set_open_seconds(1.0)
        assert bench.adapter.traits.open_seconds == 1.0
        trip(bench)
        assert bench.force("closed").raised is None
        assert bench.call().entered


class WrittenWithLaterClock:
    """Reads the clock of its module when it is called."""

    def __init__(self) -> None:
        self.own = OwnBreaker(lambda: time.monotonic())

    def call(self, function: Callable[[], object]) -> object:
        return self.own.call(function)


def test_it_is_called_on_the_clock_of_its_module() -> None:
    """A make without an argument needs the module that reads the time."""
    source = described(WrittenWithLaterClock, clock=__name__, call=WrittenWithLaterClock.call)
    with bench_of(source, "sync") as bench:
        trip(bench)
        bench.hands.advance(10.1)
        assert bench.call().entered


def test_each_check_gets_a_new_one() -> None:
    """What one check does to it is nothing to the next."""
    source = whole()
    with bench_of(source, "sync") as bench:
        trip(bench)
    with bench_of(source, "sync") as bench:
        assert bench.call().entered


def test_a_factory_may_give_the_description() -> None:
    """As for a breaker of a library: an instance or a function that returns one."""
    with bench_of(whole, "sync") as bench:
        trip(bench)


def test_only_what_was_given_is_checked() -> None:
    """A way that is left out is no capability, and asking for it says what to give."""
    with bench_of(injected(call_async=OwnBreaker.call_async), "async") as bench:
        adapter = bench.adapter
        assert ways_of(adapter) == ("async",)
        assert adapter.traits.can == {"call_async"}
        with pytest.raises(CapabilityError) as told:
            adapter.call(lambda: None)
        assert str(told.value) == (
            "BreakerAdapter was not told how to 'call'. "
            "Give it call=lambda breaker, function: breaker.call(function)."
        )
        raised = bench.force("open").raised
        assert "Give it force_open=lambda breaker: breaker.open()." in str(raised)


def test_scenarios_without_their_settings_do_not_apply() -> None:
    """No rate, no slow calls, no backoff: each with the setting that was not given."""
    assert whole().traits.lacks == {
        "error_rate_threshold": "no error_rate was given",
        "slow_call_threshold": "no slow_seconds and slow_rate was given",
        "exponential_backoff": "no backoff_factor was given",
    }
    rated = injected(call=OwnBreaker.call, error_rate=0.5, lacks={"concurrent_failures": "one thread only"})
    assert set(rated.traits.lacks) == {"concurrent_failures", "slow_call_threshold", "exponential_backoff"}


CALL = "call=lambda breaker, function: breaker.call(function)"
WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "no way": (injected, "BreakerAdapter's call must be given, or its call_async, not None. Write call="),
    "a way that there is not": (
        lambda: injected(call=OwnBreaker.call, force_opne=print),
        "not 'force_opne'. Did you mean 'force_open'?",
    ),
    "call is no function": (
        lambda: injected(call=3),
        f"BreakerAdapter's call must be a function of the breaker and one thing more, not 3. Write {CALL}.",
    ),
    "call takes too little": (
        lambda: injected(call=lambda function: None),
        f"too many positional arguments. Write {CALL}.",
    ),
    "force takes too much": (
        lambda: injected(call=OwnBreaker.call, force_open=lambda breaker, state: None),
        "missing a required argument: 'state'. Write force_open=lambda breaker: breaker.open().",
    ),
    "a misspelt trait": (
        lambda: injected(call=OwnBreaker.call, succeses_to_close=2),
        (
            "What BreakerAdapter takes must be ways to use a breaker, and traits of it, "
            "not 'succeses_to_close'. Did you mean 'successes_to_close'?"
        ),
    ),
    "its capabilities": (lambda: injected(call=OwnBreaker.call, can={"fly"}), "not 'can'."),
    "no threshold": (
        lambda: BreakerAdapter(OwnBreaker, threshold=0, open_seconds=1, call=OwnBreaker.call),
        "BreakerAdapter's threshold must be a whole number, at least 1, not 0.",
    ),
    "a threshold of text": (
        lambda: BreakerAdapter(OwnBreaker, threshold="3", open_seconds=1),  # type: ignore[arg-type]
        "must be a whole number, at least 1, not '3'.",
    ),
    "no open time": (
        lambda: BreakerAdapter(OwnBreaker, threshold=1, open_seconds=0, call=OwnBreaker.call),
        "BreakerAdapter's open_seconds must be a number of seconds above 0, not 0.",
    ),
    "an open time of text": (
        lambda: BreakerAdapter(OwnBreaker, threshold=1, open_seconds="1s"),  # type: ignore[arg-type]
        "must be a number of seconds above 0, not '1s'.",
    ),
    "a rate in percent": (
        lambda: injected(call=OwnBreaker.call, error_rate=50),
        "BreakerAdapter's error_rate must be a share above 0 and up to 1, not 50.",
    ),
    "a slow time without a rate": (
        lambda: injected(call=OwnBreaker.call, slow_seconds=2.0),
        "BreakerAdapter's slow_seconds must be given with slow_rate, not 2.0. Give slow_rate= too.",
    ),
    "a shrinking backoff": (
        lambda: injected(call=OwnBreaker.call, backoff_factor=0.5),
        "BreakerAdapter's backoff_factor must be a number, at least 1, not 0.5.",
    ),
    "a failure that is no error": (
        lambda: injected(call=OwnBreaker.call, failure=KeyboardInterrupt),
        "BreakerAdapter's failure must be a type of Exception, not <class 'KeyboardInterrupt'>.",
    ),
    "no clock": (
        lambda: described(OwnBreaker, call=OwnBreaker.call),
        (
            "The breaker of BreakerAdapter has no clock that can be moved. Let make take the clock, "
            'or name the module that reads it: clock="shop.breakers".'
        ),
    ),
    "a clock that is no module": (
        lambda: described(OwnBreaker, clock=time.monotonic, call=OwnBreaker.call),  # type: ignore[arg-type]
        "BreakerAdapter's clock must be a module or its name, not <built-in function monotonic>.",
    ),
    "a module that is not there": (
        lambda: described(OwnBreaker, clock="shop.clocks", call=OwnBreaker.call),
        "BreakerAdapter's clock must be a module, not 'shop.clocks'.",
    ),
    "a module without a clock": (
        lambda: described(OwnBreaker, clock=ModuleType("shop.breakers"), call=OwnBreaker.call),
        (
            "BreakerAdapter's clock must be a module that has time, datetime or a function of them among its "
            "names, not 'shop.breakers'."
        ),
    ),
    "an instance": (
        lambda: described(OwnBreaker(), call=OwnBreaker.call),  # type: ignore[arg-type]
        "Write BreakerAdapter(lambda clock: MyBreaker(clock=clock), …).",
    ),
    "a make of two things": (
        lambda: described(lambda clock, name: None, call=OwnBreaker.call),
        "It takes clock, name; at most one argument is given, the clock.",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_description_is_told(wrong: str) -> None:
    """The message names what was given, what it must be, and what to write."""
    describe, message = WRONG[wrong]
    with pytest.raises(ResilienceError, match=re.escape(message)):
        describe()


def _nothing(*_: object) -> Any:
    return None


async def _nothing_async(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("ways", "message"),
    [
        ({"call": OwnBreaker.call_async}, "call must be .* It returned a coroutine: give it as call_async."),
        ({"call": _nothing}, "call must be .* It returned without calling the function. Write call=lambda"),
        (
            {"call_async": lambda breaker, function: 3},
            "call_async must be .* nothing that can be awaited: give it as call.",
        ),
        ({"call_async": _nothing_async}, "call_async must be .* without awaiting the coroutine function."),
    ],
)
def test_a_way_that_calls_nothing_is_told(ways: dict[str, Any], message: str) -> None:
    """An async breaker in a sync check, and the like: it would look as if it rejected everything."""
    with (
        pytest.raises(ResilienceError, match=f"BreakerAdapter's {message}"),
        bench_of(injected(**ways), "sync"),
    ):
        pass


def test_a_way_that_fails_or_hangs_is_for_the_scenarios_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the breaker does is a finding, not a mistake in its description."""
    monkeypatch.setattr("pytest_resilience.breakers.own.TRY_SECONDS", 0.01)

    def rejects(*_: object) -> Any:
        raise Rejected

    async def hangs(*_: object) -> None:
        await asyncio.Event().wait()

    with bench_of(injected(call=rejects, call_async=hangs), "sync") as bench:
        assert not bench.call().entered


def test_a_clock_that_is_bound_before_it_is_moved_makes_no_pass() -> None:
    """The default of an argument keeps the real clock: the check moves one that nobody reads."""
    with pytest.raises(VacuousClockError, match="'mine' does not read the time that the check moves"):
        verify("mine", patched, clock=SystemClock())


def _raise(_clock: object) -> None:
    raise OSError("no config")


@pytest.mark.parametrize(
    ("make", "fix"),
    [(_raise, "Calling it raised OSError: no config."), (lambda clock: None, "It returned None.")],
)
def test_a_make_that_fails_is_told(make: Callable[[Any], Any], fix: str) -> None:
    """It is no finding about the breaker, and no pass."""
    source = described(make, call=OwnBreaker.call)
    message = "BreakerAdapter's make must be a function that returns a new breaker, not .*" + re.escape(fix)
    with pytest.raises(ResilienceError, match=message), bench_of(source, "sync"):
        pass


def test_a_make_that_returns_the_same_breaker_twice_is_told() -> None:
    """What one check has opened would be judged by the next."""
    shared = OwnBreaker()
    adapter = described(lambda: shared, call=OwnBreaker.call, clock=__name__)
    with pytest.raises(ResilienceError, match=r"It returned the same breaker twice\."):
        verify("test_circuit", adapter, clock=SystemClock())


def test_cascades_refuse_a_clock_that_cannot_be_moved() -> None:
    """They would say that it never lets calls in again."""
    adapter = described(lambda: OwnBreaker(clock=process_time), call=OwnBreaker.call, clock=__name__)
    with pytest.raises(VacuousClockError, match="does not read the time that the check moves"):
        run_cascades({"shop": ["database"], "database": []}, adapter, seed=1)


process_time = time.process_time
