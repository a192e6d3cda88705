"""Breakers of every supported library: found, borrowed, called both ways on virtual time, and given back."""

import copy
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiobreaker
import aiobreaker.storage.base
import circuitbreaker
import interlock
import nopanic
import purgatory
import pyresilience
import pytest
from breaker_samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from interlock import Config

import pytest_resilience
from pytest_resilience.breakers.adapter import Adapter, CapabilityError, State, Traits
from pytest_resilience.breakers.bench import Bench, ways_of
from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands, RealHands, VacuousClockError
from pytest_resilience.breakers.libraries import MODULES, load_library
from pytest_resilience.breakers.subject import Subject, subject_of


@contextmanager
def lent(source: object) -> Iterator[tuple[Adapter, Hands]]:
    hands = Hands()
    with subject_of("test_circuit", source).borrowed(hands) as lend:
        yield lend(), hands


@contextmanager
def bench_of(source: object, way: Way) -> Iterator[Bench]:
    with lent(source) as (adapter, hands), Bench(adapter, hands, way) as bench:
        yield bench


def having(*capabilities: str) -> list[tuple[str, Way]]:
    """Return the samples whose adapters can all of these, with each way to call them."""
    found: list[tuple[str, Way]] = []
    for sample, make in SAMPLES.items():
        with lent(make()) as (adapter, _):
            if adapter.traits.can.issuperset(capabilities):
                found += [(sample, way) for way in ways_of(adapter)]
    return found


every_way = pytest.mark.parametrize(("sample", "way"), having())


def traits_of(source: object) -> Traits:
    with lent(source) as (adapter, _):
        return adapter.traits


def trip(bench: Bench) -> None:
    for _ in range(bench.adapter.traits.threshold):
        assert bench.call("failure").entered
    assert not bench.call().entered


@every_way
def test_it_trips_and_recovers_on_the_time_of_the_check(sample: str, way: Way) -> None:
    """Just before the open time is over it rejects, just after it lets probes in, which close it."""
    with bench_of(SAMPLES[sample](), way) as bench:
        traits = bench.adapter.traits
        trip(bench)
        bench.hands.advance(0.99 * traits.open_seconds)
        assert not bench.call().entered
        bench.hands.advance(0.02 * traits.open_seconds)
        for _ in range(traits.successes_to_close):
            assert bench.call().entered
        for _ in range(traits.threshold - 1):
            assert bench.call("failure").entered
        assert bench.call().entered


@every_way
def test_as_many_failing_probes_as_it_says_open_it_again(sample: str, way: Way) -> None:
    """One less does not, and the open time begins anew."""
    with bench_of(SAMPLES[sample](), way) as bench:
        traits = bench.adapter.traits
        trip(bench)
        bench.hands.advance(1.01 * traits.open_seconds)
        for _ in range(traits.failures_to_reopen):
            assert bench.call("failure").entered
        assert not bench.call().entered
        bench.hands.advance(0.99 * traits.open_seconds)
        assert not bench.call().entered


@every_way
def test_it_lets_as_many_calls_at_once_into_half_open_as_it_says(sample: str, way: Way) -> None:
    """Those that limit their probes do, the others let the whole herd in."""
    with bench_of(SAMPLES[sample](), way) as bench:
        traits = bench.adapter.traits
        trip(bench)
        bench.hands.advance(1.01 * traits.open_seconds)
        herd = [bench.start() for _ in range(6)]
        assert sum(flight.entered for flight in herd) == (traits.half_open_limit or len(herd))


@every_way
def test_a_success_starts_the_count_anew_only_where_it_says_so(sample: str, way: Way) -> None:
    """Consecutive failures are counted from the last success on, those of a window are not."""
    with bench_of(SAMPLES[sample](), way) as bench:
        traits = bench.adapter.traits
        for _ in range(traits.threshold - 1):
            bench.call("failure")
        bench.call("ok")
        bench.call("failure")
        assert bool(bench.call().entered) is traits.consecutive


@every_way
def test_what_is_slow_opens_only_what_times_calls(sample: str, way: Way) -> None:
    """Slow successes open a breaker with a rate of slow calls."""
    with bench_of(SAMPLES[sample](), way) as bench:
        traits = bench.adapter.traits
        if traits.slow_seconds is None:
            assert "slow_call_threshold" in traits.lacks
            return
        for _ in range(traits.threshold):
            assert bench.call("slow").entered
        assert not bench.call().entered


@every_way
@pytest.mark.parametrize("state", ["closed", "open", "half_open"])
def test_it_is_forced_only_into_the_states_that_it_says(sample: str, way: Way, state: State) -> None:
    """What it cannot is a clear error, what it can has its effect."""
    with bench_of(SAMPLES[sample](), way) as bench:
        traits = bench.adapter.traits
        if state != "open":
            trip(bench)
        forced = bench.force(state)
        if f"force_{state}" not in traits.can:
            assert isinstance(forced.raised, CapabilityError)
            assert f"force and name 'force_{state}'" in str(forced.raised)
            return
        assert forced.raised is None
        assert bool(bench.call().entered) is (state != "open")
        if state == "open":
            bench.hands.advance(10 * traits.open_seconds)
            assert bool(bench.call().entered) is not traits.forced_open_stays


@pytest.mark.parametrize(("sample", "way"), having("listen"))
def test_its_listeners_hear_of_the_trip(sample: str, way: Way) -> None:
    """A listener of the check is the library's own kind, and is gone afterwards."""
    made = SAMPLES[sample]()
    heard: list[str] = []
    with bench_of(made, way) as bench:
        bench.adapter.listen(heard.append)
        trip(bench)
    assert heard
    before = len(heard)
    with bench_of(made, way) as bench:
        trip(bench)
    assert len(heard) == before


@pytest.mark.parametrize(("sample", "way"), having("judge_by"))
def test_it_asks_what_to_ignore(sample: str, way: Way) -> None:
    """An error that the predicate names does not trip it, and other errors still do."""
    with bench_of(SAMPLES[sample](), way) as bench:
        for _ in range(3 * bench.adapter.traits.threshold):
            assert bench.call("ignored").entered


@every_way
def test_its_open_time_can_be_set(sample: str, way: Way) -> None:
    """For checks that really wait."""
    with bench_of(SAMPLES[sample](), way) as bench:
        bench.adapter.set_open_seconds(0.5)
        assert bench.adapter.traits.open_seconds == 0.5
        trip(bench)
        bench.hands.advance(0.49)
        assert not bench.call().entered
        bench.hands.advance(0.02)
        assert bench.call().entered


GENERATORS = [
    *((sample, way) for sample, way in having("generate") if way == "sync"),
    *((sample, way) for sample, way in having("generate_async") if way == "async"),
]


@pytest.mark.parametrize(("sample", "way"), GENERATORS)
def test_a_generator_goes_through_it(sample: str, way: Way) -> None:
    """What guards generators counts a failure in the middle of one."""
    with bench_of(SAMPLES[sample](), way) as bench:
        for _ in range(bench.adapter.traits.threshold):
            assert bench.call("failure", "generator").entered
        assert not bench.call().entered


def state_of(made: object) -> dict[str, Any]:
    """Return all attributes of a breaker, and of what it keeps its counts in."""
    parts = ("_state_storage", "_engine", "context", "uow", "messagebus", "_window")
    slots = [name for kind in type(made).__mro__ for name in getattr(kind, "__slots__", ())]
    found = {
        name: getattr(made, name) for name in (*slots, *getattr(made, "__dict__", ())) if hasattr(made, name)
    }
    inner = {part: dict(vars(found[part])) for part in parts if hasattr(found.get(part), "__dict__")}
    return {**found, "inner": inner}


INSTANCES: dict[str, Callable[[], Any]] = {
    **SAMPLES,
    "purgatory breaker": lambda: purgatory.SyncCircuitBreakerFactory(2, 5).get_breaker("mine"),
    "pyresilience breaker": lambda: pyresilience.CircuitBreaker(pyresilience.CircuitBreakerConfig(2, 5)),
}


@pytest.mark.parametrize("kind", INSTANCES)
def test_an_instance_comes_back_as_it_was(kind: str) -> None:
    """Every attribute is the same object with the same content, whatever the check did."""
    made = INSTANCES[kind]()
    before, registered = state_of(made), dict(circuitbreaker.CircuitBreakerMonitor.circuit_breakers)
    contents = copy.copy(before["inner"])
    for way in ("sync", "async"):
        with lent(made) as (adapter, hands):
            if way in ways_of(adapter):
                with Bench(adapter, hands, way) as bench:
                    trip(bench)
                    bench.start()
    after = state_of(made)
    assert after == before
    assert all(after[name] is before[name] for name in before if name != "inner")
    assert after["inner"] == contents
    assert registered == circuitbreaker.CircuitBreakerMonitor.circuit_breakers


def test_an_open_instance_stays_open() -> None:
    """A breaker that is in use and open is checked from closed on, and is open again afterwards."""
    breaker = circuitbreaker.CircuitBreaker(1, 1000, name="mine")
    with suppress(ConnectionError):
        breaker.call(_fail)
    with bench_of(breaker, "sync") as bench:
        assert bench.call().entered
    assert breaker.opened


def test_other_threads_see_the_real_time() -> None:
    """What else uses the library while the clock is moved is not moved with it."""
    other = circuitbreaker.CircuitBreaker(1, 1000, name="other")
    with suppress(ConnectionError):
        other.call(_fail)
    with bench_of(circuitbreaker.CircuitBreaker(1, 1000), "sync") as bench:
        bench.hands.advance(5000)
        assert other.opened


@pytest.mark.parametrize("sample", SAMPLES)
def test_twins_share_nothing(sample: str) -> None:
    """One that is open leaves its twins closed: each edge of a cascade has its own."""
    hands = Hands()
    with subject_of("test_circuit", SAMPLES[sample]()).borrowed(hands, twins=True) as lend:
        one, other = lend(), lend()
        way = ways_of(one)[0]
        with Bench(one, hands, way) as bench:
            trip(bench)
        with Bench(other, hands, way) as bench:
            trip(bench)


class FallingBack(circuitbreaker.CircuitBreaker):  # type: ignore[misc]
    """A subclass, as users write them."""

    RECOVERY_TIMEOUT = 7
    FALLBACK_FUNCTION = staticmethod(lambda *_: "yesterday's answer")


def test_a_subclass_is_found_and_its_fallback_is_left_out() -> None:
    """A fallback is the user's, and takes the arguments of the user's function."""
    traits = traits_of(FallingBack(2))
    assert (traits.threshold, traits.open_seconds) == (2, 7.0)
    assert traits.remark == "checked without its fallback_function"
    breaker = FallingBack(1)
    with bench_of(breaker, "sync") as bench:
        assert bench.call("failure").entered
        assert bench.call().raised is not None
    assert breaker.fallback_function() == "yesterday's answer"


CIRCUIT = pyresilience.CircuitBreakerConfig(2, 9.0, error_types=[OSError], ignore_on=[FileNotFoundError])


def never() -> None:
    raise AssertionError("the user's function is not called")


async def never_async() -> None:
    raise AssertionError("the user's function is not called")


@pytest.mark.parametrize(("function", "way"), [(never, "sync"), (never_async, "async")])
def test_a_decorated_function_of_pyresilience_is_not_called(function: Callable[[], Any], way: Way) -> None:
    """Its breaker is checked, without what stands around it, in the way in which it is called."""
    retry = pyresilience.RetryConfig(max_attempts=3)
    guarded = pyresilience.resilient(circuit_breaker=CIRCUIT, retry=retry)(function)
    with bench_of(guarded, way) as bench:
        assert ways_of(bench.adapter) == (way,)
        traits = bench.adapter.traits
        assert (traits.threshold, traits.open_seconds, traits.ignored) == (2, 9.0, FileNotFoundError)
        assert issubclass(traits.failure, OSError)
        assert traits.remark == "checked without its retry"
        trip(bench)


def test_the_timer_and_the_clock_of_an_interlock_breaker_are_replaced() -> None:
    """A timer would run in real time, and a user's fake clock would not move."""

    class Stopped:
        def monotonic(self) -> float:
            return 0.0

    config = Config(minimum_number_of_calls=2, auto_transition=True, wait_duration_in_open=5.0)
    breaker = interlock.CircuitBreaker(name="mine", config=config, clock=Stopped())
    with bench_of(breaker, "sync") as bench:
        assert bench.adapter.traits.remark == "checked without its auto_transition timer"
        trip(bench)
        bench.hands.advance(5.1)
        assert bench.call().entered


def test_a_breaker_in_a_store_is_checked_in_memory() -> None:
    """What other processes share is left alone, and the report says so."""

    class Shared(aiobreaker.storage.base.CircuitBreakerStorage):  # type: ignore[misc]
        state = aiobreaker.CircuitBreakerState.CLOSED
        counter, opened_at = 0, None
        increment_counter = reset_counter = never

    traits = traits_of(aiobreaker.CircuitBreaker(state_storage=Shared("shared")))
    assert traits.remark == "checked on memory storage, to leave its Shared alone"


def test_its_own_errors_are_used() -> None:
    """A breaker that counts only an error of its user's is checked with that."""

    class OwnError(Exception):
        pass

    for made in (
        circuitbreaker.CircuitBreaker(expected_exception=OwnError),
        nopanic.CircuitBreaker(on=(OwnError,)),
        pyresilience.CircuitBreakerConfig(error_types=[OwnError]),
    ):
        traits = traits_of(made)
        assert traits.failure is OwnError
        assert traits.ignored is not None
        assert not issubclass(traits.ignored, OwnError)


def test_real_time_is_not_waited_for_long() -> None:
    """A window of an hour, and slow calls of ten minutes, are left to virtual time, and say so."""
    breaker = nopanic.CircuitBreaker(min_calls=3, window=3600, slow_call_duration=600, reset_timeout=30)
    checker = Checker(subject_of("test_circuit", breaker), real_time=True)
    assert checker.scenario("half_open_recovery").verdict == "passed"
    slow = checker.scenario("slow_call_threshold")
    assert (slow.verdict, slow.detail) == ("not_applicable", "it would take 10m06s of real time")


def test_a_busy_machine_is_no_defect_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each wait takes too long, nothing is said of the breaker, and certainly not that it passed."""
    real = RealHands.advance
    monkeypatch.setattr(RealHands, "advance", lambda hands, seconds: real(hands, seconds + 0.3))
    checker = Checker(subject_of("test_circuit", SAMPLES["nopanic"]), real_time=True)
    found = checker.scenario("half_open_recovery")
    assert found.verdict == "not_applicable"
    assert "the machine was too busy to look before the open time was over" in found.detail


def test_a_backoff_is_shortened_with_its_cap() -> None:
    """In real time the growth is seen as well, and where it ends."""
    config = Config(
        wait_duration_in_open=30, wait_duration_backoff_multiplier=2, wait_duration_in_open_max=120
    )
    with lent(interlock.CircuitBreaker(name="mine", config=config)) as (adapter, _):
        adapter.set_open_seconds(0.1)
        assert adapter.traits.open_seconds == 0.1
        assert adapter.traits.backoff_cap == pytest.approx(0.4)


PATCHED = [package for package in MODULES if load_library(package).clocks]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")
@pytest.mark.parametrize("package", PATCHED)
def test_a_clock_that_is_not_moved_is_an_error(package: str) -> None:
    """A library that reads its time elsewhere in a later release makes no run a success, nor a failure."""
    library = replace(load_library(package), clocks=())
    sample = next(name for name, make in SAMPLES.items() if library.owns(make()))
    subject = Subject(sample, library, SAMPLES[sample])
    with pytest.raises(VacuousClockError, match=f"Breaker '{sample}' does not read the time"):
        Checker(subject)


@pytest.mark.parametrize("sample", ["interlock-cb", "nopanic"])
def test_a_clock_that_is_not_taken_is_an_error(sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for those that are given their clock."""
    subject = subject_of(sample, SAMPLES[sample])
    monkeypatch.setattr(Hands, "now", lambda hands: 1000.0)
    with pytest.raises(VacuousClockError, match=f"Breaker '{sample}' does not read the time"):
        Checker(subject)


@pytest.mark.parametrize("package", MODULES)
def test_a_library_is_found_by_type_only_when_it_is_there(package: str) -> None:
    """Its support says the name of its distribution, and owns none of the other libraries' breakers."""
    library = load_library(package)
    owned = {name for name, make in SAMPLES.items() if library.owns(make())}
    assert owned
    assert {name.partition(" ")[0] for name in owned} == {library.name}


@pytest.mark.parametrize("package", MODULES)
def test_a_library_is_imported_by_its_own_support_alone(package: str) -> None:
    """None but pybreaker is a dependency of the project: nothing else may need it."""
    root = Path(pytest_resilience.__file__).parent
    line = re.compile(rf"^\s*(?:import|from) {package}\b", re.MULTILINE)
    found = [path.name for path in root.rglob("*.py") if line.search(path.read_text("utf-8"))]
    assert found == [f"{MODULES[package]}.py"]


def test_checking_one_library_imports_no_other() -> None:
    """The support of a library is imported when one of its breakers is there."""
    code = (
        "import sys, nopanic\n"
        "from pytest_resilience.breakers.subject import subject_of\n"
        "subject_of('it', nopanic.CircuitBreaker())\n"
        "print(*sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    others = set(MODULES) - {"nopanic"}
    assert "pytest_resilience.breakers.libraries.nopanic_breakers" in printed.split()
    assert others.isdisjoint(printed.split())


@dataclass(frozen=True)
class Setting:
    """Settings of a breaker as drawn, and the breaker."""

    written: str
    make: Callable[[], object]


SECONDS = st.sampled_from([0.05, 1.0, 30.0, 86400.0])
CALLS = st.integers(1, 12)
SHARES = st.sampled_from([0.01, 0.3, 0.5, 0.99, 1.0])


def settings_of(kind: Callable[..., object], **drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Setting]:
    """Draw the settings of a breaker of some kind."""
    return st.fixed_dictionaries(drawn).map(
        lambda chosen: Setting(f"{kind.__name__}({chosen})", lambda: kind(**chosen))
    )


def aiobreaker_of(fail_max: int, seconds: float) -> object:
    return aiobreaker.CircuitBreaker(fail_max, timedelta(seconds=seconds))


def interlock_of(**chosen: Any) -> object:
    probes = max(chosen["permitted_calls_in_half_open"], chosen["max_concurrent_probes"])
    size = max(chosen["window_size"], chosen["minimum_number_of_calls"])
    settings = {**chosen, "permitted_calls_in_half_open": probes, "window_size": size}
    return interlock.CircuitBreaker(name="drawn", config=Config(**settings))


def pyresilience_of(**chosen: Any) -> object:
    size = chosen["sliding_window_size"]
    least = min(chosen["minimum_calls"], size)
    return pyresilience.CircuitBreakerConfig(**{**chosen, "minimum_calls": least})


ANY_SETTINGS = st.one_of(
    settings_of(circuitbreaker.CircuitBreaker, failure_threshold=CALLS, recovery_timeout=SECONDS),
    settings_of(aiobreaker_of, fail_max=CALLS, seconds=SECONDS),
    settings_of(purgatory.SyncCircuitBreakerFactory, default_threshold=CALLS, default_ttl=SECONDS),
    settings_of(
        pyresilience_of,
        failure_threshold=CALLS,
        recovery_timeout=SECONDS,
        success_threshold=CALLS,
        sliding_window_size=st.integers(0, 8),
        minimum_calls=st.integers(0, 8),
        failure_rate_threshold=SHARES,
    ),
    settings_of(
        interlock_of,
        minimum_number_of_calls=CALLS,
        window_size=CALLS,
        window_type=st.sampled_from(interlock.WindowType),
        failure_rate_threshold=SHARES,
        permitted_calls_in_half_open=CALLS,
        max_concurrent_probes=CALLS,
        wait_duration_in_open=SECONDS,
    ),
    settings_of(
        nopanic.CircuitBreaker,
        min_calls=CALLS,
        failure_threshold=SHARES,
        reset_timeout=SECONDS,
        half_open_max_calls=CALLS,
    ),
)


@settings(max_examples=120, deadline=None)
@given(ANY_SETTINGS)
def test_what_it_says_of_its_settings_is_true(setting: Setting) -> None:
    """Whatever is set: so many failures open it, for so long, and so many probes decide."""
    with bench_of(setting.make(), "sync") as bench:
        traits = bench.adapter.traits
        for _ in range(traits.threshold - 1):
            assert bench.call("failure").entered
        assert bench.call("failure").entered
        for probe in ("failure", "ok"):
            assert not bench.call().entered
            bench.hands.advance(0.99 * traits.open_seconds)
            assert not bench.call().entered
            bench.hands.advance(0.02 * traits.open_seconds)
            for _ in range(traits.failures_to_reopen if probe == "failure" else traits.successes_to_close):
                assert bench.call(probe).entered
        for _ in range(traits.threshold - 1):
            assert bench.call("failure").entered
        assert bench.call().entered


def _fail() -> None:
    raise ConnectionError("down")
