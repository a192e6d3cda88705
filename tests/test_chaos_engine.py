"""The engine injects, keeps the evidence, and takes everything away again."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import chaos_subjects as subjects
import pytest

from pytest_resilience.chaos.call_ways import MIN_SPIKE_SECONDS
from pytest_resilience.chaos.engine import Chaos, Injection
from pytest_resilience.chaos.records import ChaosEvent, Seam
from pytest_resilience.chaos.shares import Shares
from pytest_resilience.chaos.triggers import every, first, nth, share, window
from pytest_resilience.clock import ManualClock
from pytest_resilience.errors import ScenarioError, ServiceError, TargetError
from pytest_resilience.services import Service

DEADLINE = 5.0
PROVIDER = Service(
    "odds_provider",
    calls=["chaos_subjects:fetch", "chaos_subjects:Client.fetch"],
    errors=[ConnectionError, KeyError],
    timeout=0.5,
    timeout_error=socket.timeout,
)
CLOCK_SERVICE = Service("clock", calls=["time:sleep"], errors=[OSError])


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Each test leaves every call as it was, identically."""
    codes = (subjects.fetch.__code__, subjects.Client.fetch.__code__, time.sleep)
    yield
    assert (subjects.fetch.__code__, subjects.Client.fetch.__code__, time.sleep) == codes
    assert subjects.fetch.__code__ is codes[0]


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    """An engine on a manual clock, swept at the end."""
    engine = Chaos([PROVIDER, CLOCK_SERVICE], seed=7, clock=ManualClock(100.0))
    yield engine
    engine.sweep()


def outcomes(calls: int, call: Callable[[], object]) -> list[str]:
    """Return the names of the errors that the calls raised, "" for none."""
    seen = []
    for _ in range(calls):
        try:
            call()
        except Exception as failure:
            seen.append(type(failure).__name__)
        else:
            seen.append("")
    return seen


def test_an_injection_is_its_own_record(chaos: Chaos) -> None:
    """The object that `with` yields says what happened, while it happens and after."""
    with chaos.inject("valuation_exception", "odds_provider", trigger=nth(2)) as event:
        assert outcomes(3, lambda: subjects.fetch("g")) == ["", "ConnectionError", ""]
        assert (event.reached, event.fired, event.active) == (3, 1, True)
    assert (event.event_id, event.scenario, event.service, event.impact) == (
        "valuation_exception-1",
        "valuation_exception",
        "odds_provider",
        "high",
    )
    assert not event.active
    assert event.record(origin=90.0) == ChaosEvent(
        event_id="valuation_exception-1",
        scenario="valuation_exception",
        service="odds_provider",
        impact="high",
        seed=7,
        parameters="trigger=call 2",
        armed_at=10.0,
        injection_seconds=0.0,
        reached=3,
        fired=1,
        first_fired_at=10.0,
        last_fired_at=10.0,
        removed_at=10.0,
        observed="tests/test_chaos_engine.py:55 in outcomes",
    )


def test_every_declared_error_takes_its_turn(chaos: Chaos) -> None:
    """The errors of a service rotate, over all of its calls."""
    with chaos.inject("intermittent_errors", "odds_provider", trigger=every(2)):
        seen = outcomes(3, lambda: subjects.fetch("g")) + outcomes(
            3, lambda: subjects.shared_client.fetch("g")
        )
    assert seen == ["", "ConnectionError", "", "KeyError", "", "ConnectionError"]


def test_a_native_call_is_hit(chaos: Chaos) -> None:
    """A compiled function fails like a Python one, under its aliases too."""
    with chaos.inject("valuation_exception", "clock", trigger=window(2, 3)):
        assert outcomes(4, lambda: subjects.imported_sleep(0)) == ["", "OSError", "OSError", ""]


def test_a_timeout_hangs_and_raises_the_clients_error() -> None:
    """provider_timeout takes the service's time limit, then raises its timeout error."""
    clock = ManualClock()
    engine = Chaos([PROVIDER], seed=1, clock=clock, shares=Shares(1, 1, 1, 1))
    with engine.inject("provider_timeout", "odds_provider"), pytest.raises(TimeoutError):
        subjects.fetch("g")
    assert clock.now() == 0.5


def test_a_given_delay_is_the_delay() -> None:
    """`delay=` overrides the measured latency."""
    clock = ManualClock()
    engine = Chaos([PROVIDER], seed=1, clock=clock)
    with engine.inject("latency_spike", "odds_provider", delay=0.2, trigger=first(1)):
        assert subjects.fetch("g")[0] == "g"
        assert subjects.fetch("g")[0] == "g"
    assert clock.now() == pytest.approx(0.2)


def test_a_spike_follows_the_watched_latency() -> None:
    """After a watch, a spike is 2 to 10 times what was normal, and differs from call to call."""
    clock = ManualClock()

    def slow() -> None:
        clock.advance(1.0)

    engine = Chaos([Service("slow", calls=[slow])], seed=1, clock=clock)
    with engine.watch() as watch:
        slow()
    assert [seam.normal_seconds for seam in watch.seams] == [1.0]
    took = []
    with engine.inject("latency_spike", "slow", probability=1):
        for _ in range(20):
            started = clock.now()
            slow()
            took.append(clock.now() - started)
    assert all(2 <= seconds <= 10 for seconds in took)
    assert len(set(took)) == 20


def test_a_spike_on_an_unwatched_call_is_measured_there() -> None:
    """Without a watch the call's own latency is multiplied; a call of no time gets the least spike."""
    clock = ManualClock()
    engine = Chaos([PROVIDER], seed=1, clock=clock)
    with engine.inject("latency_spike", "odds_provider", factor=3, probability=1):
        subjects.fetch("g")
    assert clock.now() == pytest.approx(MIN_SPIKE_SECONDS)


def test_a_generator_gets_the_least_spike() -> None:
    """How long a generator takes is its consumer's affair; it is delayed by the least spike."""
    clock = ManualClock()
    engine = Chaos([Service("feed", calls=["chaos_subjects:Client.stream"])], seed=1, clock=clock)
    with engine.inject("latency_spike", "feed", probability=1) as event:
        assert list(subjects.shared_client.stream(2)) == [0, 1]
    assert clock.now() == pytest.approx(MIN_SPIKE_SECONDS)
    assert event.fired == 1


def test_counts_are_exact_across_threads(chaos: Chaos) -> None:
    """Eight threads: each call is counted, each error was counted as fired, as many as the schedule says."""
    per_thread, raised = 2_000, []

    def call(_: int) -> None:
        raised.append(sum(1 for name in outcomes(per_thread, lambda: subjects.fetch("g")) if name))

    with (
        ThreadPoolExecutor(8) as pool,
        chaos.inject("valuation_exception", "odds_provider", probability=0.3) as event,
    ):
        list(pool.map(call, range(8)))
    schedule = share(0.3).schedule("7/valuation_exception-1/odds_provider")
    assert event.reached == 8 * per_thread
    assert event.fired == sum(raised) == schedule.rank(event.reached)


def test_the_same_seed_hits_the_same_calls() -> None:
    """Two engines with one seed agree call by call; another seed does not."""

    def run(seed: int) -> list[str]:
        with Chaos([PROVIDER], seed=seed).inject("valuation_exception", "odds_provider"):
            return outcomes(200, lambda: subjects.fetch("g"))

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_two_faults_on_one_call_come_off_in_any_order(chaos: Chaos) -> None:
    """Each fault works as long as it is armed, whichever goes first."""
    timeouts = chaos.inject("provider_timeout", "odds_provider", probability=1)
    failures = chaos.inject("valuation_exception", "odds_provider", probability=1)
    assert outcomes(1, lambda: subjects.fetch("g")) == ["ConnectionError"]
    failures.remove()
    assert outcomes(1, lambda: subjects.fetch("g")) == ["TimeoutError"]
    failures = chaos.inject("valuation_exception", "odds_provider", probability=1)
    timeouts.remove()
    assert outcomes(1, lambda: subjects.fetch("g")) == ["ConnectionError"]
    failures.remove()
    assert outcomes(1, lambda: subjects.fetch("g")) == [""]


def test_arming_and_removing_twice_changes_nothing(chaos: Chaos) -> None:
    """arm() and remove() are idempotent, also after the end."""
    event = chaos.inject("valuation_exception", "odds_provider", probability=1)
    assert event.arm() is event
    assert outcomes(1, lambda: subjects.fetch("g")) == ["ConnectionError"]
    event.remove()
    removed_at = event.removed_at
    event.remove()
    event.arm()
    assert outcomes(1, lambda: subjects.fetch("g")) == [""]
    assert (event.removed_at, event.reached) == (removed_at, 1)


def test_a_duration_removes_the_fault_by_itself() -> None:
    """Auto-recovery: after its time the fault is gone, and so is its thread."""
    engine = Chaos([PROVIDER], seed=1)
    event = engine.inject("valuation_exception", "odds_provider", probability=1, duration=0.5)
    assert outcomes(1, lambda: subjects.fetch("g")) == ["ConnectionError"]
    give_up = time.monotonic() + DEADLINE
    while event.active and time.monotonic() < give_up:
        time.sleep(0.005)
    assert outcomes(1, lambda: subjects.fetch("g")) == [""]
    event.remove()


def test_an_early_removal_ends_the_countdown() -> None:
    """Removing a fault with a long duration leaves no thread waiting."""
    engine = Chaos([PROVIDER], seed=1)
    event = engine.inject("valuation_exception", "odds_provider", duration=60)
    countdown = event._countdown
    assert countdown is not None
    started = time.monotonic()
    event.remove()
    assert countdown._done.wait(DEADLINE)
    assert time.monotonic() - started < 1


def test_removal_from_another_thread_ends_a_hang() -> None:
    """A call that hangs raises at once when its fault is removed."""
    engine = Chaos([PROVIDER], seed=1)
    event = engine.inject("provider_timeout", "odds_provider", probability=1, timeout=60)
    remover = threading.Timer(0.05, event.remove)
    remover.start()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        subjects.fetch("g")
    remover.join()
    assert time.monotonic() - started < DEADLINE


def test_watching_counts_times_and_changes_nothing() -> None:
    """A watch names what was reached, what was not, and the normal latency; stopping twice is harmless."""
    engine = Chaos([PROVIDER, CLOCK_SERVICE], seed=1)
    watch = engine.watch()
    assert engine.watch() is watch
    assert [subjects.fetch("g")[0] for _ in range(5)] == ["g"] * 5
    seams = watch.stop()
    assert seams == watch.stop()
    subjects.fetch("g")
    assert [(seam.target, seam.reached) for seam in seams] == [
        ("chaos_subjects:fetch", 5),
        ("chaos_subjects:Client.fetch", 0),
        ("time:sleep", 0),
    ]
    assert seams[0].normal_seconds is not None
    assert seams[1] == Seam("odds_provider", "chaos_subjects:Client.fetch", 0, None)


def test_a_fault_under_a_watch_is_counted_by_both(chaos: Chaos) -> None:
    """A watch and a fault on the same call do not disturb each other."""
    with (
        chaos.watch() as watch,
        chaos.inject("valuation_exception", "odds_provider", trigger=nth(2)) as event,
    ):
        assert outcomes(3, lambda: subjects.fetch("g")) == ["", "ConnectionError", ""]
    assert event.reached == 3
    assert watch.seams[0].reached == 2  # the fault stands before the watch


def test_a_sweep_removes_everything_and_says_how_much(chaos: Chaos) -> None:
    """Injections and watches that are still active are removed; a second sweep finds nothing."""
    chaos.watch()
    chaos.inject("valuation_exception", "odds_provider")
    chaos.inject("latency_spike", "clock", delay=1)
    assert [event.event_id for event in chaos.active()] == ["valuation_exception-1", "latency_spike-1"]
    assert chaos.sweep() == 3
    assert (chaos.sweep(), chaos.active()) == (0, ())
    assert len(chaos.injections) == 2


def test_a_sweep_waits_for_a_fault_that_ends_by_itself() -> None:
    """It is active no more, but whoever follows the changes is still to hear of it."""
    heard: list[str] = []

    def hear(injection: Injection, change: str) -> None:
        if change == "removed":
            time.sleep(0.2)
        heard.append(change)

    engine = Chaos([PROVIDER], seed=1, changed=hear)
    injection = engine.inject("valuation_exception", "odds_provider", duration=0.01, must_fire=False)
    deadline = time.monotonic() + DEADLINE
    while injection.active:
        assert time.monotonic() < deadline
    assert engine.sweep() == 0
    assert heard == ["armed", "removed"]


def test_a_sweep_beside_an_arming_thread_leaves_nothing() -> None:
    """One thread arms while another one sweeps; what was swept half-armed is not patched either."""
    engine = Chaos([PROVIDER, CLOCK_SERVICE], seed=1, max_concurrent=10_000)
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            engine.sweep()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    for _ in range(40):
        engine.inject("valuation_exception", "odds_provider", trigger=nth(99))
        engine.watch()
    done.set()
    sweeper.join()
    engine.sweep()
    assert engine.active() == ()


def test_too_many_at_once_are_refused(chaos: Chaos) -> None:
    """The limit names what is active, and a removal makes room."""
    for _ in range(3):
        chaos.inject("latency_spike", "odds_provider")
    with pytest.raises(ScenarioError) as wrong:
        chaos.inject("latency_spike", "odds_provider")
    assert str(wrong.value) == (
        "At most 3 scenarios may be active at once; these are: "
        "latency_spike-1, latency_spike-2, latency_spike-3. Remove one first."
    )
    chaos.injections[0].remove()
    assert chaos.inject("latency_spike", "odds_provider").event_id == "latency_spike-4"


def test_an_unknown_service_is_refused(chaos: Chaos) -> None:
    """The error suggests the nearest service."""
    with pytest.raises(ScenarioError) as wrong:
        chaos.inject("latency_spike", "odds_provder")
    assert str(wrong.value) == (
        "There is no service 'odds_provder' in resilience_services. Did you mean 'odds_provider'?"
    )


def test_a_scenario_that_lacks_something_says_what_to_add(chaos: Chaos) -> None:
    """An injection that cannot act is refused with the line for the conftest."""
    with pytest.raises(ScenarioError) as wrong:
        chaos.inject("provider_timeout", "clock")
    assert str(wrong.value) == (
        "Scenario 'provider_timeout' cannot act: service 'clock' declares no timeout. "
        "Add it in resilience_services: Service('clock', timeout=2.0, …)."
    )


def test_wrong_services_fail_when_the_engine_is_made() -> None:
    """All targets are checked up front."""
    with pytest.raises(TargetError, match="has no 'fetsh'"):
        Chaos([PROVIDER, Service("other", calls=["chaos_subjects:fetsh"])], seed=1)
    with pytest.raises(ServiceError, match="declared twice"):
        Chaos([PROVIDER, Service("odds_provider")], seed=1)


def test_two_names_of_one_call_are_one_call() -> None:
    """A function that is named twice is hit, and counted, once per call."""
    service = Service("twice", calls=["chaos_subjects:fetch", "chaos_subjects.fetch"], errors=[KeyError])
    with Chaos([service], seed=1).inject("valuation_exception", "twice", trigger=nth(1)) as event:
        assert outcomes(2, lambda: subjects.fetch("g")) == ["KeyError", ""]
    assert event.reached == 2


def test_a_fault_does_not_hit_its_own_waiting() -> None:
    """A delay on asyncio.sleep, which delays use themselves, ends."""
    engine = Chaos([Service("loop", calls=["asyncio:sleep"])], seed=1)

    async def main() -> float:
        started = time.monotonic()
        await asyncio.sleep(0)
        return time.monotonic() - started

    with engine.inject("latency_spike", "loop", delay=0.05, probability=1) as event:
        assert 0.05 <= asyncio.run(main()) < DEADLINE
    assert event.fired == 1


def test_a_fault_on_the_clock_does_not_reach_the_engine() -> None:
    """time.monotonic can be a target although the engine reads it at each firing."""
    engine = Chaos([Service("clock", calls=["time:monotonic"])], seed=1)
    with engine.watch(), engine.inject("latency_spike", "clock", delay=0.01, probability=1) as event:
        assert time.monotonic() > 0
    assert event.fired >= 1


class Sealed(type):
    """A class that nobody can change."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError("sealed")


class Basket(list[int], metaclass=Sealed):
    """Inherits a compiled method."""


def test_an_arming_that_fails_leaves_nothing_patched() -> None:
    """When the second call of a service cannot be reached, the first one is restored."""
    service = Service(
        "basket", calls=["chaos_subjects:fetch", f"{__name__}:Basket.append"], errors=[KeyError]
    )
    engine = Chaos([service], seed=1)
    with pytest.raises(TargetError) as wrong:
        engine.inject("valuation_exception", "basket", probability=1)
    assert str(wrong.value) == (
        "Basket.append cannot be replaced (sealed). Name the Python function that calls it."
    )
    assert outcomes(1, lambda: subjects.fetch("g")) == [""]
    assert engine.active() == ()


def test_what_never_fired_explains_itself(chaos: Chaos) -> None:
    """One line says what was reached, why nothing fired, and what to do."""
    with chaos.inject("valuation_exception", "odds_provider") as unreached:
        pass
    with chaos.inject("latency_spike", "odds_provider", delay=1, trigger=nth(20)) as early:
        outcomes(3, lambda: subjects.fetch("g"))
    with chaos.inject("latency_spike", "odds_provider", delay=1, probability=1) as hit:
        outcomes(2, lambda: subjects.fetch("g"))
    with chaos.inject("latency_spike", "odds_provider", must_fire=False):
        pass
    assert chaos.complaints() == (unreached.explain(), early.explain())
    assert unreached.explain() == (
        "valuation_exception-1 on odds_provider reached 0 times: nothing called chaos_subjects:fetch or "
        "chaos_subjects:Client.fetch while it was armed. "
        "Call it, or correct calls= of Service('odds_provider', …)."
    )
    assert early.explain() == (
        "latency_spike-1 on odds_provider reached 3 times, call 20: the first hit comes by call 20. "
        "Call it more often, or hit every call with probability=1."
    )
    assert hit.explain() == "latency_spike-2 on odds_provider reached 2 times, fired 2."
    assert repr(hit) == "<latency_spike-2 on odds_provider: reached 2, fired 2>"


def test_event_ids_take_a_prefix() -> None:
    """Two engines in one run can tell their events apart."""
    engine = Chaos([PROVIDER], seed=1, event_prefix="w1-")
    with engine.inject("latency_spike", "odds_provider", must_fire=False) as event:
        assert event.event_id == "w1-latency_spike-1"


def test_an_injection_takes_effect_at_once() -> None:
    """Arming costs far less than the limit of half a second."""
    engine = Chaos([PROVIDER, CLOCK_SERVICE], seed=1)
    with engine.inject("valuation_exception", "clock") as event:
        assert 0 < event.injection_seconds < 0.5
