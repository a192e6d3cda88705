"""How long an iteration may take: what it is told, or what its test took before."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.soak.limits import LONGEST_TIMES, SHORTEST_LEARNED_SECONDS, Limit
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.telemetry import Telemetry

TIMEOUT = 300.0


def test_without_a_memory_every_test_has_the_same_limit() -> None:
    """And it is the one that was asked for."""
    limit = Limit(TIMEOUT)
    assert (limit.seconds("one"), limit.shortest) == (TIMEOUT, TIMEOUT)
    expected = "the iteration hung: it took longer than soak_iteration_timeout (5m00s)"
    assert limit.verdict("one") == expected


def test_a_test_that_never_passed_has_the_whole_timeout() -> None:
    """Its first iteration may start a server."""
    limit = Limit(TIMEOUT, lambda test: None)
    assert limit.seconds("one") == TIMEOUT
    assert limit.shortest == SHORTEST_LEARNED_SECONDS


def test_a_hang_is_told_with_what_the_test_took_before() -> None:
    """Ten times the longest pass, and nine seconds at least."""
    limit = Limit(TIMEOUT, {"quick": 0.012, "slow": 3.0}.get)
    assert (limit.seconds("quick"), limit.seconds("slow")) == (9.0, 30.0)
    expected = "the iteration hung: it took longer than 30.0s, and its longest pass before took 3.0s"
    assert limit.verdict("slow") == expected


@given(st.floats(0.001, 1e4), st.floats(1e-6, 1e4))
def test_a_learned_limit_never_exceeds_the_timeout_nor_accuses_early(timeout: float, longest: float) -> None:
    """What takes as long as ever is no hang, as far as the timeout allows it."""
    limit = Limit(timeout, lambda test: longest)
    assert limit.shortest <= limit.seconds("one") <= timeout
    assert limit.seconds("one") == timeout or limit.seconds("one") >= LONGEST_TIMES * longest


def test_only_passes_without_faults_are_learned_from() -> None:
    """A failure may have hung, and under a fault everything may be slow."""
    telemetry = Telemetry(lambda test, started, ended: "")
    phases = ("BASELINE_ESTABLISHMENT", "MEMORY_SOAK_TESTING")
    assert telemetry.longest_pass("one") is None
    passed, failed = Outcome(Status.PASSED, 0.1), Outcome(Status.FAILED, 0.1)
    telemetry.add("one", phases[0], failed, 0.0, 50.0)
    assert telemetry.longest_pass("one") is None
    telemetry.add("one", phases[0], passed, 0.0, 2.0)
    telemetry.add("one", "CHAOS_INJECTION", passed, 0.0, 40.0)
    telemetry.add("one", phases[1], passed, 0.0, 3.0)
    telemetry.add("one", phases[0], passed, 0.0, 1.0)
    assert telemetry.longest_pass("one") == 3.0
