"""What is injected together, and in which order: pure decisions of the chaos phase."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.soak.candidates import Candidate
from pytest_resilience.soak.chaos_phase import may_join, salvos, variety

IMPACTS = {
    "latency_spike": "medium",
    "provider_timeout": "medium",
    "database_slowdown": "high",
    "network_partition": "critical",
    "cascading_failure": "critical",
}
TARGETS = ("odds", "db", "cache", "host")
SEAMS = ("calls", "endpoint")
CANDIDATE = st.builds(
    lambda scenario, target, seam: Candidate(scenario, target, seam, IMPACTS[scenario]),
    st.sampled_from(sorted(IMPACTS)),
    st.sampled_from(TARGETS),
    st.sampled_from(SEAMS),
)
CANDIDATES = st.lists(CANDIDATE, max_size=25, unique=True)
AT_ONCE = st.integers(1, 5)


def spike(target: str, seam: str = "calls", scenario: str = "latency_spike") -> Candidate:
    """Return a scenario that others may join."""
    return Candidate(scenario, target, seam, "medium")


def partition(target: str) -> Candidate:
    """Return a scenario that runs alone."""
    return Candidate("network_partition", target, "endpoint", "critical")


@given(CANDIDATES, AT_ONCE)
def test_every_target_is_in_exactly_one_salvo(targets: list[Candidate], at_once: int) -> None:
    """None is forgotten, none is injected twice, and no salvo is empty."""
    struck = list(salvos(targets, at_once))
    assert Counter(one for salvo in struck for one in salvo) == Counter(targets)
    assert all(salvo for salvo in struck)


@given(CANDIDATES, AT_ONCE)
def test_a_salvo_hits_different_targets_and_is_no_larger_than_asked(
    targets: list[Candidate], at_once: int
) -> None:
    """Two faults on one service could not be told apart; a critical one takes whole services away."""
    for salvo in salvos(targets, at_once):
        hit = [one.target for one in salvo]
        assert len(hit) == len(set(hit)) <= at_once
        assert len(salvo) == 1 or not any(one.alone for one in salvo)


@given(CANDIDATES, AT_ONCE)
def test_a_salvo_is_as_large_as_it_can_be(targets: list[Candidate], at_once: int) -> None:
    """What could have joined it was in an earlier one."""
    struck = [list(salvo) for salvo in salvos(targets, at_once)]
    for number, salvo in enumerate(struck):
        later = [one for other in struck[number + 1 :] for one in other]
        assert not [one for one in later if may_join(one, salvo, at_once)]


@given(CANDIDATES)
def test_one_at_once_is_one_after_the_other(targets: list[Candidate]) -> None:
    """In the order that was drawn."""
    assert [list(salvo) for salvo in salvos(targets, 1)] == [[target] for target in targets]


def test_salvos_of_a_few() -> None:
    """The first that is left begins one, and the next that may join it do."""
    one, other, third = spike("odds"), spike("odds", "endpoint"), spike("db")
    assert list(map(list, salvos([one, partition("cache"), other, third], 3))) == [
        [one, third],
        [partition("cache")],
        [other],
    ]


def test_a_critical_one_is_joined_by_nobody_and_joins_nobody() -> None:
    """Not even on another target."""
    assert may_join(partition("odds"), [], 3)
    assert not may_join(partition("odds"), [spike("db")], 3)
    assert not may_join(spike("db"), [partition("odds")], 3)
    assert may_join(spike("db"), [spike("odds")], 2)
    assert not may_join(spike("db"), [spike("odds")], 1)


@given(CANDIDATES)
def test_variety_only_changes_the_order(targets: list[Candidate]) -> None:
    """And puts each scenario once before any comes again."""
    ordered = variety(targets)
    assert Counter(ordered) == Counter(targets)
    seen: Counter[str] = Counter()
    turns = []
    for target in ordered:
        turns.append(seen[target.scenario])
        seen[target.scenario] += 1
    assert turns == sorted(turns)


@given(CANDIDATES)
def test_variety_keeps_the_order_within_a_scenario(targets: list[Candidate]) -> None:
    """The seed decided it; doing it again changes nothing."""
    ordered = variety(targets)
    for scenario in IMPACTS:
        own = [one for one in ordered if one.scenario == scenario]
        assert own == [one for one in targets if one.scenario == scenario]
    assert variety(ordered) == ordered
