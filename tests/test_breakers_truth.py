"""What the checks find in the libraries is true: the same by hand, in a few calls each, without the checks.

Each script plays one hazard on the real breakers of the libraries, through their own async calls, and tells
whether the breaker fell for it. It agrees with the checks both ways: nothing is missed, nothing is made up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import aiobreaker
import aiobreaker.circuitbreaker
import aiobreaker.state
import circuitbreaker
import interlock
import nopanic
import purgatory
import purgatory.domain.model
import pyresilience
import pyresilience._circuit_breaker
import pytest
from breaker_samples import FAILURES, OPEN_SECONDS
from checked_breakers import checked

Dependency: TypeAlias = Callable[[], Awaitable[object]]
Run: TypeAlias = Callable[[Dependency], Awaitable[object]]


class Down(Exception):
    """What the dependency raises when it is ill."""


class Ignored(Exception):
    """None of the breaker's concern."""


class Interrupted(BaseException):
    """As Ctrl-C, but the event loop lives on."""


class World:
    """The time that the breakers see, and a judge of errors that can break."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.steady = 1000.0
        self.judge_broken = False

    def monotonic(self) -> float:
        return self.steady

    def time(self) -> float:
        return self.wall

    def datetime(self, _zone: object = None) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC).replace(tzinfo=None)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def ignores(self, error: BaseException) -> bool:
        if self.judge_broken:
            raise ZeroDivisionError
        return isinstance(error, Ignored)


def of_circuitbreaker(world: World, patch: pytest.MonkeyPatch) -> Run:
    patch.setattr(circuitbreaker, "monotonic", world.monotonic)

    def is_failure(kind: type[BaseException], error: BaseException) -> bool:
        return issubclass(kind, Exception) and not world.ignores(error)

    breaker = circuitbreaker.CircuitBreaker(FAILURES, OPEN_SECONDS, is_failure, name="it")

    async def run(dependency: Dependency) -> object:
        async def call() -> object:
            return await dependency()

        return await breaker(call)()

    return run


def of_aiobreaker(world: World, patch: pytest.MonkeyPatch) -> Run:
    class Moved(datetime):
        utcnow = now = staticmethod(world.datetime)  # type: ignore[assignment]

    for module in (aiobreaker.circuitbreaker, aiobreaker.state):
        patch.setattr(module, "datetime", Moved)
    breaker = aiobreaker.CircuitBreaker(FAILURES, timedelta(seconds=OPEN_SECONDS), exclude=[world.ignores])
    run: Run = breaker.call_async
    return run


def of_purgatory(world: World, patch: pytest.MonkeyPatch) -> Run:
    patch.setattr(purgatory.domain.model, "time", world)
    exclude: Any = [(Exception, world.ignores)]
    factory = purgatory.AsyncCircuitBreakerFactory(FAILURES, OPEN_SECONDS, exclude)

    async def run(dependency: Dependency) -> object:
        async with await factory.get_breaker("it"):
            return await dependency()

    return run


def of_pyresilience(world: World, patch: pytest.MonkeyPatch) -> Run:
    patch.setattr(pyresilience._circuit_breaker, "_monotonic", world.monotonic)
    config = pyresilience.CircuitBreakerConfig(FAILURES, OPEN_SECONDS, ignore_on=[Ignored])

    @pyresilience.resilient(circuit_breaker=config)
    async def run(dependency: Dependency) -> object:
        return await dependency()

    return run


def of_interlock(world: World, patch: pytest.MonkeyPatch) -> Run:
    class Classifier:
        def is_failure(self, *, result: object, exception: Exception | None) -> bool:
            return exception is not None and not world.ignores(exception)

    config = interlock.Config(
        minimum_number_of_calls=FAILURES,
        wait_duration_in_open=OPEN_SECONDS,
        permitted_calls_in_half_open=2,
        max_concurrent_probes=2,
        slow_call_duration_threshold=600,
    )
    breaker: Any = interlock.CircuitBreaker(name="it", config=config, clock=world, classifier=Classifier())
    run: Run = breaker.call_async
    return run


def of_nopanic(world: World, patch: pytest.MonkeyPatch) -> Run:
    breaker: Any = nopanic.CircuitBreaker(
        min_calls=FAILURES,
        reset_timeout=OPEN_SECONDS,
        window=60,
        half_open_max_calls=2,
        on=lambda error: not world.ignores(error),
        clock=world.monotonic,
    )
    run: Run = breaker.acall
    return run


MAKERS = {
    "circuitbreaker": of_circuitbreaker,
    "aiobreaker": of_aiobreaker,
    "purgatory (async)": of_purgatory,
    "pyresilience": of_pyresilience,
    "interlock-cb": of_interlock,
    "nopanic": of_nopanic,
}
GOOD_PROBES = {"pyresilience": 2, "interlock-cb": 2, "nopanic": 2}
LIMITED = {"interlock-cb": 2, "nopanic": 2}


class Call:
    """A call that is in the dependency until it is told how to end."""

    def __init__(self, run: Run) -> None:
        self.entered = False
        self._end = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(run(self._dependency))

    async def _dependency(self) -> object:
        self.entered = True
        return await self._end

    async def ends(self, error: BaseException | None = None) -> BaseException | None:
        """Let it end; return what its caller got."""
        if error is None:
            self._end.set_result("answer")
        elif self.entered:
            self._end.set_exception(error)
        await asyncio.wait([self._task])
        return self._task.exception()

    async def is_cancelled(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        _ = self._task.cancelled() or self._task.exception()


class Bench:
    """A breaker, called one call after the other or overlapping."""

    def __init__(self, library: str, world: World, run: Run) -> None:
        self.world = world
        self.good = GOOD_PROBES.get(library, 1)
        self.limit = LIMITED.get(library)
        self._run = run
        self._begun: list[Call] = []

    async def start(self) -> Call:
        call = Call(self._run)
        self._begun.append(call)
        for _ in range(3):
            await asyncio.sleep(0)
        return call

    async def ends_all(self) -> None:
        for call in self._begun:
            await call.is_cancelled()

    async def fails(self, calls: int = 1) -> None:
        for _ in range(calls):
            await (await self.start()).ends(Down())

    async def enters(self) -> bool:
        call = await self.start()
        await call.ends()
        return call.entered

    async def trips(self) -> None:
        await self.fails(FAILURES)
        assert not await self.enters()

    async def half_opens(self) -> None:
        await self.trips()
        self.world.passes(OPEN_SECONDS + 1)

    async def recovers(self) -> None:
        self.world.passes(OPEN_SECONDS + 1)
        for _ in range(self.good):
            assert await self.enters()

    async def closed(self) -> bool:
        """Tell whether two failures are borne: half-open would be open by then."""
        await self.fails(2)
        return await self.enters()


async def late_success_while_open(bench: Bench) -> bool:
    late = await bench.start()
    await bench.trips()
    await late.ends()
    return await bench.enters()


async def late_failure_while_open(bench: Bench) -> bool:
    late = await bench.start()
    await bench.trips()
    bench.world.passes(OPEN_SECONDS / 2)
    await late.ends(Down())
    bench.world.passes(OPEN_SECONDS / 2 + 1)
    return not await bench.enters()


async def late_success_in_half_open(bench: Bench) -> bool:
    late = await bench.start()
    await bench.half_opens()
    probe = await bench.start()
    await late.ends()
    if bench.good == 2:
        await probe.ends()
    return await bench.closed()


async def late_failure_in_half_open(bench: Bench) -> bool:
    late = await bench.start()
    await bench.half_opens()
    await bench.start()
    await late.ends(Down())
    return not (await bench.start()).entered


async def late_failure_after_recovery(bench: Bench) -> bool:
    late = await bench.start()
    await bench.trips()
    await bench.recovers()
    await late.ends(Down())
    return not await bench.enters()


async def late_failure_counted_after_recovery(bench: Bench) -> bool:
    late = await bench.start()
    await bench.trips()
    await bench.recovers()
    await late.ends(Down())
    await bench.fails(FAILURES - 1)
    return not await bench.enters()


async def late_probe_failure_after_recovery(bench: Bench) -> bool:
    await bench.half_opens()
    first, second = await bench.start(), await bench.start()
    await first.ends()
    for _ in range(bench.good - 1):
        if not await bench.enters():
            return False  # it waits for both before it closes
    await second.ends(Down())
    return not await bench.enters()


async def late_success_two_eras_later(bench: Bench) -> bool:
    late = await bench.start()
    await bench.trips()
    await bench.recovers()
    await bench.trips()
    await late.ends()
    return await bench.enters()


async def stale_probe_two_eras_later(bench: Bench) -> bool:
    await bench.half_opens()
    stale, other = await bench.start(), await bench.start()
    await other.ends(Down())
    if (await bench.start()).entered:
        return False  # it waits for both before it opens
    bench.world.passes(OPEN_SECONDS + 1)
    probe = await bench.start()
    await stale.ends()
    if bench.good == 2:
        await probe.ends()
    return await bench.closed()


def _probes_end(how: BaseException | None) -> Callable[[Bench], Awaitable[bool]]:
    async def closes(bench: Bench) -> bool:
        await bench.half_opens()
        for _ in range(bench.good):
            probe = await bench.start()
            await (probe.is_cancelled() if how is None else probe.ends(how))
        return await bench.closed()

    return closes


async def tripping_error_replaced(bench: Bench) -> bool:
    await bench.fails(FAILURES - 1)
    return not isinstance(await (await bench.start()).ends(Down()), Down)


async def cancelled_calls_open(bench: Bench) -> bool:
    for _ in range(FAILURES):
        await (await bench.start()).is_cancelled()
    return not await bench.enters()


async def herd_in_half_open(bench: Bench) -> bool:
    await bench.half_opens()
    return all([(await bench.start()).entered for _ in range(8)])


async def wedged_by_hung_probe(bench: Bench) -> bool:
    await bench.half_opens()
    for _ in range(bench.limit or 1):
        assert (await bench.start()).entered
    bench.world.passes(3 * OPEN_SECONDS)
    return not (await bench.start()).entered


async def slot_lost_by_raising_predicate(bench: Bench) -> bool:
    await bench.half_opens()
    bench.world.judge_broken = True
    await bench.fails(bench.limit or 1)
    bench.world.judge_broken = False
    bench.world.passes(OPEN_SECONDS + 1)
    return not all([await bench.enters() for _ in range(bench.good + 1)])


async def clock_set_forward(bench: Bench) -> bool:
    await bench.trips()
    bench.world.wall += 3600
    return await bench.enters()


async def clock_set_back(bench: Bench) -> bool:
    await bench.trips()
    bench.world.wall -= 3600
    bench.world.passes(OPEN_SECONDS + 1)
    return not await bench.enters()


BY_HAND: dict[str, Callable[[Bench], Awaitable[bool]]] = {
    script.__name__: script
    for script in (
        late_success_while_open,
        late_failure_while_open,
        late_success_in_half_open,
        late_failure_in_half_open,
        late_failure_after_recovery,
        late_failure_counted_after_recovery,
        late_probe_failure_after_recovery,
        late_success_two_eras_later,
        stale_probe_two_eras_later,
        tripping_error_replaced,
        cancelled_calls_open,
        herd_in_half_open,
        wedged_by_hung_probe,
        slot_lost_by_raising_predicate,
        clock_set_forward,
        clock_set_back,
    )
} | {
    "cancelled_probe_closes": _probes_end(None),
    "ignored_probe_closes": _probes_end(Ignored()),
    "base_exception_probe_closes": _probes_end(Interrupted()),
}
NO_PREDICATE = {("pyresilience", "slot_lost_by_raising_predicate")}
DOCUMENTED = {("interlock-cb", "ignored_probe_closes")}
"""Its documentation says that what the classifier calls no failure is a success."""


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, tuple[str, str]]]:
    """What the checks find: asked before any clock is patched by hand."""
    return {one.sample: one.verdicts for one in checked()}


@pytest.mark.parametrize("library", MAKERS)
@pytest.mark.parametrize("hazard", BY_HAND)
def test_by_hand_it_is_the_same(
    hazard: str,
    library: str,
    found: dict[str, dict[str, tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who falls for a hazard by hand is found by the checks, and nobody else."""
    if (library, hazard) in NO_PREDICATE | DOCUMENTED:
        pytest.skip("not asked of it")
    world = World()
    run = MAKERS[library](world, monkeypatch)

    async def play() -> bool:
        bench = Bench(library, world, run)
        try:
            return await BY_HAND[hazard](bench)
        finally:
            await bench.ends_all()

    fell = asyncio.run(play())
    verdict, detail = found[library][hazard]
    assert fell == (verdict == "failed"), detail


def test_a_probe_of_an_earlier_era_lets_more_of_them_into_nopanic(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it ends, it gives back a place that it does not have in this era."""
    world = World()
    run = MAKERS["nopanic"](world, monkeypatch)

    async def play() -> list[bool]:
        bench = Bench("nopanic", world, run)
        await bench.half_opens()
        old = await bench.start()
        await bench.fails()
        world.passes(OPEN_SECONDS + 1)
        probes = [await bench.start() for _ in range(3)]
        await old.is_cancelled()
        entered = [call.entered for call in (*probes, await bench.start())]
        await bench.ends_all()
        return entered

    assert asyncio.run(play()) == [True, True, False, True]
