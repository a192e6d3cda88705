"""The runner alone: order, counters, checkpoints and commands."""

import gc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak_stage import HALF, ODDS, Body, FunctionSuite, SharedClock, fetch

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.records import ChaosEvent, NotRun
from pytest_resilience.chaos.scenarios import TEN
from pytest_resilience.chaos.shares import INTENSITIES, Shares
from pytest_resilience.collector import start_up_frozen
from pytest_resilience.memory.records import OwnSlope
from pytest_resilience.soak import messages
from pytest_resilience.soak.checkpoints import SHARE_WHERE_JUDGED
from pytest_resilience.soak.link import Loopback
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.outcome import Outcome
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.soak.runner import Runner
from pytest_resilience.soak.world import Task, World
from pytest_resilience.store.records import Failure, Tally

TESTS = ("test_a.py::test_1", "test_a.py::test_2", "test_b.py::test_1")


class Recorded(FunctionSuite):
    """A suite that remembers what was run, and what was to follow."""

    calls: list[tuple[str, str]]

    def run(self, test: str, following: str) -> Outcome:
        self.calls.append((test, following))
        return super().run(test, following)


@dataclass
class Loop:
    """A runner whose other end is a list; `at` maps a number of iterations to what is done then."""

    iterations: int
    seconds: float = 0.1
    tests: tuple[str, ...] = TESTS
    seed: int = 7
    max_concurrent: int = 3
    shares: Shares = HALF
    tasks: dict[str, Task] = field(default_factory=dict)
    at: dict[int, Body] = field(default_factory=dict)
    bodies: dict[str, Body] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = SharedClock()
        self.heard: list[Message] = []
        self.end, conductor = Loopback.pair()
        conductor.attach(self.heard.append)
        self.suite = Recorded(self.clock, {test: self._body(test) for test in self.tests})
        self.suite.calls = []
        self.chaos = Chaos(
            [ODDS], seed=self.seed, shares=self.shares, clock=self.clock, max_concurrent=self.max_concurrent
        )
        self.runner = Runner(
            self.suite,
            World({"odds": ODDS}, {}, self.chaos),
            self.end,
            clock=self.clock,
            origin=self.clock.now(),
            seed=self.seed,
            tasks=self.tasks,
            between=self._between,
        )

    def play(self) -> "Loop":
        """Run until the number of iterations is reached."""
        self.runner.run()
        return self

    def of(self, kind: type[Message]) -> list[Message]:
        """Return what was heard of a kind."""
        return [message for message in self.heard if isinstance(message, kind)]

    def send(self, command: Message) -> None:
        """Say something to the runner."""
        self.runner.receive(command)

    def send_all(self, commands: Iterable[Message]) -> None:
        """Say several things to the runner."""
        for command in commands:
            self.send(command)

    def _body(self, test: str) -> Callable[[], None]:
        def body() -> None:
            self.clock.pass_by(self.seconds)
            self.bodies.get(test, lambda: None)()

        return body

    def _between(self) -> None:
        done = self.runner.iterations
        if done in self.at:
            self.at.pop(done)()
        if done >= self.iterations:
            self.send(messages.Stop())


@dataclass
class Memory:
    """Remembers when it was read; a reading takes `cost` seconds."""

    clock: SharedClock
    cost: float
    read: list[float] = field(default_factory=list)

    def calibrate(self, run_empty: Callable[[], None]) -> Sequence[OwnSlope]:
        """Measure nothing."""
        return ()

    def checkpoint(self) -> float:
        self.read.append(self.clock.now() - 1000.0)
        self.clock.advance(self.cost)
        return self.cost


def test_the_first_round_is_in_the_suites_own_order() -> None:
    """Then the order is shuffled, round by round, and what is said to follow does follow."""
    loop = Loop(30).play()
    ran = [test for test, _ in loop.suite.calls]
    assert tuple(ran[:3]) == TESTS
    assert [following for _, following in loop.suite.calls[:-1]] == ran[1:]
    rounds = [tuple(ran[start : start + 3]) for start in range(0, 30, 3)]
    assert all(sorted(one) == sorted(TESTS) for one in rounds)
    assert len(set(rounds)) > 1


def test_the_seed_decides_the_order() -> None:
    """Twice the same, and another one for another seed."""
    orders = [Loop(30, seed=seed).play().suite.calls for seed in (7, 7, 8)]
    assert orders[0] == orders[1] != orders[2]


def test_after_the_first_round_the_suite_is_declared() -> None:
    """Tests, services, topology and what can act on them, in plain values."""
    (declared,) = Loop(9).play().of(messages.Declared)
    assert isinstance(declared, messages.Declared)
    assert (declared.tests, declared.services, declared.edges) == (TESTS, ("odds",), 0)
    assert ("latency_spike", "odds", "calls", "medium", "", "") in declared.candidates
    assert {one[0] for one in declared.candidates} == {scenario.name for scenario in TEN}
    assert declared.at_once == 1


@pytest.mark.parametrize("intensity", INTENSITIES)
def test_how_many_faults_come_together_is_declared(intensity: str) -> None:
    """As many as the intensity asks for, and never more than may be active at once."""
    for most in (1, 2, 9):
        loop = Loop(3, max_concurrent=most, shares=INTENSITIES[intensity])
        (declared,) = loop.play().of(messages.Declared)
        assert isinstance(declared, messages.Declared)
        assert declared.at_once == min(most, INTENSITIES[intensity].at_once)


@given(st.integers(1, 20))
@settings(max_examples=10, deadline=None)
def test_stop_ends_the_loop_after_the_running_iteration(iterations: int) -> None:
    """In the middle of a round too, and the last counters are sent before the end is told."""
    loop = Loop(iterations).play()
    assert len(loop.suite.calls) == max(iterations, 1)
    *_, progress, finished = loop.heard
    assert isinstance(progress, messages.Progress)
    assert (progress.iterations, progress.rounds) == (iterations, iterations // 3)
    assert finished == messages.Finished("loop")


def test_progress_is_sent_a_few_times_a_second_at_most() -> None:
    """However fast the tests are."""
    loop = Loop(1000, seconds=0.001).play()
    assert len(loop.of(messages.Progress)) <= 6
    tallies = [one for one in loop.of(Tally) if isinstance(one, Tally)]
    assert sum({one.test: one.iterations for one in tallies}.values()) == 1000


def test_reading_memory_makes_no_round_longer() -> None:
    """How long one takes says how much room faults need: what is done between tests is not the suite's."""
    loop = Loop(30)
    loop.runner.memory = memory = Memory(loop.clock, cost=4.0)
    loop.send(messages.EnterPhase(PhaseName.MEMORY, 1.0))
    (*_, last) = loop.play().of(messages.Progress)
    assert isinstance(last, messages.Progress)
    assert memory.read
    assert last.longest_calm_round == pytest.approx(3 * loop.seconds)


def test_a_failure_before_chaos_is_told_at_once() -> None:
    """With whether the test ever passed."""
    passes = iter([True, True, False])

    def body() -> None:
        assert next(passes, True)

    loop = Loop(12, bodies={TESTS[1]: body}).play()
    (broken,) = loop.of(messages.Broken)
    assert isinstance(broken, messages.Broken)
    ran = [test for test, _ in loop.suite.calls]
    third = [place for place, test in enumerate(ran) if test == TESTS[1]][2]
    assert ran[third - 1] != TESTS[1]
    assert (broken.test, broken.how) == (
        TESTS[1],
        f"passes once, fails when repeated, or after another test (pytest {ran[third - 1]} {TESTS[1]})",
    )
    alone = Loop(12, tests=TESTS[:1], bodies={TESTS[0]: lambda: next(once)})
    once = iter([None])
    (broken,) = alone.play().of(messages.Broken)[:1]
    assert broken == messages.Broken(TESTS[0], "passes once, fails when repeated")
    at_once = Loop(3, bodies={TESTS[2]: lambda: 1 / 0}).play()
    assert at_once.of(messages.Broken) == [messages.Broken(TESTS[2], "fails at once")]


def test_a_failure_after_the_baseline_is_counted_and_the_loop_goes_on() -> None:
    """With its phase and its text."""
    loop = Loop(30, bodies={TESTS[0]: lambda: 1 / 0})
    loop.send(messages.EnterPhase(PhaseName.MEMORY, 1.0))
    loop.play()
    assert loop.of(messages.Broken) == []
    failure = loop.of(Failure)[-1]
    assert isinstance(failure, Failure)
    assert (failure.count, failure.phase, failure.crash) == (10, PhaseName.MEMORY, "ZeroDivisionError")
    assert "1 / 0" in failure.text


def test_memory_is_read_at_the_period_and_at_the_times_that_are_due() -> None:
    """Once at the start of the phase, about every ten seconds, and where growth is judged."""
    loop = Loop(1000)
    memory = loop.runner.memory = Memory(loop.clock, cost=0.01)
    loop.send(messages.EnterPhase(PhaseName.BASELINE, 10.0, (33.0, 37.0)))
    loop.play()
    assert memory.read[0] == pytest.approx(0.1)
    for due in (33.0, 37.0):
        assert any(due <= read <= due + 0.2 for read in memory.read)
    assert all(later - earlier <= 10.2 for earlier, later in pairwise(memory.read))
    assert len(memory.read) == pytest.approx(12, abs=1)


def test_costly_readings_are_rare_but_the_due_ones_are_taken() -> None:
    """A garbage collection of a second is done every fifty seconds, and where it is needed."""
    loop = Loop(1000)
    memory = loop.runner.memory = Memory(loop.clock, cost=1.0)
    loop.send(messages.EnterPhase(PhaseName.BASELINE, 1.0, (20.0, 70.0)))
    loop.play()
    regular = [read for read in memory.read if not any(due <= read < due + 0.2 for due in (20.0, 70.0))]
    assert len(memory.read) - len(regular) == 2
    assert len(regular) <= 3


def test_a_phase_that_is_judged_has_more_of_them() -> None:
    """A twentieth of its time at most, instead of a fiftieth."""
    loop = Loop(1000)
    memory = loop.runner.memory = Memory(loop.clock, cost=1.0)
    loop.send(messages.EnterPhase(PhaseName.MEMORY, 1.0, (), SHARE_WHERE_JUDGED))
    loop.play()
    assert len(memory.read) == pytest.approx(6, abs=1)


def test_a_phase_begins_without_the_garbage_that_was_frozen_at_the_start() -> None:
    """It would be freed in the middle of a phase otherwise, where it looks as if a leak had ended."""
    counted: list[int] = []
    loop = Loop(6, at={3: lambda: counted.append(gc.get_freeze_count())})
    loop.runner.memory = Memory(loop.clock, cost=0.01)
    kept: list[list[object]] = [[] for _ in range(5000)]
    for one in kept:
        one.append(one)
    with start_up_frozen():
        frozen = gc.get_freeze_count()
        del kept, one
        loop.send(messages.EnterPhase(PhaseName.MEMORY, 1.0))
        loop.play()
    assert counted[0] < frozen - 4000


def test_a_task_pauses_the_suite_and_tells_when_it_is_over() -> None:
    """What it yields is sent on."""
    found = NotRun("latency_spike", "odds", "x")
    loop = Loop(6, tasks={"VerifyBreakers": lambda world: [found]})
    loop.at = {2: lambda: loop.send(messages.VerifyBreakers())}
    loop.play()
    place = loop.heard.index(found)
    assert loop.heard[place + 1] == messages.Finished("VerifyBreakers")
    assert len(loop.suite.calls) == 6


def test_what_cannot_be_done_is_trouble_and_no_end() -> None:
    """The engine's message goes to the conductor."""
    loop = Loop(6)
    loop.at = {4: lambda: loop.send(messages.Inject("x-1", "latency_spyke", "odds", "calls"))}
    loop.play()
    (trouble,) = loop.of(messages.Trouble)
    assert trouble == messages.Trouble("There is no scenario 'latency_spyke'. Did you mean 'latency_spike'?")
    assert len(loop.suite.calls) == 6


def test_a_fault_that_could_not_be_armed_owns_no_failure() -> None:
    """Failures after it are the suite's own."""
    loop = Loop(9, bodies={TESTS[0]: lambda: 1 / 0})
    loop.send(messages.EnterPhase(PhaseName.CHAOS, 1.0))
    loop.send(messages.Inject("x-1", "latency_spyke", "odds", "calls"))
    loop.play()
    assert {one.event_id for one in loop.of(Failure) if isinstance(one, Failure)} == {""}


def test_a_test_that_the_baseline_never_ran_has_no_latency_limit() -> None:
    """A run too short for a whole round of baseline can still recover: passing is then enough."""
    loop = Loop(12, seconds=5.0)
    loop.send(messages.EnterPhase(PhaseName.CHAOS, 1.0))
    loop.at = {
        3: lambda: loop.send(messages.Inject("latency_spike-1", "latency_spike", "odds", "calls")),
        6: lambda: loop.send(messages.Remove("latency_spike-1")),
    }
    loop.play()
    assert [type(one) for one in loop.of(messages.Recovered)] == [messages.Recovered]


def test_stop_removes_every_fault_whatever_is_active() -> None:
    """Injections and the watched seams; and nothing can be injected any more."""
    loop = Loop(6)
    loop.at = {
        3: lambda: loop.send(messages.WatchSeams(active=True)),
        4: lambda: loop.send(messages.Inject("latency_spike-1", "latency_spike", "odds", "calls")),
    }
    loop.play()
    assert len(loop.of(ChaosEvent)) == 1
    assert loop.chaos.active() == ()
    assert loop.chaos.sweep() == 0
    loop.send(messages.Inject("latency_spike-2", "latency_spike", "odds", "calls"))
    assert loop.chaos.active() == ()
    loop.runner.stop()


def test_removing_or_settling_twice_changes_nothing() -> None:
    """Commands may cross on their way; a round in which an event was settled shows no recovery."""
    loop = Loop(12)
    loop.at = {
        3: lambda: loop.send(messages.Inject("latency_spike-1", "latency_spike", "odds", "calls")),
        5: lambda: loop.send_all([messages.Remove("latency_spike-1")] * 2),
        7: lambda: loop.send_all([messages.Settle("latency_spike-1")] * 2),
    }
    loop.play()
    assert len(loop.of(ChaosEvent)) == 2
    assert loop.of(messages.Recovered) == []


def recoveries(loop: Loop) -> dict[str, float]:
    """Return when the first good round of each event began."""
    heard = [one for one in loop.of(messages.Recovered) if isinstance(one, messages.Recovered)]
    assert len({one.event_id for one in heard}) == len(heard), "each is told once"
    return {one.event_id: one.at for one in heard}


def test_events_that_end_together_recover_together_each_once() -> None:
    """In the first whole round after their removal."""
    loop = Loop(24)
    names = ("latency_spike-1", "database_slowdown-2", "provider_timeout-3")
    loop.at = {
        3: lambda: loop.send_all(messages.Inject(name, name[:-2], "odds", "calls") for name in names),
        7: lambda: loop.send_all(map(messages.Remove, names)),
    }
    loop.play()
    found = recoveries(loop)
    assert set(found) == set(names)
    (at,) = set(found.values())
    assert at == pytest.approx(0.9), "the round of the removal, the third, is no whole one"


def test_no_event_recovers_while_another_keeps_the_suite_ill() -> None:
    """Both are back with the first good round, though one of the faults was removed long before."""
    loop = Loop(30, bodies={TESTS[0]: lambda: fetch("a")}, shares=Shares(1, 1, 1, 1))
    loop.send(messages.EnterPhase(PhaseName.CHAOS, 1.0))
    loop.at = {
        3: lambda: loop.send_all(
            [
                messages.Inject("latency_spike-1", "latency_spike", "odds", "calls"),
                messages.Inject("valuation_exception-2", "valuation_exception", "odds", "calls"),
            ]
        ),
        6: lambda: loop.send(messages.Remove("latency_spike-1")),
        18: lambda: loop.send(messages.Remove("valuation_exception-2")),
    }
    loop.play()
    found = recoveries(loop)
    assert found["latency_spike-1"] == found["valuation_exception-2"] > 1.7
    owners = {one.event_id for one in loop.of(Failure) if isinstance(one, Failure)}
    assert owners == {"valuation_exception-2"}


def test_settling_one_event_leaves_the_others_to_recover() -> None:
    """Each is watched by itself."""
    loop = Loop(18)
    names = ("latency_spike-1", "database_slowdown-2")
    loop.at = {
        3: lambda: loop.send_all(messages.Inject(name, name[:-2], "odds", "calls") for name in names),
        7: lambda: loop.send_all(map(messages.Remove, names)),
        8: lambda: loop.send(messages.Settle("latency_spike-1")),
    }
    loop.play()
    assert set(recoveries(loop)) == {"database_slowdown-2"}
