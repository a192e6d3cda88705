"""Exploring breakers: known defects are found, their scripts really show them, taste is left alone."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from breaker_samples import SAMPLES
from defects import KNOWN_DEFECTS, RIGHT, finds
from hypothesis import given, settings
from hypothesis import strategies as st
from pybreaker import CircuitBreaker

from pytest_resilience.breakers.adapter import Effect, Traits
from pytest_resilience.breakers.belief import Belief
from pytest_resilience.breakers.explore import Counterexample, explore
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.breakers.playing import play
from pytest_resilience.breakers.reference import ReferenceBreaker, Ticket, reference_adapter
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.errors import ResilienceError

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

PLAIN = Traits(threshold=2, open_seconds=30, half_open_limit=1)


@pytest.mark.parametrize("defect", KNOWN_DEFECTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_known_defect_is_found(defect: str, seed: int) -> None:
    """Whatever the seed, the written sequences come upon it."""
    assert finds(defect, seed, examples=5)


def test_what_random_sequences_found_first_is_written_now() -> None:
    """Of two probes of aiobreaker the first fails and opens it, the second succeeds and closes it."""
    report = explore("it", SAMPLES["aiobreaker"], examples=0)
    assert "must be rejected after ok with overlap" in {one.kind for one in report.counterexamples}


@pytest.mark.parametrize("sample", RIGHT)
def test_a_right_library_is_not_accused(sample: str) -> None:
    """Documented and defensible differences are no defects."""
    report = explore(sample, SAMPLES[sample], seed=7, examples=40)
    assert report.passed, str(report)


def all_counterexamples() -> list[tuple[str, Counterexample]]:
    return [
        (sample, one)
        for sample in SAMPLES
        for one in explore(sample, SAMPLES[sample], examples=0).counterexamples
    ]


def test_every_script_shows_what_it_says_with_the_library_alone() -> None:
    """Pasted into an empty file, each ends in an AssertionError with the problem."""
    found = all_counterexamples()
    assert len(found) >= 12
    for sample, one in found:
        assert "pytest_resilience" not in one.script
        done = run(one.script)
        assert done.returncode == 1, f"{sample}: {one.script}\n{done.stdout}{done.stderr}"
        assert "AssertionError" in done.stderr, f"{sample}: {one.script}\n{done.stderr}"
        if one.moves:
            assert one.problem in done.stderr


def run(script: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_a_script_without_overlaps_is_short() -> None:
    """pybreaker's replaced interrupt takes two calls, one after the other."""
    report = explore("mine", lambda: CircuitBreaker(2, 30), examples=0)
    found = next(one for one in report.counterexamples if "base_exception" in one.kind)
    assert found.script.endswith(
        '\n\n\na = Call(ConnectionError("down"))\nassert a.entered\n'
        "b = Call(KeyboardInterrupt())\n"
        "assert isinstance(b.raised, KeyboardInterrupt), "
        "'the caller of b must get KeyboardInterrupt, but got CircuitBreakerError'\n"
    )
    assert found.script.startswith("# pybreaker ")


def test_a_report_tells_verdict_problem_and_script() -> None:
    """The text of a failed test has all that an issue needs."""
    report = explore("mine", lambda: CircuitBreaker(2, 30), seed=4, examples=0)
    text = str(report)
    assert text.startswith("breaker 'mine': 3 defects in ")
    assert "they wait for each other (seed 4)" in text.splitlines()[0]
    assert all(one.problem in text and one.script in text for one in report.counterexamples)
    with pytest.raises(AssertionError) as failed:
        report.must_pass()
    assert str(failed.value) == text


def test_a_seed_repeats_its_report() -> None:
    """Random sequences come from the seed alone."""
    breakers = [explore("it", SAMPLES["circuitbreaker"], seed=9, examples=20) for _ in range(2)]
    assert breakers[0] == breakers[1]


class LosesOverlappingFailures(ReferenceBreaker):
    """Counts failures by what the count was when the call began: no written sequence has two such calls."""

    def ticket(self, now: float) -> Ticket | None:
        ticket = super().ticket(now)
        if ticket is not None:
            vars(ticket)["seen"] = self.failures
        return ticket

    def settle(self, ticket: Ticket, effect: Effect, *, slow: bool) -> None:
        if effect == "failure" and self.state == "closed":
            self.failures = vars(ticket)["seen"]
        super().settle(ticket, effect, slow=slow)


def test_random_sequences_find_what_none_is_written_for() -> None:
    """A defect that takes two overlapping failures is found by drawing, and shrunk to what it takes."""
    adapter = reference_adapter(PLAIN, LosesOverlappingFailures)
    assert explore("it", adapter, examples=0).passed
    report = explore("it", adapter, seed=0, examples=300)
    assert not report.passed
    assert {one.found_by for one in report.counterexamples} == {"random"}
    assert len(report.counterexamples[0].moves) <= 6


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([None, 1, 2]), st.data())
def test_the_reference_does_nothing_wrong(
    threshold: int, successes: int, limit: int | None, data: st.DataObject
) -> None:
    """For any settings and any sequence the belief is never empty: model and reference agree."""
    from pytest_resilience.breakers.moves import sequences

    traits = Traits(threshold=threshold, open_seconds=30, successes_to_close=successes, half_open_limit=limit)
    subject = subject_of("it", reference_adapter(traits))
    ways: list[Way] = ["sync", "async"]
    way = data.draw(st.sampled_from(ways))
    assert play(subject, way, data.draw(sequences(traits, way))).problem == ""


def test_a_belief_that_is_contradicted_is_empty() -> None:
    """After as many failures as open it, no right breaker lets a call in."""
    belief = Belief(PLAIN, 0.0)
    for flight in range(2):
        assert belief.allows(0.0) == {True}
        belief.began(flight, 0.0, entered=True)
        belief.ended(flight, "failure", 0.0)
    assert belief.allows(1.0) == {False}
    assert belief.allows(31.0) == {True}
    belief.began(2, 1.0, entered=True)
    assert belief.empty


def test_hangs_are_replaced_or_waited_for() -> None:
    """Both are right: a second probe may enter after another open time, or be rejected for ever."""
    belief = Belief(PLAIN, 0.0)
    for flight in range(2):
        belief.began(flight, 0.0, entered=True)
        belief.ended(flight, "failure", 0.0)
    belief.began(2, 31.0, entered=True)
    assert belief.allows(32.0) == {False}
    assert belief.allows(62.0) == {True, False}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: explore("it", 7), "Breaker 'it' must be a circuit breaker, or a function without arguments"),
        (
            lambda: explore("it", CircuitBreaker, examples=-1),
            "examples must be a whole number of at least 0, not -1.",
        ),
        (
            lambda: explore("it", CircuitBreaker, way="async"),
            "way must be a way to call this breaker (sync), not 'async'. Leave it out.",
        ),
    ],
)
def test_wrong_use_is_refused(act: Callable[[], object], message: str) -> None:
    """The error names the value, what is allowed and the fix."""
    with pytest.raises(ResilienceError) as refused:
        act()
    assert str(refused.value).startswith(message)


def test_without_hypothesis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random sequences need it; the written ones do not."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ResilienceError, match=r"pip install 'pytest-resilience\[hypothesis\]'.*examples=0"):
        explore("it", CircuitBreaker)
    assert explore("it", CircuitBreaker, examples=0).played > 20


class NaiveBreaker:
    """A user's own, without eras."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.failures, self.opened_at = clock, 0, 0.0

    def call(self, function: Callable[[], object]) -> object:
        if self.failures >= 2 and self.clock() < self.opened_at + 30:
            raise RuntimeError("open")
        try:
            result = function()
        except Exception:
            self.failures, self.opened_at = self.failures + 1, self.clock()
            raise
        self.failures = 0
        return result


def test_a_breaker_of_the_users_own_is_explored_too() -> None:
    """Its script has a gap for how it is made, and is Python all the same."""
    adapter = BreakerAdapter(NaiveBreaker, call=NaiveBreaker.call, threshold=2, open_seconds=30)
    report = explore("mine", adapter, examples=0)
    late = next(one for one in report.counterexamples if one.found_by == "late success while open")
    assert late.script.startswith("# A breaker of our own, Python ")
    assert "breaker = ...  # yours: 2 failures open it for 30 s; its clock is lambda: now" in late.script
    compile(late.script, "script", "exec")
