"""What docs/breakers.md says of the libraries, by hand: a few calls each, without the project's checks."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiobreaker
import aiobreaker.circuitbreaker
import aiobreaker.state
import circuitbreaker
import interlock
import nopanic
import purgatory
import purgatory.domain.model
import pybreaker
import pyresilience
import pyresilience._circuit_breaker
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

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

    def datetime(self, _zone: object = None) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC).replace(tzinfo=None)

    def outlast_open(self) -> None:
        self.seconds += OPEN_SECONDS + 1


class Call:
    """A call that is in the dependency until it is told how to end."""

    def __init__(self, run: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]) -> None:
        self.entered = False
        self._end = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(run(self._dependency))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, and no news

    async def _dependency(self) -> object:
        self.entered = True
        return await self._end

    async def ends(self, error: BaseException | None = None) -> None:
        if error is None or not self.entered:
            self._end.set_result("answer")
        else:
            self._end.set_exception(error)
        await asyncio.wait([self.task])
        with suppress(BaseException):
            self.task.result()

    async def is_cancelled(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


class Bench:
    """A breaker of some library, called one call after the other or overlapping."""

    def __init__(self, run: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]) -> None:
        self._run = run

    async def start(self) -> Call:
        call = Call(self._run)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return call

    async def fails(self, calls: int = 1) -> None:
        for _ in range(calls):
            await (await self.start()).ends(Down())

    async def enters(self) -> bool:
        """Tell whether a healthy call gets in."""
        call = await self.start()
        entered = call.entered
        await call.ends()
        return entered


@pytest.fixture
def hand() -> Hand:
    """The time that the breakers of a test see."""
    return Hand()


def of_circuitbreaker(hand: Hand, patch: pytest.MonkeyPatch, threshold: int = 2, **settings: Any) -> Bench:
    patch.setattr(circuitbreaker, "monotonic", hand)
    breaker = circuitbreaker.CircuitBreaker(threshold, OPEN_SECONDS, name="it", **settings)

    async def run(dependency: Callable[[], Awaitable[object]]) -> object:
        async def call() -> object:
            return await dependency()

        return await breaker(call)()

    return Bench(run)


def of_aiobreaker(hand: Hand, patch: pytest.MonkeyPatch, threshold: int = 2, **settings: Any) -> Bench:
    class Moved(datetime):
        utcnow = now = staticmethod(hand.datetime)  # type: ignore[assignment]

    for module in (aiobreaker.circuitbreaker, aiobreaker.state):
        patch.setattr(module, "datetime", Moved)
    breaker = aiobreaker.CircuitBreaker(threshold, timedelta(seconds=OPEN_SECONDS), **settings)
    return Bench(breaker.call_async)


def of_purgatory(hand: Hand, patch: pytest.MonkeyPatch, threshold: int = 2, **settings: Any) -> Bench:
    patch.setattr(purgatory.domain.model, "time", hand)
    factory = purgatory.AsyncCircuitBreakerFactory(threshold, OPEN_SECONDS, **settings)

    async def run(dependency: Callable[[], Awaitable[object]]) -> object:
        async with await factory.get_breaker("it"):
            return await dependency()

    return Bench(run)


def of_pyresilience(hand: Hand, patch: pytest.MonkeyPatch, threshold: int = 2, **settings: Any) -> Bench:
    patch.setattr(pyresilience._circuit_breaker, "_monotonic", hand)
    config = pyresilience.CircuitBreakerConfig(
        threshold, OPEN_SECONDS, **{"success_threshold": 1, **settings}
    )

    @pyresilience.resilient(circuit_breaker=config)
    async def run(dependency: Callable[[], Awaitable[object]]) -> object:
        return await dependency()

    return Bench(run)


def of_interlock(hand: Hand, patch: pytest.MonkeyPatch, threshold: int = 2, **settings: Any) -> Bench:
    config = interlock.Config(
        minimum_number_of_calls=threshold, wait_duration_in_open=OPEN_SECONDS, permitted_calls_in_half_open=1
    )
    return Bench(interlock.CircuitBreaker(name="it", config=config, clock=hand, **settings).call_async)


def of_nopanic(hand: Hand, patch: pytest.MonkeyPatch, threshold: int = 2, **settings: Any) -> Bench:
    breaker = nopanic.CircuitBreaker(
        min_calls=threshold, reset_timeout=OPEN_SECONDS, window=600, clock=hand, **settings
    )
    return Bench(breaker.acall)


Make = Callable[..., Bench]
MAKERS = {
    "circuitbreaker": of_circuitbreaker,
    "aiobreaker": of_aiobreaker,
    "purgatory": of_purgatory,
    "pyresilience": of_pyresilience,
    "interlock-cb": of_interlock,
    "nopanic": of_nopanic,
}
libraries = pytest.mark.parametrize("library", MAKERS)


async def tripped(bench: Bench, threshold: int = 2) -> None:
    await bench.fails(threshold)
    assert not await bench.enters()


async def recovered(bench: Bench, hand: Hand, threshold: int = 2) -> None:
    await tripped(bench, threshold)
    hand.outlast_open()
    assert await bench.enters()


async def survives_one_failure(bench: Bench) -> bool:
    await bench.fails()
    return await bench.enters()


@libraries
def test_trip_and_recover(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequential script passes on all of them: it proves nothing."""

    async def script() -> None:
        bench = MAKERS[library](hand, monkeypatch)
        await recovered(bench, hand)
        assert await survives_one_failure(bench)

    asyncio.run(script())


@libraries
def test_a_cancelled_probe(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """circuitbreaker closes on it, purgatory opens on it, the others stay half-open."""

    async def script() -> str:
        bench = MAKERS[library](hand, monkeypatch)
        await tripped(bench)
        hand.outlast_open()
        await (await bench.start()).is_cancelled()
        await bench.fails()
        return "closed" if await bench.enters() else "half-open or open"

    async def opened() -> bool:
        bench = MAKERS[library](hand, monkeypatch)
        await tripped(bench)
        hand.outlast_open()
        await (await bench.start()).is_cancelled()
        return not await bench.enters()

    assert asyncio.run(script()) == ("closed" if library == "circuitbreaker" else "half-open or open")
    assert asyncio.run(opened()) == (library == "purgatory")


@libraries
def test_a_late_success_while_open(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that began before the outage ends well after it: circuitbreaker closes."""

    async def script() -> bool:
        bench = MAKERS[library](hand, monkeypatch)
        late = await bench.start()
        await tripped(bench)
        await late.ends()
        return await bench.enters()

    assert asyncio.run(script()) == (library == "circuitbreaker")


@libraries
def test_a_late_failure_after_the_recovery(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call from before the outage fails after the recovery of a breaker with a threshold of 1."""

    async def script() -> bool:
        bench = MAKERS[library](hand, monkeypatch, 1)
        late = await bench.start()
        await recovered(bench, hand, 1)
        await late.ends(Down())
        return not await bench.enters()

    assert asyncio.run(script()) == (library != "interlock-cb")


@libraries
def test_a_late_failure_of_a_second_probe(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two probes at once, the first closes the breaker: only aiobreaker opens again by the other alone."""

    async def script() -> bool:
        bench = MAKERS[library](hand, monkeypatch)
        await tripped(bench)
        hand.outlast_open()
        first, second = await bench.start(), await bench.start()
        await first.ends()
        if second.entered:
            await second.ends(Down())
        else:
            await second.is_cancelled()
        return not await bench.enters()

    assert asyncio.run(script()) == (library == "aiobreaker")


@libraries
def test_a_late_success_instead_of_a_probe(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call from before the outage succeeds while a probe is under way: it says nothing about now."""

    async def script() -> bool:
        bench = MAKERS[library](hand, monkeypatch)
        late = await bench.start()
        await tripped(bench)
        hand.outlast_open()
        probe = await bench.start()
        await late.ends()
        closed = await survives_one_failure(bench)
        await probe.ends()
        return closed

    closes = {"circuitbreaker", "purgatory", "pyresilience"}
    assert asyncio.run(script()) == (library in closes)


@libraries
def test_a_late_failure_while_half_open(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call from before the outage fails while a probe is under way: those without eras open under it."""

    async def script() -> bool:
        bench = MAKERS[library](hand, monkeypatch)
        late = await bench.start()
        await tripped(bench)
        hand.outlast_open()
        probe = await bench.start()
        await late.ends(Down())
        rejected = not (second := await bench.start()).entered
        await second.is_cancelled()
        await probe.is_cancelled()
        return rejected

    bound_their_probes = library in ("interlock-cb", "nopanic")
    assert asyncio.run(script()), bound_their_probes


@libraries
def test_calls_at_once_while_half_open(library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten calls after the open time: those that bound their probes let one in, the others all ten."""

    async def script() -> int:
        bench = MAKERS[library](hand, monkeypatch)
        await tripped(bench)
        hand.outlast_open()
        herd = [await bench.start() for _ in range(10)]
        entered = sum(call.entered for call in herd)
        for call in herd:
            await call.is_cancelled()
        return entered

    assert asyncio.run(script()) == (1 if library in ("interlock-cb", "nopanic") else 10)


@pytest.mark.parametrize("library", ["interlock-cb", "nopanic"])
def test_a_raising_predicate_loses_the_slot(
    library: str, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the user's predicate raises at a probe, its slot is gone: no call gets in any more."""
    broken = False

    def predicate(error: BaseException | None) -> bool:
        if broken:
            raise LookupError("the predicate")
        return error is not None

    class Classifier:
        def is_failure(self, *, result: object, exception: Exception | None) -> bool:
            return predicate(exception)

    setting = {"classifier": Classifier()} if library == "interlock-cb" else {"on": predicate}

    async def script() -> list[bool]:
        nonlocal broken
        bench = MAKERS[library](hand, monkeypatch, **setting)
        await tripped(bench)
        hand.outlast_open()
        broken = True
        await bench.fails()
        broken = False
        entered = []
        for _ in range(3):
            hand.outlast_open()
            entered.append(await bench.enters())
        return entered

    assert asyncio.run(script()) == [False] * 3


def test_nopanic_lets_more_probes_in_after_one_of_an_earlier_era(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe of an earlier half-open era gives back a slot of the new one."""

    async def script() -> int:
        bench = MAKERS["nopanic"](hand, monkeypatch, half_open_max_calls=2)
        await tripped(bench)
        hand.outlast_open()
        old = await bench.start()
        await bench.fails()
        hand.outlast_open()
        probes = [await bench.start() for _ in range(4)]
        assert sum(call.entered for call in probes) == 2
        await old.is_cancelled()
        more = [await bench.start() for _ in range(4)]
        return sum(call.entered for call in more)

    assert asyncio.run(script()) == 1


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


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
@pytest.mark.parametrize("library", ["aiobreaker", "purgatory"])
def test_wall_clocks(library: str, step: float, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock set back an hour keeps it open an hour longer; set forward, it lets calls in at once."""

    async def script() -> bool:
        bench = MAKERS[library](hand, monkeypatch)
        await tripped(bench)
        hand.seconds += step
        if step < 0:
            hand.outlast_open()
        return await bench.enters()

    assert asyncio.run(script()) == (step > 0)


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


def _raise_down() -> None:
    raise Down


async def _raise_down_async() -> None:
    raise Down
