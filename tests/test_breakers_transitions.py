"""What a state change costs: measured on every library, both ways, and given in percentiles."""

import asyncio

import pytest
from breaker_samples import SAMPLES
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.breakers import transitions
from pytest_resilience.breakers.bench import ways_of
from pytest_resilience.breakers.costs import TransitionCost, percentile, transition_costs
from pytest_resilience.breakers.dependency import Dependency
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.records import Transition
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.breakers.transitions import MOST_ROUNDS, measure_transitions
from pytest_resilience.clock import Clock, SystemClock


def ways(sample: str) -> tuple[Way, ...]:
    with subject_of(sample, SAMPLES[sample]).borrowed(Hands()) as lend:
        return ways_of(lend())


EVERY_WAY = [(sample, way) for sample in SAMPLES for way in ways(sample)]


def measured(sample: str, way: Way, clock: Clock) -> tuple[Transition, ...]:
    hands = Hands()
    with subject_of(sample, SAMPLES[sample]).borrowed(hands) as lend:
        return measure_transitions(sample, lend(), hands, clock, way)


class EnteringClock:
    """Reads 1 s more at each reading, so that each measured call takes 1 s."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> float:
        self._seconds += 1.0
        return self._seconds

    def wait(self, event: object, seconds: float) -> bool:
        raise NotImplementedError


@pytest.mark.parametrize(("sample", "way"), EVERY_WAY)
def test_each_change_of_each_library_is_measured(sample: str, way: Way) -> None:
    """Three changes a round, by the clock that is passed, and only what changes the state is timed."""
    found = measured(sample, way, EnteringClock())
    assert len(found) == 3 * MOST_ROUNDS
    assert {one.seconds for one in found} == {1.0}
    ends = [one.change.rpartition(">")[2] for one in found[:3]]
    assert ends == ["open", "open", "closed"]


@pytest.mark.parametrize(("sample", "way"), EVERY_WAY)
def test_no_call_is_rejected_on_the_way(sample: str, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each open time is waited for, also one that grows, or the cost of a rejection would be measured."""
    made: list[Dependency] = []

    class Counted(Dependency):
        def __init__(self, failure: type[Exception]) -> None:
            super().__init__(failure)
            made.append(self)

    monkeypatch.setattr(transitions, "Dependency", Counted)
    with subject_of(sample, SAMPLES[sample]).borrowed(Hands()) as lend:
        traits = lend().traits
    measured(sample, way, SystemClock())
    calls = traits.threshold + traits.failures_to_reopen + traits.successes_to_close
    assert made[0].entries == MOST_ROUNDS * calls


@pytest.mark.parametrize(("sample", "way"), EVERY_WAY)
def test_a_state_change_takes_far_less_than_a_run_allows(sample: str, way: Way) -> None:
    """Half of them take less than a hundredth of the limit of 0.1 s; on a busy machine, 99 % keep it."""
    found = measured(sample, way, SystemClock())
    assert all(0 < cost.p50_seconds < 0.001 for cost in transition_costs(found))
    assert percentile(sorted(one.seconds for one in found), 0.99) < 0.1


def test_an_async_breaker_is_measured_inside_a_running_loop() -> None:
    """A test that is a coroutine function can ask for it."""

    async def script() -> tuple[Transition, ...]:
        return measured("purgatory (async)", "async", SystemClock())

    assert len(asyncio.run(script())) == 3 * MOST_ROUNDS


def test_the_figures_are_those_of_each_change_of_each_breaker() -> None:
    """They come in the order in which the changes were measured first."""
    changes = [Transition("b", "closed>open", seconds / 100) for seconds in range(100, 0, -1)]
    other = [Transition("a", "closed>open", 2.0), Transition("b", "half_open>closed", 3.0)]
    assert transition_costs([*changes, *other]) == (
        TransitionCost("b", "closed>open", 100, 0.5, 0.99, 1.0),
        TransitionCost("a", "closed>open", 1, 2.0, 2.0, 2.0),
        TransitionCost("b", "half_open>closed", 1, 3.0, 3.0, 3.0),
    )
    assert transition_costs([]) == ()


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_a_percentile_is_the_least_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    """It is one of the values, and none below it would do."""
    found = percentile(sorted(values), share)
    assert sum(value <= found for value in values) >= share * len(values)
    below = [value for value in values if value < found]
    assert all(sum(value <= one for value in values) < share * len(values) for one in below)
